//! Workers that panic or stall on purpose, each where it is about to do what others see: `src/modes/supervise/provoke.rs`. With the feature `mutants`
//! alone; `tests/mutants.rs` runs them.

use super::faults_of;
use crate::roles::Process;
use crate::scene::{GROUP, Scene, wait_until};
use crate::v2::producer::{Logging, numbers, queue_path};
use std::ffi::OsString;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Where workers are provoked.
struct Provocation {
    directory: PathBuf,
    /// The socket of a service manager.
    manager: Option<PathBuf>,
}

impl Provocation {
    fn new(scene: &Scene, name: &str) -> Self {
        let directory = scene.path(name);
        std::fs::create_dir(&directory).unwrap();
        Self {
            directory,
            manager: None,
        }
    }

    /// Starts `hog` with workers that can be provoked here.
    fn start(&self, scene: &Scene, name: &str, arguments: &[OsString]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hog"));
        command.args(arguments).env("HOG_PROVOKE", &self.directory);
        if let Some(manager) = &self.manager {
            command.env("NOTIFY_SOCKET", manager);
        }
        Process::start_command(scene.directory(), name, command, Stdio::null())
    }

    /// Has `worker` panic each time that it can.
    fn panic(&self, worker: &str) -> PathBuf {
        let path = self.directory.join(format!("panic {worker}"));
        std::fs::write(&path, "").unwrap();
        path
    }

    /// Has `worker` panic once, and waits until it did.
    fn panic_once(&self, worker: &str) {
        let path = self.directory.join(format!("panic {worker}"));
        std::fs::write(&path, "once").unwrap();
        wait_until(&format!("{worker} panics"), || !path.exists());
    }

    /// Has `worker` stall.
    fn stall(&self, worker: &str) -> Stalled {
        let path = self.directory.join(format!("stall {worker}"));
        std::fs::write(path, "").unwrap();
        Stalled {
            path: self.directory.join(format!("stalled {worker}")),
        }
    }
}

/// A worker that stalls until this is dropped.
struct Stalled {
    path: PathBuf,
}

impl Stalled {
    fn wait(&self) {
        wait_until("the worker stalls", || self.path.exists());
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path); // it never stalled
    }
}

fn sender_arguments(scene: &Scene, to: &[&str], more: &[&str]) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = ["batchsend", "-g", GROUP, "--sync", "20ms"].map(Into::into).to_vec();
    for to in to {
        arguments.extend(["--to".into(), OsString::from(to)]);
    }
    for (flag, path) in [
        ("-d", scene.path("spool")),
        ("-m", scene.store()),
        ("--shm-dir", scene.shm_dir().to_owned()),
    ] {
        arguments.extend([flag.into(), path.into_os_string()]);
    }
    arguments.extend(more.iter().map(OsString::from));
    arguments
}

fn receiver_arguments(scene: &Scene, name: &str, more: &[&str]) -> Vec<OsString> {
    let (archive, store) = (scene.archive(name).join("$GROUP"), scene.path(name).join("store"));
    let mut arguments: Vec<OsString> = ["batchrecv", "--listen", "127.0.0.1:0", "-d"].map(Into::into).to_vec();
    arguments.extend([archive.into(), "-m".into(), store.into()]);
    arguments.extend(more.iter().map(OsString::from));
    arguments
}

/// A receiver whose workers can be provoked, and its address.
fn provoked_receiver(scene: &Scene, provocation: &Provocation, more: &[&str]) -> (Process, String) {
    let receiver = provocation.start(scene, "recv", &receiver_arguments(scene, "recv", more));
    wait_until("the receiver says where it listens", || receiver.first_line().is_some());
    let address = receiver.first_line().unwrap();
    (receiver, address)
}

/// The faults of `kind` that `worker` has in `store`, and how often.
fn count(scene: &Scene, store: &Path, kind: &str, worker: &str) -> u64 {
    let faults = faults_of(scene, store);
    let of_it = faults
        .iter()
        .filter(|fault| fault["kind"] == kind && fault["worker"] == worker);
    of_it.map(|fault| fault["count"].as_u64().unwrap()).sum()
}

fn wait_fault(scene: &Scene, store: &Path, kind: &str, worker: &str) {
    wait_until(&format!("the {kind} of {worker} is recorded"), || {
        count(scene, store, kind, worker) > 0
    });
}

/// That SIGTERM ends it in less than 5 s, whatever hangs.
fn assert_ends_soon(mut process: Process, code: i32) {
    let asked = Instant::now();
    process.terminate();
    let finished = process.finish();
    assert!(asked.elapsed().as_secs() < 5, "{:?}", asked.elapsed());
    assert_eq!(finished.code, Some(code), "{}", finished.words);
}

#[test]
fn workers_of_a_sender_that_panic_are_built_anew_and_lose_and_double_nothing() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let provocation = Provocation::new(&scene, "provoke");
    let ship = format!("ship {GROUP} to {}", receiver.address);
    let workers = ["drain web", &ship, "sync", "recorder"];
    let sender = provocation.start(
        &scene,
        "batchsend",
        &sender_arguments(&scene, &[&receiver.address], &[]),
    );
    let mut all = Vec::new();
    for (number, worker) in workers.iter().enumerate() {
        let bytes = scene.lines(300_000);
        let input = scene.file(&format!("input-{number}.log"), &bytes);
        let logging = scene.engine(&[&input]);
        provocation.panic_once(worker);
        logging.succeed();
        all.extend(bytes);
        wait_fault(&scene, &scene.store(), "panic", worker);
        scene.wait_acked();
    }
    scene.assert_arrived(&receiver, &all);
    let found = faults_of(&scene, &scene.store());
    assert!(
        found
            .iter()
            .all(|fault| fault["object"] == fault["worker"] && fault["kind"] == "panic"),
        "{found:?}"
    );
    assert_eq!(scene.status().unwrap()["is_degraded"], false);
    assert_ends_soon(sender, 0);
}

#[test]
fn workers_of_a_receiver_that_panic_are_built_anew_and_lose_and_double_nothing() {
    let scene = Scene::new();
    let provocation = Provocation::new(&scene, "provoke");
    // On a busy machine a panic takes longer to be printed than a worker elsewhere may take to move.
    let (receiver, address) = provoked_receiver(&scene, &provocation, &[]);
    let store = scene.path("recv").join("store");
    let mut all = Vec::new();
    // Those of connections are called by their work alone where they are recorded.
    for (number, worker) in ["recv 1", "ack", "sync web", "accept", "recorder"].iter().enumerate() {
        let bytes = scene.lines(300_000);
        let input = scene.file(&format!("input-{number}.log"), &bytes);
        // A connection each, which is recorded.
        let _sender = scene.sender(&[&address]);
        let logging = scene.engine(&[&input]);
        provocation.panic_once(worker);
        logging.succeed();
        all.extend(bytes);
        wait_fault(&scene, &store, "panic", worker.trim_end_matches(" 1"));
        scene.wait_acked();
    }
    scene.assert_stored(&scene.archive("recv"), &all);
    assert_ends_soon(receiver, 0);
}

#[test]
fn one_destination_whose_shipper_keeps_panicking_leaves_the_bytes_and_order_of_the_other_alone() {
    let scene = Scene::new();
    let (good, bad) = (scene.receiver("good"), scene.receiver("bad"));
    let mut provocation = Provocation::new(&scene, "provoke");
    let manager = scene.path("manager.socket");
    let told = UnixDatagram::bind(&manager).unwrap();
    told.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    provocation.manager = Some(manager);
    let worker = format!("ship {GROUP} to {}", bad.address);
    let panics = provocation.panic(&worker);
    let arguments = sender_arguments(&scene, &[&good.address, &bad.address], &[]);
    let sender = provocation.start(&scene, "batchsend", &arguments);
    let mut all = Vec::new();
    for number in 0..5 {
        let bytes = scene.lines(200_000);
        scene.log(&[&scene.file(&format!("input-{number}.log"), &bytes)]);
        all.extend(bytes);
    }
    wait_fault(&scene, &scene.store(), "given-up", &worker);
    wait_until("the good one has all", || scene.unacked_by(&good.address) == Some(0));
    scene.assert_arrived(&good, &all);
    assert_eq!(count(&scene, &scene.store(), "panic", &worker), 6);
    let status = scene.status().unwrap();
    assert_eq!(status["is_degraded"], true, "{status}");
    wait_until("the service manager is told", || {
        let mut message = [0; 4096];
        let heard = told.recv(&mut message).map_or(0, |len| len);
        let heard = String::from_utf8_lossy(&message[..heard]);
        heard.contains("STATUS=") && heard.contains(&format!("degraded: {worker}"))
    });
    drop(told);
    provocation.manager = None;
    assert!(scene.unacked_by(&bad.address).is_some_and(|bytes| bytes > 0));
    assert_ends_soon(sender, 5);
    // Nothing that was queued is lost: the next sender delivers it.
    std::fs::remove_file(panics).unwrap();
    let _sender = provocation.start(&scene, "batchsend", &arguments);
    scene.wait_acked();
    scene.assert_arrived(&bad, &all);
    scene.assert_arrived(&good, &all);
    assert_eq!(scene.status().unwrap()["is_degraded"], false);
}

#[test]
fn a_process_that_is_to_end_when_a_worker_is_given_up_ends_with_status_5() {
    let scene = Scene::new();
    let provocation = Provocation::new(&scene, "provoke");
    provocation.panic("sync");
    let more = ["--on-worker-failed", "exit", "--max-restarts", "1/30s"];
    let sender = provocation.start(&scene, "batchsend", &sender_arguments(&scene, &["127.0.0.1:9"], &more));
    scene.log(&[&scene.file("input.log", b"line\n")]);
    let finished = sender.finish();
    assert_eq!(finished.code, Some(5), "{}", finished.words);
}

/// A drainer that stalls between its copies of records and their append, while its ring is filled many times over: when it wakes up, everything that it
/// knows is long past. The mutant `stalled-worker-writes-on` has it go on.
#[test]
fn a_drainer_that_stalls_is_replaced_and_does_no_harm_when_it_wakes_up() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let provocation = Provocation::new(&scene, "provoke");
    let arguments = sender_arguments(&scene, &[&receiver.address], &["--stall-timeout", "1s"]);
    let sender = provocation.start(&scene, "batchsend", &arguments);
    drain_past_a_stall(&scene, &provocation, &sender, &receiver.archive);
    let all = std::fs::read(scene.path("all")).unwrap();
    scene.assert_arrived(&receiver, &all);
    assert_ends_soon(sender, 0);
    // What is in the spool says the same to a later run.
    let more = scene.lines(100_000);
    scene.log(&[&scene.file("more.log", &more)]);
    let _sender = scene.sender(&[&receiver.address]);
    scene.wait_acked();
    scene.assert_arrived(&receiver, &[all, more].concat());
}

#[test]
fn a_drainer_of_a_local_that_stalls_is_replaced_and_does_no_harm_when_it_wakes_up() {
    let scene = Scene::new();
    let provocation = Provocation::new(&scene, "provoke");
    let arguments = scene.local_arguments(&[GROUP], "local", &["--stall-timeout", "1s", "--sync", "20ms"]);
    let local = provocation.start(&scene, "local", &arguments);
    drain_past_a_stall(&scene, &provocation, &local, &scene.archive("local"));
    let all = std::fs::read(scene.path("all")).unwrap();
    crate::arrived::assert_equal(&scene.raw(&scene.archive("local")), &all);
    scene.verify(&scene.archive("local"));
    assert_ends_soon(local, 0);
}

/// Logs, through one ring that is filled many times over, while the drainer of `role` stalls, is replaced, and wakes up again. What was logged is in the file
/// `all`; all of it is in `archive` then.
fn drain_past_a_stall(scene: &Scene, provocation: &Provocation, role: &Process, archive: &Path) {
    let input = scene.file("all", b"");
    let wait = || {
        wait_until("all is in the archive", || {
            let mut arguments = crate::scene::words(&["cat", "--format=raw"]);
            arguments.push(archive.as_os_str());
            let read = scene.run("cat", &arguments).output.len() as u64;
            read == std::fs::metadata(&input).unwrap().len()
        });
    };
    let mut arguments = scene.engine_arguments(GROUP, &[&input]);
    arguments.extend(crate::scene::words(&["--follow", "--ring-size", "64KiB"]));
    let mut engine = scene.start("engine", &arguments);
    let write = |bytes: &[u8]| {
        use std::io::Write;
        let mut file = std::fs::File::options().append(true).open(&input).unwrap();
        file.write_all(bytes).unwrap();
    };
    write(&scene.lines(100_000));
    wait();
    let stalled = provocation.stall(&format!("drain {GROUP}"));
    write(&scene.lines(1 << 20));
    stalled.wait();
    wait_until("another drainer takes its place", || {
        role.words().contains("drain web is started anew")
    });
    wait_until("the ring is drained past all that the stalled one knows", || {
        let (tail, head) = scene.progress();
        tail > 1 << 20 && tail == head
    });
    drop(stalled);
    // It wakes up while its successor drains what comes.
    for _ in 0..5 {
        write(&scene.lines(200_000));
        wait();
    }
    assert!(engine.is_running(), "{}", engine.words());
    engine.terminate();
    engine.succeed();
}

#[test]
fn a_shipper_that_stalls_is_replaced_and_does_no_harm_when_it_wakes_up() {
    let scene = Scene::new();
    let receiver = scene.receiver("recv");
    let provocation = Provocation::new(&scene, "provoke");
    let arguments = sender_arguments(&scene, &[&receiver.address], &["--stall-timeout", "1s"]);
    let sender = provocation.start(&scene, "batchsend", &arguments);
    let worker = format!("ship {GROUP} to {}", receiver.address);
    let mut all = scene.lines(1 << 20);
    let stalled = provocation.stall(&worker);
    scene.log(&[&scene.file("first.log", &all)]);
    stalled.wait();
    scene.wait_acked();
    wait_fault(&scene, &scene.store(), "stall", &worker);
    drop(stalled);
    let more = scene.lines(1 << 20);
    scene.log(&[&scene.file("second.log", &more)]);
    all.extend(more);
    scene.wait_acked();
    scene.assert_arrived(&receiver, &all);
    assert_ends_soon(sender, 0);
}

#[test]
fn a_syncing_thread_that_stalls_is_replaced_and_its_late_result_acknowledges_nothing() {
    let scene = Scene::new();
    let provocation = Provocation::new(&scene, "provoke");
    let (receiver, address) = provoked_receiver(&scene, &provocation, &["--stall-timeout", "1s"]);
    let stalled = provocation.stall(&format!("sync {GROUP}"));
    let _sender = scene.sender(&[&address]);
    let mut all = scene.lines(1 << 20);
    scene.log(&[&scene.file("first.log", &all)]);
    stalled.wait();
    scene.wait_acked();
    drop(stalled);
    let more = scene.lines(1 << 20);
    scene.log(&[&scene.file("second.log", &more)]);
    all.extend(more);
    scene.wait_acked();
    scene.assert_stored(&scene.archive("recv"), &all);
    wait_fault(
        &scene,
        &scene.path("recv").join("store"),
        "stall",
        &format!("sync {GROUP}"),
    );
    assert_ends_soon(receiver, 0);
}

#[test]
fn a_connection_that_stalls_is_hung_up_and_its_sender_is_served_anew() {
    let scene = Scene::new();
    let provocation = Provocation::new(&scene, "provoke");
    let (receiver, address) = provoked_receiver(&scene, &provocation, &["--stall-timeout", "1s"]);
    let stalled = provocation.stall("recv 1");
    let _sender = scene.sender(&[&address]);
    let all = scene.lines(1 << 20);
    scene.log(&[&scene.file("input.log", &all)]);
    stalled.wait();
    scene.wait_acked();
    drop(stalled);
    scene.assert_stored(&scene.archive("recv"), &all);
    wait_fault(&scene, &scene.path("recv").join("store"), "stall", "recv");
    assert_ends_soon(receiver, 0);
}

#[test]
fn roles_whose_workers_all_hang_end_in_time() {
    let scene = Scene::new();
    let provocation = Provocation::new(&scene, "provoke");
    let (receiver, address) = provoked_receiver(&scene, &provocation, &["--stall-timeout", "1s"]);
    let of_sender = Provocation::new(&scene, "provoke-sender");
    let sender = of_sender.start(&scene, "batchsend", &sender_arguments(&scene, &[&address], &[]));
    scene.log(&[&scene.file("input.log", b"line\n")]);
    scene.wait_acked();
    let stalled: Vec<_> = ["recv 1", "accept", "recorder", "ack", "sync web"]
        .map(|worker| provocation.stall(worker))
        .into();
    let ship = format!("ship {GROUP} to {address}");
    let of_sender: Vec<_> = ["drain web", "sync", "recorder", &ship]
        .map(|worker| of_sender.stall(worker))
        .into();
    let _engine = scene.engine(&[&scene.file("more.log", scene.lines(1 << 20))]);
    // Whoever waits for another one's work does not get to where it would stall.
    of_sender[0].wait();
    stalled[1].wait();
    assert_ends_soon(sender, 0);
    assert_ends_soon(receiver, 0);
}

#[test]
fn an_intake_that_panics_and_one_that_stalls_are_followed_by_others_and_nothing_is_lost_or_doubled() {
    let scene = Scene::new();
    let provocation = Provocation::new(&scene, "provoke");
    let receiver = scene.receiver("recv");
    let arguments = sender_arguments(&scene, &[&receiver.address], &["--stall-timeout", "1s"]);
    let _sender = provocation.start(&scene, "batchsend", &arguments);
    let mut program = Logging::start(&scene, &scene.store(), "program");
    let goes_on = |program: &Logging| {
        let before = program.published();
        wait_until("it is served", || program.published() > before + 50);
    };
    goes_on(&program);
    let intake = format!("intake {GROUP}");
    provocation.panic_once(&intake);
    goes_on(&program);
    let stalled = provocation.stall(&intake);
    stalled.wait();
    wait_until("it is replaced", || {
        count(&scene, &scene.store(), "stall", &intake) == 1
    });
    // The one that hangs has the rings of its queues. When it wakes up it ends, and the other gets them.
    drop(stalled);
    goes_on(&program);
    program.kill();
    let path = queue_path(scene.shm_dir(), GROUP, program.pid(), program.pid());
    wait_until("its queue is deleted", || !path.exists());
    scene.wait_acked();
    let [numbers] = &numbers(&scene, &receiver.archive)[..] else {
        panic!("one queue is one stream")
    };
    let (arrived, published) = (numbers.len() as u64, program.published());
    assert!(
        arrived == published || arrived == published + 1,
        "{arrived} of {published}"
    );
    assert!(numbers.iter().copied().eq(0..arrived));
}
