//! Processes of the program under test: none outlives its test, and each can be killed, asked to end, and listened to.

use crate::arrived::segments;
use crate::scene::{GROUP, Scene, wait_until, words};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// A process that does not outlive its test.
pub(crate) struct Process {
    child: Child,
    name: String,
    stdout: PathBuf,
    /// The file of all its name ever said, and where its own words begin in it.
    stderr: (PathBuf, u64),
}

/// A process that has ended.
pub(crate) struct Finished {
    /// `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it said on stdout.
    pub(crate) output: Vec<u8>,
    /// What it said on stderr.
    pub(crate) words: String,
}

impl Finished {
    /// That it ended with `code`, put nothing on stdout, and said one line on stderr that has all `said`.
    pub(crate) fn assert_refused(&self, code: i32, said: &[&str]) {
        assert_eq!(self.code, Some(code), "{}", self.words);
        assert_eq!(String::from_utf8_lossy(&self.output), "", "{}", self.words);
        self.assert_one_line(said);
    }

    /// That it said one line on stderr, for people, that has all `said`.
    pub(crate) fn assert_one_line(&self, said: &[&str]) {
        let words = &self.words;
        let is_one_line = words.ends_with('\n') && !words.trim_end_matches('\n').contains(|c: char| c.is_control());
        assert!(
            words.starts_with("hog: ") && is_one_line && words.matches('\n').count() == 1,
            "not one line: {words:?}"
        );
        for inside in ["panicked", "backtrace", "Some(", "Err(", "Os {", "Error {"] {
            assert!(!words.contains(inside), "the inside of the program: {words}");
        }
        for word in said {
            assert!(words.contains(word), "no {word:?} in {words:?}");
        }
    }
}

impl Process {
    /// Starts `hog`. What it says goes to files in `directory` that are called `name`: stdout alone, stderr behind what
    /// others of that name said.
    pub(crate) fn start(directory: &Path, name: &str, arguments: &[&OsStr], stdin: Stdio) -> Self {
        Self::start_under(&[], directory, name, arguments, stdin)
    }

    /// The same, as an argument of the command `under`.
    pub(crate) fn start_under(
        under: &[&OsStr],
        directory: &Path,
        name: &str,
        arguments: &[&OsStr],
        stdin: Stdio,
    ) -> Self {
        let mut words = under.to_vec();
        words.push(OsStr::new(env!("CARGO_BIN_EXE_hog")));
        words.extend(arguments);
        let mut command = Command::new(words[0]);
        command.args(&words[1..]);
        Self::start_command(directory, name, command, stdin)
    }

    /// As [`Self::start`], for a command line that begins otherwise.
    pub(crate) fn start_command(directory: &Path, name: &str, mut command: Command, stdin: Stdio) -> Self {
        let (stdout, said_by_all) = (
            directory.join(format!("{name}.stdout")),
            directory.join(format!("{name}.stderr")),
        );
        let stderr = File::options().create(true).append(true).open(&said_by_all).unwrap();
        let said = stderr.metadata().unwrap().len();
        let child = command
            .env_remove("HOBBES_STORE_DIR")
            .stdin(stdin)
            .stdout(File::create(&stdout).unwrap())
            .stderr(stderr)
            .spawn()
            .unwrap();
        Self {
            child,
            name: name.to_owned(),
            stdout,
            stderr: (said_by_all, said),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL. Whether that was what ended it.
    pub(crate) fn kill(&mut self) -> bool {
        let _ = self.child.kill(); // it may have ended already
        self.child.wait().unwrap().signal() == Some(9)
    }

    /// SIGTERM.
    pub(crate) fn terminate(&mut self) {
        self.signal(Signal::TERM);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Stops it, and waits until it is stopped.
    pub(crate) fn stand_still(&self) {
        self.signal(Signal::STOP);
        wait_until("it stands still", || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
            status.lines().any(|line| line.starts_with("State:\tT"))
        });
    }

    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.ended().is_none()
    }

    /// The most memory that it ever had at once, shared memory included, in KiB.
    pub(crate) fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// What it said on stderr so far.
    pub(crate) fn words(&self) -> String {
        let (path, from) = &self.stderr;
        let bytes = std::fs::read(path).unwrap();
        String::from_utf8_lossy(&bytes[usize::try_from(*from).unwrap()..]).into_owned()
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Finished {
        wait_until(&format!("{} ends", self.name), || !self.is_running());
        Finished {
            code: self.ended().and_then(|status| status.code()),
            output: std::fs::read(&self.stdout).unwrap(),
            words: self.words(),
        }
    }

    /// Waits for its end, which must be a good one.
    pub(crate) fn succeed(self) {
        let name = self.name.clone();
        let finished = self.finish();
        assert_eq!(finished.code, Some(0), "{name}: {}", finished.words);
    }

    /// The first line on its stdout, once it is whole.
    pub(crate) fn first_line(&self) -> Option<String> {
        let output = std::fs::read_to_string(&self.stdout).unwrap();
        output.split_once('\n').map(|(line, _)| line.to_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A receiver, which may be killed and started again where it was.
pub(crate) struct Receiver {
    process: Option<Process>,
    name: String,
    /// Where it listens.
    pub(crate) address: String,
    /// Where its archives are.
    pub(crate) archive: PathBuf,
    /// How they lie there: `-d` below `archive`.
    pub(crate) pattern: &'static str,
}

impl Receiver {
    /// Starts one at any port.
    pub(crate) fn start_new(scene: &Scene, name: &str) -> Self {
        let mut receiver = Self {
            process: None,
            name: name.to_owned(),
            address: "127.0.0.1:0".to_owned(),
            archive: scene.path(name).join("archive"),
            pattern: "$GROUP",
        };
        receiver.start(scene);
        receiver
    }

    /// Starts it at the address that it had, and waits until senders may come.
    pub(crate) fn start(&mut self, scene: &Scene) {
        // While it was down, the kernel may have given its port to somebody's connection, who has it only for a while.
        wait_until("the receiver has its port again", || {
            self.start_under(scene, &[]);
            let (words, is_running) = (self.process().words(), self.process().is_running());
            let is_taken = words.contains("Address already in use");
            assert!(is_running || is_taken, "{} did not start: {words}", self.name);
            is_running
        });
    }

    /// The same, as an argument of the command `under`; and it may end before senders may come.
    pub(crate) fn start_under(&mut self, scene: &Scene, under: &[&OsStr]) {
        let store = scene.path(&self.name).join("store");
        let mut arguments = words(&["batchrecv", "--listen", &self.address, "-d"]);
        let pattern = self.archive.join(self.pattern);
        arguments.extend([pattern.as_os_str(), OsStr::new("-m"), store.as_os_str()]);
        let mut process = scene.start_under(under, &self.name, &arguments);
        wait_until("the receiver says where it listens", || {
            process.first_line().is_some() || !process.is_running()
        });
        let Some(address) = process.first_line() else {
            self.process = Some(process);
            return;
        };
        let port = |address: &str| address.rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
        assert!(
            port(&self.address) == 0 || self.address == address,
            "{} is now {address}",
            self.address
        );
        self.address = address;
        self.process = Some(process);
    }

    /// The running process.
    pub(crate) fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("it was started")
    }

    pub(crate) fn kill(&mut self) {
        self.process().kill();
    }

    /// Its segments of [`GROUP`].
    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        segments(&self.archive.join(GROUP))
    }
}
