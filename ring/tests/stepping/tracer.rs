//! The tracer: a child process that executes one instruction at a time.

use crate::scenes::{MARK, Mark, ROLE, SHM};
use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// What came of an attempt to trace.
pub(crate) enum Tracing<T> {
    Done(T),
    /// The kernel does not let this process trace another.
    Forbidden(Errno),
}

/// A child in the middle of a scene, stopped between two instructions.
pub(crate) struct Stepped {
    child: Child,
    pid: Pid,
    memory: File,
    mark_at: u64,
    /// A signal for the child that came instead of the end of a step.
    owed: Option<Signal>,
}

impl Stepped {
    /// Lets a child prepare `scene` in the directory `shm`, and stops it where the scene begins.
    pub(crate) fn start(scene: &str, shm: &Path) -> Tracing<Stepped> {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(ROLE, scene)
            .env(SHM, shm)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let mark_at = line.trim().parse().expect("the child says where its mark is");
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        if let Err(error) = ptrace::attach(pid) {
            child.kill().unwrap();
            child.wait().unwrap();
            return Tracing::Forbidden(error);
        }
        waitpid(pid, None).unwrap();
        let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
        child.stdin.take().unwrap().write_all(b"!").unwrap();
        let mut stepped = Stepped {
            child,
            pid,
            memory,
            mark_at,
            owed: None,
        };
        while stepped.mark().0 == 0 {
            assert!(stepped.instruction(), "the child ended before its scene began");
        }
        Tracing::Done(stepped)
    }

    /// Executes one instruction: how many numbers are logged by calls that returned; `None` when the scene is over.
    pub(crate) fn step(&mut self) -> Option<u64> {
        if !self.instruction() {
            panic!("the child ended within its scene");
        }
        let (phase, returned) = self.mark();
        (phase == 1).then_some(returned)
    }

    /// `false`: the child has ended.
    fn instruction(&mut self) -> bool {
        ptrace::step(self.pid, self.owed.take()).unwrap();
        match waitpid(self.pid, None).unwrap() {
            WaitStatus::Stopped(_, Signal::SIGTRAP | Signal::SIGSTOP) => true,
            WaitStatus::Stopped(_, signal) => {
                self.owed = Some(signal);
                true
            }
            _ => false,
        }
    }

    /// Phase, and how many numbers are logged by calls that returned.
    fn mark(&self) -> (u64, u64) {
        let mut bytes = [0; size_of::<Mark>()];
        self.memory.read_exact_at(&mut bytes, self.mark_at).unwrap();
        let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
        (word(0), word(8))
    }

    /// SIGKILL, here and now.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Stepped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The layout that [`Stepped::mark`] reads.
const _: () = assert!(size_of_val(&MARK) == 16);
