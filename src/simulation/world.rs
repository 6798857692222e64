//! The world of one run: hosts, programs, lines, time; what is done in it, and how it is brought to rest.

use super::action::{Action, EXCHANGE_STEPS, PROGRAMS, RECEIVERS};
use super::check;
use super::process::Process;
use super::program::{Call, Program};
use super::receiver::Receiver;
use super::sender::{Manner, Sender};
use crate::formats::codec::Compression;
use crate::os::clock;
use crate::os::disk::simulated::{Disk, Faults};
use crate::stages::archive::ArchivePattern;
use hog_ring::simulation;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use uuid::Uuid;

/// Rounds in which everything must have come to rest once nothing fails any more.
const ROUNDS_MAX: usize = 400;
/// Records that fill a ring.
const BURST: usize = 50;
/// What time a step takes.
const STEP: Duration = Duration::from_micros(30);
/// Boot times lie this far above the beginning of simulated time.
const SINCE_BOOT_NS: u64 = 1_000_000_000_000;

pub(super) struct World {
    programs: Vec<Program>,
    sender: Sender,
    receivers: Vec<Receiver>,
    scratch: PathBuf,
    /// The pid that the next process gets.
    next_pid: u32,
    passed: Duration,
    /// The sender's host lost its power: what it had not delivered may be missing, and that is marked.
    has_lost_memory: bool,
}

impl World {
    /// A world whose shared memory is the real directory `shm`.
    pub(super) fn new(seed: u64, shm: &Path, scratch: &Path) -> Result<Self, String> {
        let destinations = (0..RECEIVERS).map(destination).collect();
        let receivers = (0..RECEIVERS as u64).map(|number| Receiver::new(Disk::new(seed ^ (number + 1))));
        let mut world = Self {
            programs: (0..PROGRAMS)
                .map(|number| Program::new(u32::try_from(number).unwrap_or(0), number % 2 == 0))
                .collect(),
            sender: Sender::new(Disk::new(seed), shm.to_owned(), destinations),
            receivers: receivers.collect::<Result<_, _>>()?,
            scratch: scratch.to_owned(),
            next_pid: 2,
            passed: Duration::ZERO,
            has_lost_memory: false,
        };
        world.pass(STEP);
        Ok(world)
    }

    fn pass(&mut self, time: Duration) {
        self.passed += time;
        clock::simulated::set(Some(self.passed));
        simulation::set_boottime_ns(SINCE_BOOT_NS + u64::try_from(self.passed.as_nanos()).unwrap_or(0));
    }

    fn new_pid(&mut self) -> u32 {
        self.next_pid += 1;
        self.next_pid
    }

    /// Does one action. Hosts whose power failed in it are down after it.
    pub(super) fn act(&mut self, action: &Action) -> Result<(), String> {
        self.do_now(action)?;
        self.take_down_hosts_without_power()
    }

    fn take_down_hosts_without_power(&mut self) -> Result<(), String> {
        for receiver in 0..self.receivers.len() {
            if self.receivers[receiver].disk.was_cut() {
                self.do_now(&Action::CutPower(receiver))?;
            }
        }
        if self.sender.disk.was_cut() {
            self.do_now(&Action::CutSenderPower)?;
        }
        Ok(())
    }

    /// Has the power of a host fail at one of its syncs; the sender's is the last one.
    pub(super) fn cut_power_at(&self, host: usize, sync: u64, is_done: bool) {
        let disks = self.receivers.iter().map(|receiver| &receiver.disk);
        if let Some(disk) = disks.chain([&self.sender.disk]).nth(host) {
            disk.cut_power_at(sync, is_done);
        }
    }

    /// Syncs that each host has asked its disk for.
    pub(super) fn syncs(&self) -> Vec<u64> {
        let disks = self.receivers.iter().map(|receiver| &receiver.disk);
        disks.chain([&self.sender.disk]).map(Disk::syncs).collect()
    }

    fn do_now(&mut self, action: &Action) -> Result<(), String> {
        self.pass(STEP);
        match action {
            Action::Log(program, call, kill) => {
                if !self.programs[*program].is_running() {
                    self.start_program(*program, *kill)?;
                }
                self.programs[*program].log(*call, *kill)
            }
            Action::Close(program, kill) => {
                self.programs[*program].close(*kill);
                Ok(())
            }
            Action::KillProgram(program) => {
                self.programs[*program].kill();
                Ok(())
            }
            Action::StartSender(manner, kill) => self.start_sender(*manner, *kill),
            Action::Drain(turns, kill) => {
                for _ in 0..*turns {
                    self.sender.drain(*kill);
                    self.pass(STEP);
                }
                Ok(())
            }
            Action::Stall(points, turns) => {
                self.sender.stall(*points, *turns);
                for program in &mut self.programs {
                    (0..BURST).try_for_each(|_| program.log(Call::Record(1500), None))?;
                }
                Ok(())
            }
            Action::Hang(turns) => {
                self.sender.hang(*turns);
                Ok(())
            }
            Action::SyncSpool(kill) => {
                self.sender.sync(*kill);
                Ok(())
            }
            Action::Ship(receiver, turns, kill) => self.ship(*receiver, *turns, *kill),
            Action::Hear(receiver, bytes, kill) => self.sender.hear(&destination(*receiver), *bytes, *kill),
            Action::Exchange(receiver, step, kill) => {
                for number in 0..EXCHANGE_STEPS {
                    self.exchange(*receiver, number, kill.filter(|_| number == *step))?;
                    self.pass(STEP);
                }
                Ok(())
            }
            Action::KillSender => {
                self.sender.kill();
                Ok(())
            }
            Action::StartReceiver(receiver, kill) => self.start_receiver(*receiver, *kill),
            Action::Carry(receiver, which, bytes, kill) => self.receivers[*receiver].carry(*which, *bytes, *kill),
            Action::Answer(receiver, which, kill) => self.receivers[*receiver].answer(*which, *kill),
            Action::SyncArchive(receiver, kill) => self.receivers[*receiver].sync(*kill),
            Action::KillReceiver(receiver) => {
                self.receivers[*receiver].kill();
                Ok(())
            }
            Action::Cut(receiver, is_learnt) => {
                self.sender.with_line(&destination(*receiver), |line| {
                    line.cut();
                    if *is_learnt {
                        line.learn();
                    }
                });
                Ok(())
            }
            Action::CutPower(receiver) => {
                let acknowledged = self.sender.acknowledged_by(&destination(*receiver));
                self.receivers[*receiver].cut_power(acknowledged);
                Ok(())
            }
            Action::CutSenderPower => self.cut_sender_power(),
            Action::FaultReceiver(receiver, faults) => {
                self.receivers[*receiver].had_mishap = true;
                self.receivers[*receiver].disk.set_faults(*faults);
                Ok(())
            }
            Action::FaultSender(faults) => {
                self.sender.disk.set_faults(*faults);
                Ok(())
            }
            Action::Fill(receiver, room) => {
                let disk = receiver.map_or(&self.sender.disk, |receiver| &self.receivers[receiver].disk);
                disk.fill(*room);
                Ok(())
            }
            Action::Elapse(ms) => {
                self.pass(Duration::from_millis(*ms));
                Ok(())
            }
        }
    }

    fn start_program(&mut self, program: usize, kill: Option<u64>) -> Result<(), String> {
        let process = Process {
            pid: self.new_pid(),
            disk: self.sender.disk.clone(),
        };
        let shm = self.sender.shm.clone();
        self.programs[program].start(&shm, process, kill)
    }

    fn start_sender(&mut self, manner: Manner, kill: Option<u64>) -> Result<(), String> {
        if self.sender.is_running() {
            return Ok(());
        }
        let pid = self.new_pid();
        self.sender.start(pid, manner, kill)
    }

    fn start_receiver(&mut self, receiver: usize, kill: Option<u64>) -> Result<(), String> {
        if self.receivers[receiver].is_running() {
            return Ok(());
        }
        let pid = self.new_pid();
        self.receivers[receiver].start(pid, kill)
    }

    fn ship(&mut self, receiver: usize, turns: u8, kill: Option<u64>) -> Result<(), String> {
        for _ in 0..turns {
            self.sender
                .ship(&destination(receiver), &mut self.receivers[receiver], kill)?;
            self.pass(STEP);
        }
        Ok(())
    }

    /// A step of what sender and receiver do with each other, over all connections that there are.
    fn exchange(&mut self, number: usize, step: u8, kill: Option<u64>) -> Result<(), String> {
        let receiver = &mut self.receivers[number];
        let connections = receiver.connections();
        match step {
            1 | 6 => (0..connections).try_for_each(|which| receiver.carry(which, usize::MAX, kill)),
            2..=4 => receiver.sync(kill),
            5 | 7 => {
                (0..connections).try_for_each(|which| receiver.answer(which, kill))?;
                self.sender.hear(&destination(number), usize::MAX, kill)
            }
            _ => self.ship(number, 3, kill),
        }
    }

    /// All that runs on the sender's host dies, and with it all rings; of its disk what was not synced may be lost.
    fn cut_sender_power(&mut self) -> Result<(), String> {
        self.has_lost_memory = true;
        for program in &mut self.programs {
            program.kill();
            program.history.excuse_all();
        }
        self.sender.kill();
        self.sender.disk.cut_power();
        if let Some(boot) = simulation::random_uuid() {
            simulation::set_boot(boot);
        }
        super::empty(&self.sender.shm).map_err(|error| format!("shared memory cannot be emptied: {error}"))
    }

    /// Lets nothing fail any more, and everything run, until all is delivered.
    pub(super) fn come_to_rest(&mut self) -> Result<(), String> {
        self.sender.disk.set_faults(Faults::default());
        for receiver in &self.receivers {
            receiver.disk.set_faults(Faults::default());
        }
        for program in 0..self.programs.len() {
            // Once more, so that a named one that was killed tells what its last run left.
            if !self.programs[program].is_running() {
                self.start_program(program, None)?;
            }
            self.programs[program].close(None);
        }
        let manner = Manner {
            directory: 0,
            batch_bytes: 20_000,
            compression: Compression::None,
        };
        for round in 0..ROUNDS_MAX {
            self.start_sender(manner, None)?;
            self.pass(Duration::from_millis(if round % 100 == 99 { 40_000 } else { 30 }));
            self.sender.drain(None);
            self.sender.sync(None);
            for receiver in 0..self.receivers.len() {
                self.start_receiver(receiver, None)?;
                // A line that nobody learnt to be cut is noticed by its silence.
                if round % 20 == 19 {
                    self.sender
                        .with_line(&destination(receiver), super::network::End::learn);
                }
                for step in 0..EXCHANGE_STEPS {
                    self.exchange(receiver, step, None)?;
                }
            }
            self.take_down_hosts_without_power()?;
            if round > 3 && self.sender.is_at_rest() && self.are_rings_drained()? {
                return Ok(());
            }
        }
        Err(format!("no rest after {ROUNDS_MAX} rounds: {}", self.sender.unrest()))
    }

    /// The rings that are left.
    fn rings(&self) -> Result<BTreeSet<Uuid>, String> {
        let directory = hog_ring::group_dir(&self.sender.shm, super::GROUP);
        let rings = hog_ring::ring_files(&directory).map_err(|error| error.to_string())?;
        let uuid = |ring: &PathBuf| Some(hog_ring::RingReader::open(ring).ok()?.identity().uuid);
        Ok(rings.iter().filter_map(uuid).collect())
    }

    /// Whether nothing is left in shared memory but rings that are kept for their programs, all drained.
    fn are_rings_drained(&self) -> Result<bool, String> {
        let directory = hog_ring::group_dir(&self.sender.shm, super::GROUP);
        let rings = hog_ring::ring_files(&directory).map_err(|error| error.to_string())?;
        Ok(rings.iter().all(|ring| {
            hog_ring::RingReader::open(ring).is_ok_and(|reader| {
                let head = reader.head();
                reader.is_adoptable() && reader.tail(head).is_ok_and(|tail| tail == head)
            })
        }))
    }

    /// A checksum of all disks.
    pub(super) fn digest(&self) -> u32 {
        let receivers = self.receivers.iter().map(|receiver| receiver.disk.digest());
        receivers.fold(self.sender.disk.digest(), |sum, digest| sum.rotate_left(1) ^ digest)
    }

    /// Whether every archive holds what it must.
    pub(super) fn check(&mut self) -> Result<(), String> {
        self.sender.kill();
        for receiver in &mut self.receivers {
            receiver.kill();
        }
        for (number, receiver) in self.receivers.iter().enumerate() {
            super::empty(&self.scratch).map_err(|error| error.to_string())?;
            receiver.disk.dump(&self.scratch).map_err(|error| error.to_string())?;
            let histories: Vec<_> = self.programs.iter().map(|program| &program.history).collect();
            let kept = self.rings()?;
            let must = check::Must {
                histories: &histories,
                kept: &kept,
                may_lack: self.has_lost_memory,
            };
            let dumped = self.scratch.join("archive");
            let pattern = ArchivePattern::new(&dumped.display().to_string())?;
            let segments = pattern.segments(super::GROUP).map_err(|error| error.to_string())?;
            let once = if receiver.had_mishap {
                Ok(())
            } else {
                check::stored_once(&segments)
            };
            once.and_then(|()| check::archive(&dumped, &must))
                .map_err(|words| format!("the archive of {}: {words}", destination(number)))?;
        }
        Ok(())
    }
}

fn destination(receiver: usize) -> String {
    format!("receiver{receiver}:1")
}
