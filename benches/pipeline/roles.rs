//! The roles under measurement: real processes of the program, which do not outlive it.

use super::Outcome;
use super::scene::{GROUP, Scene};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The longest that a role may take to start, or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program, as it was built for this run.
pub(crate) fn hog(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hog"));
    command.args(arguments);
    command
}

/// A role that does not outlive the run.
pub(crate) struct Role {
    child: Child,
    /// The greatest resident size seen, mapped rings and segments included.
    pub(crate) peak_kib: u64,
}

impl Role {
    /// Starts a sender of the scene's group.
    pub(crate) fn sender(scene: &Scene, address: &str) -> Outcome<Self> {
        Self::sender_with(hog(&[]), scene, &["--to", address])
    }

    /// One that keeps nothing back to ship more at once.
    pub(crate) fn prompt_sender(scene: &Scene, address: &str) -> Outcome<Self> {
        Self::sender_with(hog(&[]), scene, &["--to", address, "--batch-time", "0s"])
    }

    /// The same as [`Self::sender`], of that `program`, with these arguments beside.
    pub(crate) fn sender_with(program: Command, scene: &Scene, arguments: &[&str]) -> Outcome<Self> {
        let (spool, store) = (scene.path("spool"), scene.path("send"));
        let places = [
            ("-d", spool.as_path()),
            ("-m", store.as_path()),
            ("--shm-dir", scene.shm_dir()),
        ];
        Self::start_with(program, "batchsend", &[&["-g", GROUP], arguments].concat(), &places)
    }

    /// One that ends once all that there is is acknowledged.
    pub(crate) fn last_sender(scene: &Scene, address: &str) -> Outcome<Self> {
        let (spool, store) = (scene.path("spool"), scene.path("send"));
        let places = [
            ("-d", spool.as_path()),
            ("-m", store.as_path()),
            ("--shm-dir", scene.shm_dir()),
        ];
        let arguments = ["-g", GROUP, "--to", address, "--drain-and-exit"];
        Self::start("batchsend", &arguments, &places)
    }

    /// Starts a receiver, and waits until senders may come; gives its address.
    pub(crate) fn receiver(scene: &Scene) -> Outcome<(Self, String)> {
        Self::receiver_at(scene, "127.0.0.1:0")
    }

    /// The same, at `listen`.
    pub(crate) fn receiver_at(scene: &Scene, listen: &str) -> Outcome<(Self, String)> {
        Self::receiver_of(scene, listen, ("archive", "recv"))
    }

    /// Another receiver, with an archive and a store of these names.
    pub(crate) fn receiver_of(scene: &Scene, listen: &str, (archive, store): (&str, &str)) -> Outcome<(Self, String)> {
        let (archive, store) = (scene.path(archive), scene.path(store));
        let places = [("-d", archive.as_path()), ("-m", store.as_path())];
        let mut receiver = Self::start("batchrecv", &["--listen", listen], &places)?;
        let mut address = String::new();
        BufReader::new(receiver.child.stdout.take().ok_or("the receiver has no stdout")?).read_line(&mut address)?;
        if address.trim().is_empty() {
            return Err("the receiver did not start".into());
        }
        Ok((receiver, address.trim().to_owned()))
    }

    /// Starts an engine on `input`.
    pub(crate) fn engine(scene: &Scene, input: &Path) -> Outcome<Self> {
        Self::start(
            "engine",
            &["-g", GROUP],
            &[("--shm-dir", scene.shm_dir()), ("--", input)],
        )
    }

    fn start(role: &str, arguments: &[&str], places: &[(&str, &Path)]) -> Outcome<Self> {
        Self::start_with(hog(&[]), role, arguments, places)
    }

    fn start_with(mut command: Command, role: &str, arguments: &[&str], places: &[(&str, &Path)]) -> Outcome<Self> {
        command.env_remove("RUST_BACKTRACE"); // as services run: with it a panic takes longer than a round
        command.args(["-qq", role]).args(arguments);
        for (flag, place) in places {
            command.arg(flag).arg(place);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        Ok(Role { child, peak_kib: 0 })
    }

    /// Waits until this sender serves its group: it has started.
    pub(crate) fn wait_until_it_serves(&mut self, scene: &Scene) -> Outcome<()> {
        let gives_up = Instant::now() + PATIENCE;
        while UnixStream::connect(scene.intake()).is_err() {
            if self.is_done()? || Instant::now() > gives_up {
                return Err("the sender did not start".into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Notes the peak of the role's memory. The kernel keeps it, so only what grew in the last moments of a process
    /// that ends is missed.
    pub(crate) fn look(&mut self) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|words| words.split_whitespace().next()?.parse().ok());
        self.peak_kib = self.peak_kib.max(peak.unwrap_or(0));
    }

    /// Seconds of processor time that its threads have taken, of those that live still.
    pub(crate) fn processor_time(&self) -> f64 {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let of_one = |thread: std::fs::DirEntry| -> Option<f64> {
            let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse().ok()
        };
        let nanoseconds: f64 = threads.into_iter().flatten().flatten().filter_map(of_one).sum();
        nanoseconds / 1e9
    }

    /// Stops it where it is, or has it go on from there. Once it is stopped, none of its threads does anything any more.
    pub(crate) fn pause(&self, pauses: bool) -> Outcome<()> {
        let pid = Pid::from_child(&self.child);
        if !pauses {
            return Ok(kill_process(pid, Signal::CONT)?);
        }
        kill_process(pid, Signal::STOP)?;
        // The signal is only sent by then.
        let gives_up = Instant::now() + PATIENCE;
        while waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED | WaitIdOptions::NOHANG)?.is_none() {
            if Instant::now() > gives_up {
                return Err("a role did not stop".into());
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        Ok(())
    }

    /// Whether it ended, and well.
    pub(crate) fn is_done(&mut self) -> Outcome<bool> {
        match self.child.try_wait()? {
            Some(status) if !status.success() => Err(format!("a role failed: {status}").into()),
            ended => Ok(ended.is_some()),
        }
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended already
        let _ = self.child.wait();
    }
}
