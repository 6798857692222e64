//! The promise under fire: every role, and every set of them, killed with SIGKILL at random moments of a shipment.
//!
//! A moment is drawn beforehand: a position that the drainer has reached in the engine's ring, or a number of bytes
//! that the archive has, and some nothing that is done for up to a few milliseconds after that. Whoever was killed is
//! started again as it was.

use crate::roles::{Process, Receiver};
use crate::scene::{GROUP, Scene, wait_until, words};
use Gauge::{Archived, Drained};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Kills of one set of roles, and over how many shipments they are spread.
const MOMENTS: usize = 20;
const SHIPMENTS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Engine,
    Sender,
    Receiver,
}

/// What tells how far a shipment is. The drainer is through with the file long before the receiver has it, so either
/// alone would leave some role unharmed.
#[derive(Clone, Copy, Debug)]
enum Gauge {
    Drained,
    Archived,
}

/// A shipment on its way.
struct Shipment<'s> {
    scene: &'s Scene,
    input: PathBuf,
    ring_size: &'static str,
    engine: Process,
    sender: Process,
    receiver: Receiver,
}

impl<'s> Shipment<'s> {
    fn begin(scene: &'s Scene, input: &Path) -> Self {
        let receiver = scene.receiver("recv");
        let sender = scene.sender(&[&receiver.address]);
        let ring_size = scene.draw(|chance| chance.choice(["64KiB", "256KiB", "1MiB"])).unwrap();
        Self {
            scene,
            input: input.to_owned(),
            ring_size,
            engine: engine(scene, input, ring_size),
            sender,
            receiver,
        }
    }

    fn kill(&mut self, role: Role) {
        match role {
            Role::Engine => drop(self.engine.kill()),
            Role::Sender => drop(self.sender.kill()),
            Role::Receiver => self.receiver.kill(),
        }
    }

    fn start(&mut self, role: Role) {
        match role {
            Role::Engine => self.engine = engine(self.scene, &self.input, self.ring_size),
            Role::Sender => self.sender = self.scene.sender(&[&self.receiver.address]),
            Role::Receiver => self.receiver.start(self.scene),
        }
    }

    /// Waits until `gauge` stands at `bytes`, and a little longer.
    fn wait_for(&mut self, gauge: Gauge, bytes: u64) {
        match gauge {
            Gauge::Drained => {
                wait_until("the drainer gets on", || {
                    self.scene.progress().1 >= bytes || !self.engine.is_running()
                });
            }
            Gauge::Archived => wait_until("the archive grows", || self.archived() >= bytes),
        }
        let longest = self.scene.draw(|chance| 1 << chance.u64(..13));
        spin(Duration::from_micros(self.scene.draw(|chance| chance.u64(..longest))));
    }

    fn archived(&self) -> u64 {
        self.receiver
            .segments()
            .iter()
            .map(|segment| std::fs::metadata(segment).unwrap().len())
            .sum()
    }

    /// Kills `roles` at once and starts them again, both in any order.
    fn strike(&mut self, roles: &[Role]) {
        let mut roles = roles.to_vec();
        self.scene.draw(|chance| chance.shuffle(&mut roles));
        roles.iter().for_each(|role| self.kill(*role));
        self.scene.draw(|chance| chance.shuffle(&mut roles));
        roles.iter().for_each(|role| self.start(*role));
    }
}

fn engine(scene: &Scene, input: &Path, ring_size: &str) -> Process {
    let mut arguments = scene.engine_arguments(GROUP, &[input]);
    arguments.extend(words(&["--ring-size", ring_size]));
    scene.start("engine", &arguments)
}

/// Shorter than what sleeping can tell apart.
fn spin(time: Duration) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        std::hint::spin_loop();
    }
}

fn survive_kills_of(roles: &[Role], gauges: [Gauge; SHIPMENTS]) {
    for gauge in gauges {
        let scene = Scene::new();
        let size = scene.draw(|chance| chance.usize(3 << 20..8 << 20));
        let bytes = scene.lines(size);
        let input = scene.file("input.log", &bytes);
        // Positions are never less than the bytes of the lines; letters at random do not compress to two thirds.
        let whole = match gauge {
            Gauge::Drained => bytes.len() as u64,
            Gauge::Archived => bytes.len() as u64 * 2 / 3,
        };
        let mut moments: Vec<_> = (0..MOMENTS / SHIPMENTS)
            .map(|_| scene.draw(|chance| chance.u64(..whole)))
            .collect();
        moments.sort_unstable();
        let mut shipment = Shipment::begin(&scene, &input);
        for moment in moments {
            shipment.wait_for(gauge, moment);
            shipment.strike(roles);
        }
        let Shipment {
            engine,
            sender: _sender,
            receiver,
            ..
        } = shipment;
        engine.succeed();
        // One more, after a clean end: it has nothing to add.
        scene.log(&[&input]);
        scene.wait_acked();
        scene.assert_arrived(&receiver, &bytes);
    }
}

#[test]
fn engine_killed_at_random_moments_loses_and_doubles_nothing() {
    survive_kills_of(&[Role::Engine], [Drained; SHIPMENTS]);
}

#[test]
fn sender_killed_at_random_moments_loses_and_doubles_nothing() {
    survive_kills_of(&[Role::Sender], [Drained, Archived, Drained, Archived]);
}

#[test]
fn receiver_killed_at_random_moments_loses_and_doubles_nothing() {
    survive_kills_of(&[Role::Receiver], [Archived; SHIPMENTS]);
}

#[test]
fn engine_and_sender_killed_together_lose_and_double_nothing() {
    survive_kills_of(&[Role::Engine, Role::Sender], [Drained, Archived, Drained, Archived]);
}

#[test]
fn engine_and_receiver_killed_together_lose_and_double_nothing() {
    survive_kills_of(&[Role::Engine, Role::Receiver], [Drained, Archived, Drained, Archived]);
}

#[test]
fn sender_and_receiver_killed_together_lose_and_double_nothing() {
    survive_kills_of(&[Role::Sender, Role::Receiver], [Drained, Archived, Drained, Archived]);
}

#[test]
fn all_three_killed_together_lose_and_double_nothing() {
    survive_kills_of(
        &[Role::Engine, Role::Sender, Role::Receiver],
        [Drained, Archived, Drained, Archived],
    );
}
