//! The README's first hour, typed line by line on a machine that is thrown away: its packages, real units under a real
//! systemd, its programs, and what it says is printed.

use crate::machine::{self, Machine};
use crate::making::{Package, missing};
use crate::readme::{Block, blocks};
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

const SECTION: &str = "The first hour";
/// What its commands need that `machine.sh` does not.
const NEEDED: [&str; 7] = ["cargo-deb", "dpkg", "cc", "pkg-config", "sg", "usermod", "tee"];
/// How long what was logged may take to arrive, restarts of services included.
const ARRIVES_WITHIN: Duration = Duration::from_secs(120);

/// Waits until `holds`.
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + ARRIVES_WITHIN;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within {ARRIVES_WITHIN:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Lines of `hog cat` without their times.
fn timeless(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| Some(line.split_once(' ')?.1)).collect()
}

/// Someone who reads the section from its beginning.
struct Newcomer<'a> {
    machine: Machine,
    scene: &'a Path,
    /// The last command that prints what was logged.
    reads: String,
    /// What it is said to print.
    said: Vec<&'static str>,
}

impl Newcomer<'_> {
    fn does(&mut self, block: &Block) {
        match block.language {
            "sh" => block.text.lines().for_each(|line| self.types(line)),
            "rust,no_run" => self.writes("src/main.rs", block.text),
            "c" => self.writes("greet.c", block.text),
            "text" => self.expects(timeless(block.text)),
            other => panic!("nobody knows what to do with a block of {other}"),
        }
    }

    fn types(&mut self, line: &str) {
        if line.starts_with("cargo install") || line.starts_with("cargo deb") {
            // The packages are there, made of what is tested.
        } else if line.contains("--follow") {
            self.follows(line);
        } else if line.starts_with("sudo hog cat") {
            line.clone_into(&mut self.reads);
        } else if line.starts_with("sudo systemctl disable") {
            self.machine.run("hog verify /var/lib/hog/archive");
            self.machine.run(line);
        } else {
            self.machine.run(line);
            if line.contains("cargo new") {
                // There is no network: the versions that this workspace has.
                self.machine.run("cp /hour/hog/Cargo.lock .");
            }
        }
    }

    fn writes(&mut self, name: &str, text: &str) {
        self.machine.run(&format!("cat >{name} <<'WRITTEN'\n{text}\nWRITTEN"));
    }

    /// What is logged arrives before long.
    fn expects(&mut self, said: Vec<&'static str>) {
        let mut printed = String::new();
        let (machine, reads) = (&mut self.machine, &self.reads);
        let deadline = Instant::now() + ARRIVES_WITHIN;
        while timeless(&printed) != said {
            assert!(Instant::now() < deadline, "{reads}: {printed}");
            let output = machine.try_run(reads);
            printed = String::from_utf8(output.stdout).unwrap();
            std::thread::sleep(Duration::from_millis(50));
        }
        self.said = said;
    }

    /// A reader that goes on while the services, killed, start anew.
    fn follows(&mut self, line: &str) {
        let path = self.scene.join("followed");
        let mut command = self.machine.command(line);
        let mut reader = command.stdout(File::create(&path).unwrap()).spawn().unwrap();
        self.said.push("web line third line");
        let followed = || std::fs::read_to_string(&path).unwrap();
        wait_until("the third line is followed", || {
            timeless(&followed()).len() >= self.said.len()
        });
        assert_eq!(timeless(&followed()), self.said);
        reader.kill().unwrap();
        reader.wait().unwrap();
        let status = self.machine.run("sudo hog status -m /var/lib/hog/batchsend/web");
        for (session, how) in [("session 1 ", ", not ended in order"), ("session 2 ", ", goes on,")] {
            let mut lines = status.lines();
            assert!(
                lines.any(|line| line.starts_with(session) && line.contains(how)),
                "{status}"
            );
        }
        for unit in ["hog-engine@web", "hog-batchsend@web", "hog-batchrecv@7070"] {
            let shown = self
                .machine
                .run(&format!("systemctl show -p NRestarts -p ActiveState {unit}"));
            assert!(
                shown.contains("NRestarts=1\n") && shown.contains("ActiveState=active\n"),
                "{unit}: {shown}"
            );
        }
    }
}

#[test]
fn the_first_hour_of_the_readme_goes_as_it_says() {
    let tools: Vec<_> = NEEDED.into_iter().chain(machine::NEEDED).collect();
    if let Some(reason) = missing(&tools).or_else(machine::cannot) {
        eprintln!("the README's first hour is not tested: {reason}");
        return;
    }
    let scene = tempfile::tempdir().unwrap();
    let debs = scene.path().join("debs");
    std::fs::create_dir(&debs).unwrap();
    for package in [Package::Hog, Package::Dev] {
        package.make(&debs);
    }
    let mut machine = match Machine::start(scene.path(), &debs) {
        Ok(machine) => machine,
        Err(reason) => return eprintln!("the README's first hour is not tested: {reason}"),
    };
    if !machine.try_run("cargo --version").status.success() {
        return eprintln!("the README's first hour is not tested: there is no cargo outside of /tmp");
    }

    let (reads, said, scene) = (String::new(), Vec::new(), scene.path());
    let mut newcomer = Newcomer {
        machine,
        scene,
        reads,
        said,
    };
    for block in blocks(Some(SECTION)) {
        newcomer.does(&block);
    }
    assert_eq!(newcomer.said.len(), 5, "all five records of the hour were read back");
    let machine = &mut newcomer.machine;
    machine.run("! pgrep -x hog && ! test -e /usr/bin/hog && ! test -e /usr/include/hog.h");
    machine.run("test -z \"$(ls /etc/systemd/system/multi-user.target.wants | grep hog)\" && ls /var/lib/hog/archive/web /etc/hog/engine-web.env");
}
