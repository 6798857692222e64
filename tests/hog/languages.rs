//! Programs in other languages: compiled here, run as producers, and what they logged read as JSON at the receiver.
//!
//! cargo puts the static library of `hog-ring-capi` beside this test's binary, since this package's tests depend on it.
//! Where there is no compiler (`$CC`, `$CXX`, otherwise `cc`, `c++`), the tests say so and pass.

use crate::scene::{GROUP, Scene, wait_until};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The example `name`, compiled; `None`, and words, where there is no compiler.
fn example(scene: &Scene, name: &str) -> Option<PathBuf> {
    let (variable, default) = if name.ends_with(".c") {
        ("CC", "cc")
    } else {
        ("CXX", "c++")
    };
    let compiler = std::env::var_os(variable).unwrap_or_else(|| OsString::from(default));
    if Command::new(&compiler).arg("--version").output().is_err() {
        eprintln!("nothing compiled: there is no compiler {}", compiler.display());
        return None;
    }
    let capi = Path::new(env!("CARGO_MANIFEST_DIR")).join("ring/capi");
    let library = std::env::current_exe().unwrap().with_file_name("libhog_ring_capi.a");
    let program = scene.path("program");
    let made = Command::new(compiler)
        .arg("-I")
        .arg(capi.join("include"))
        .arg(capi.join("examples").join(name))
        .arg(library)
        .args(["-lpthread", "-ldl", "-lm", "-o"])
        .arg(&program)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some(program)
}

/// Runs the program to its end, which must be a good one.
fn run(scene: &Scene, program: &Path) -> String {
    let ended = Command::new(program).arg(GROUP).arg(scene.shm_dir()).output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8(ended.stdout).unwrap()
}

/// That `records` are those of runs of the example in C which together logged all numbers below `end`, each run beginning at
/// one of `starts`.
fn assert_squares_and_cubes(records: &[Value], program: &Path, starts: &[u64], end: u64) {
    let program = program.to_str().unwrap();
    let mut found = records.iter();
    let mut expect = |statement: &str, value: Value, text: String| {
        let record = found.next().expect(&text);
        assert_eq!(
            (&record["statement"], &record["value"], &record["text"]),
            (&json!(statement), &value, &json!(text))
        );
        assert!(record["time"].is_string());
    };
    for (run, &start) in starts.iter().enumerate() {
        let again = start > 0;
        let value = json!({ "program": program, "share": 0.5, "again": again });
        expect("started", value, format!("{program} runs, again: {again}"));
        for number in start..*starts.get(run + 1).unwrap_or(&end) {
            let (square, cube) = (number.pow(2), number.wrapping_pow(3));
            let value = |power: u64| json!({ "number": number, "square": power });
            expect("square", value(square), format!("the square of {number} is {square}"));
            expect("cube", value(cube), format!("the cube of {number} is {cube}"));
        }
    }
    assert!(found.next().is_none());
}

#[test]
fn what_a_program_in_c_logs_arrives_once_and_in_order_over_two_runs() {
    let scene = Scene::new();
    let Some(program) = example(&scene, "log.c") else {
        return;
    };
    let receiver = scene.receiver("recv");
    let _sender = scene.sender(&[&receiver.address]);
    assert_eq!(run(&scene, &program), "logged 0 to 999\n");
    assert_eq!(run(&scene, &program), "logged 1000 to 1999\n");
    scene.wait_acked();
    assert_squares_and_cubes(&scene.json(&receiver.archive), &program, &[0, 1000], 2000);
    scene.verify(&receiver.archive);
}

/// A program that does not outlive its test.
struct Endless(Child);

impl Endless {
    /// Starts the example in C, which will not be done in time.
    fn start(scene: &Scene, program: &Path) -> Endless {
        let mut command = Command::new(program);
        command.arg(GROUP).arg(scene.shm_dir()).arg("1000000000000");
        Endless(command.stdout(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_program_in_c_that_is_killed_again_and_again_loses_and_doubles_nothing() {
    let scene = Scene::new();
    let Some(program) = example(&scene, "log.c") else {
        return;
    };
    let receiver = scene.receiver("recv");
    let mut sender = scene.sender(&[&receiver.address]);
    for round in 0..5 {
        let (_, before) = scene.progress();
        let mut killed = Endless::start(&scene, &program);
        let more = scene.draw(|chance| chance.u64(100_000..300_000));
        wait_until("it has logged enough", || scene.progress().1 > before + more);
        assert!(killed.0.try_wait().unwrap().is_none(), "it ended by itself");
        if round % 2 == 0 {
            sender.kill();
            drop(killed);
            sender = scene.sender(&[&receiver.address]);
        }
    }
    // The last run says where it began.
    let said = run(&scene, &program);
    let last: u64 = said.split_whitespace().nth(1).unwrap().parse().unwrap();
    scene.wait_acked();
    let records = scene.json(&receiver.archive);
    // Where each run began follows from what came before it: after each, the next number is right, or the archive is not.
    let mut starts = Vec::new();
    let mut next = 0;
    for record in &records {
        match record["statement"].as_str().unwrap() {
            "started" => starts.push(next),
            _ => next = record["value"]["number"].as_u64().unwrap() + 1,
        }
    }
    assert_eq!((starts.len(), starts.last(), next), (6, Some(&last), last + 1000));
    assert_squares_and_cubes(&records, &program, &starts, last + 1000);
    scene.verify(&receiver.archive);
}

#[test]
fn values_of_every_kind_from_a_program_in_cpp_arrive_as_they_were() {
    let scene = Scene::new();
    let Some(program) = example(&scene, "log.cpp") else {
        return;
    };
    let receiver = scene.receiver("recv");
    let _sender = scene.sender(&[&receiver.address]);
    assert_eq!(run(&scene, &program), "");
    wait_until("the ring is gone", || scene.rings().is_empty());
    scene.wait_acked();
    let records = scene.json(&receiver.archive);
    assert_eq!(records.len(), 1, "{records:?}");
    let expected = json!({
        "truth": true, "i8": -1, "i16": -2, "i32": -3, "i64": -4,
        "u8": u8::MAX, "u16": u16::MAX, "u32": u32::MAX, "u64": u64::MAX,
        "f32": 1.5, "f64": -2.5, "at": "2020-09-13T12:26:40.000000Z", "text": "twelve \u{e9}", "bytes": [0, 255],
    });
    assert_eq!(
        (&records[0]["statement"], &records[0]["value"]),
        (&json!("every"), &expected)
    );
    scene.verify(&receiver.archive);
}
