//! Starting the peers, which are programs in Python.

use crate::roles::Process;
use crate::scene::{Scene, wait_until};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a peer exits with that this machine cannot play.
const UNSUPPORTED: i32 = 77;

/// Where the peers are.
fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop")
}

/// A command of Python that leaves nothing beside its source.
fn python() -> Command {
    let mut command = Command::new("python3");
    command.args(["-B", "-u"]);
    command
}

/// Whether there is a Python that can play the peers; words where there is none.
pub(crate) fn can_play() -> bool {
    let asked = python()
        .args([
            "-c",
            "import sys, shared_words; shared_words.prepare(); sys.exit(sys.version_info < (3, 10))",
        ])
        .env("PYTHONPATH", directory())
        .stdin(Stdio::null())
        .output();
    match asked {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            let words = String::from_utf8_lossy(&output.stderr).into_owned();
            eprintln!("no peer was played: python3 is older than 3.10, or cannot do it: {words}");
            false
        }
        Err(error) => {
            eprintln!("no peer was played: python3: {error}");
            false
        }
    }
}

/// Words of a peer's command line.
pub(crate) fn line(words: &[&dyn AsRef<OsStr>]) -> Vec<OsString> {
    words.iter().map(|word| word.as_ref().to_owned()).collect()
}

/// Starts the peer `script`; what it says goes to files that are called `name`.
pub(crate) fn start(scene: &Scene, name: &str, script: &str, arguments: &[OsString]) -> Process {
    let mut command = python();
    command.arg(directory().join(script)).args(arguments);
    Process::start_command(scene.directory(), name, command, Stdio::null())
}

/// Waits for the good end of a peer, and gives what it said.
pub(crate) fn finish(peer: Process, name: &str) -> String {
    let finished = peer.finish();
    assert_ne!(finished.code, Some(UNSUPPORTED), "{}", finished.words);
    assert_eq!(finished.code, Some(0), "{name}: {}", finished.words);
    String::from_utf8(finished.output).unwrap()
}

/// The command line of an application that logs into `group`, with a journal of this name. It looks for its recorder in
/// the sender's store.
pub(crate) fn producer_arguments(scene: &Scene, group: &str, journal: &Path) -> Vec<OsString> {
    let store = scene.store();
    line(&[
        &"--group",
        &group,
        &"--store",
        &store,
        &"--shm",
        &scene.shm_dir(),
        &"--journal",
        &journal,
        &"--seed",
        &scene.draw(|chance| chance.u32(..)).to_string(),
    ])
}

/// An original receiver, which may be killed and started again at its address.
pub(crate) struct ClassicReceiver {
    process: Process,
    /// Where it listens.
    pub(crate) address: String,
    /// Where its files are.
    pub(crate) directory: PathBuf,
}

impl ClassicReceiver {
    /// Starts one at any port.
    pub(crate) fn start_new(scene: &Scene, name: &str, more: &[&str]) -> Self {
        let directory = scene.path(name);
        let (process, address) = Self::listening(scene, "127.0.0.1:0", &directory, more);
        Self {
            process,
            address,
            directory,
        }
    }

    /// Starts one at `address`, which nobody else listens at any more.
    pub(crate) fn start_at(scene: &Scene, name: &str, address: &str) -> Self {
        let directory = scene.path(name);
        let (process, address) = Self::listening(scene, address, &directory, &[]);
        Self {
            process,
            address,
            directory,
        }
    }

    /// Ends it, if it did not end by itself, and starts it again where it was.
    pub(crate) fn start_again(&mut self, scene: &Scene, more: &[&str]) {
        self.process.kill();
        let (process, address) = Self::listening(scene, &self.address, &self.directory, more);
        assert_eq!(address, self.address);
        self.process = process;
    }

    /// Ends it.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Whether it lives.
    pub(crate) fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    fn listening(scene: &Scene, address: &str, directory: &Path, more: &[&str]) -> (Process, String) {
        let mut arguments = line(&[&"--listen", &address, &"--directory", &directory]);
        arguments.extend(more.iter().map(OsString::from));
        // While it was down, the kernel may have given its port to somebody's connection, who has it only for a while.
        let mut found = None;
        wait_until("the original receiver listens", || {
            let mut process = start(scene, "classic_receiver", "classic_receiver.py", &arguments);
            wait_until("it listens or ends", || {
                process.first_line().is_some() || !process.is_running()
            });
            let words = process.words();
            match process.first_line() {
                Some(address) => found = Some((process, address)),
                None => assert!(words.contains("Address already in use"), "{words}"),
            }
            found.is_some()
        });
        found.expect("it listens")
    }

    /// How many segments it accepted.
    pub(crate) fn segments(&self) -> usize {
        let lines = |path: std::path::PathBuf| {
            std::fs::read(path)
                .unwrap()
                .iter()
                .filter(|byte| **byte == b'\n')
                .count()
        };
        let files = std::fs::read_dir(&self.directory).unwrap();
        files.map(|entry| lines(entry.unwrap().path()).saturating_sub(1)).sum()
    }

    /// What it accepted: of each connection, in their order, the lines that it wrote.
    pub(crate) fn connections(&self) -> Vec<Vec<serde_json::Value>> {
        let mut paths: Vec<_> = std::fs::read_dir(&self.directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        paths.iter().map(|path| crate::journal::json_lines(path)).collect()
    }
}
