//! What happens in a run: a list that follows from the seed, so that it can be replayed, and shortened.
//!
//! Each action stands for itself: where it cannot be done (the process does not run, the line is not there), nothing happens. So any part of a list is a
//! list again.

use super::program::Call;
use super::sender::Manner;
use crate::formats::codec::Compression;
use crate::os::disk::simulated::Faults;
use fastrand::Rng;

/// Programs that log; the even ones are named.
pub(super) const PROGRAMS: usize = 4;
/// Receivers.
pub(super) const RECEIVERS: usize = 2;

/// Steps of [`Action::Exchange`].
pub(super) const EXCHANGE_STEPS: u8 = 10;

/// Kills the process that acts at so many points from its beginning; `None` does not.
pub(super) type Kill = Option<u64>;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// A program logs; it is started if it does not run.
    Log(usize, Call, Kill),
    /// A program ends in order.
    Close(usize, Kill),
    /// A program is killed.
    KillProgram(usize),
    /// The sender is started if it does not run.
    StartSender(Manner, Kill),
    /// Its drainer takes turns.
    Drain(u8, Kill),
    /// Its drainer stalls at so many points from the beginning of a turn, and wakes up when its successor has taken some turns. Then the programs that run log
    /// as much as there seems to be room for.
    Stall(u64, u8),
    /// Its drainer hangs in a write for good, and its successor takes some turns. The write ends at any time.
    Hang(u8),
    /// Its spool is synced.
    SyncSpool(Kill),
    /// It ships to a receiver, for so many turns.
    Ship(usize, u8, Kill),
    /// So many bytes that a receiver said arrive at it.
    Hear(usize, usize, Kill),
    /// Sender and receiver do all of this in turn, so that something gets done at all; the `u8`th step of it may meet a kill.
    Exchange(usize, u8, Kill),
    /// It is killed.
    KillSender,
    /// A receiver is started if it does not run.
    StartReceiver(usize, Kill),
    /// So many bytes arrive at one of a receiver's connections, and are served.
    Carry(usize, usize, usize, Kill),
    /// One of a receiver's connections tells what it has to tell.
    Answer(usize, usize, Kill),
    /// A step of a receiver's sync.
    SyncArchive(usize, Kill),
    /// A receiver is killed.
    KillReceiver(usize),
    /// The line to a receiver is cut; whether the sender learns of it.
    Cut(usize, bool),
    /// A receiver's host loses power.
    CutPower(usize),
    /// The sender's host loses power.
    CutSenderPower,
    /// A receiver's disk begins to fail, or stops.
    FaultReceiver(usize, Faults),
    /// The sender's disk begins to fail, or stops.
    FaultSender(Faults),
    /// The disk of a receiver, or of the sender, has room for so many bytes more, or for all again.
    Fill(Option<usize>, Option<u64>),
    /// Time passes, in ms.
    Elapse(u64),
}

impl Action {
    /// The same action without a kill in it; `None` for a mishap.
    pub(super) fn in_peace(self) -> Option<Self> {
        Some(match self {
            Self::Log(program, call, _) => Self::Log(program, call, None),
            Self::Close(program, _) => Self::Close(program, None),
            Self::StartSender(manner, _) => Self::StartSender(manner, None),
            Self::Drain(turns, _) => Self::Drain(turns, None),
            Self::SyncSpool(_) => Self::SyncSpool(None),
            Self::Ship(receiver, turns, _) => Self::Ship(receiver, turns, None),
            Self::Hear(receiver, bytes, _) => Self::Hear(receiver, bytes, None),
            Self::Exchange(receiver, step, _) => Self::Exchange(receiver, step, None),
            Self::StartReceiver(receiver, _) => Self::StartReceiver(receiver, None),
            Self::Carry(receiver, which, bytes, _) => Self::Carry(receiver, which, bytes, None),
            Self::Answer(receiver, which, _) => Self::Answer(receiver, which, None),
            Self::SyncArchive(receiver, _) => Self::SyncArchive(receiver, None),
            Self::Elapse(ms) => Self::Elapse(ms),
            Self::KillProgram(_)
            | Self::Stall(..)
            | Self::Hang(_)
            | Self::KillSender
            | Self::KillReceiver(_)
            | Self::Cut(..)
            | Self::CutPower(_)
            | Self::CutSenderPower
            | Self::FaultReceiver(..)
            | Self::FaultSender(_)
            | Self::Fill(..) => return None,
        })
    }
}

/// How wild a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Weather {
    /// One action in so many kills whoever acts; 0 never.
    kill_one_in: u32,
    has_disk_faults: bool,
    has_power_cuts: bool,
    has_sender_power_cuts: bool,
    has_stalls: bool,
}

impl Weather {
    fn of(random: &mut Rng) -> Self {
        Self {
            kill_one_in: [0, 8, 20, 60][random.usize(..4)],
            has_disk_faults: random.u8(..3) == 0,
            has_power_cuts: random.u8(..2) == 0,
            has_sender_power_cuts: random.u8(..8) == 0,
            has_stalls: random.bool(),
        }
    }
}

/// The actions that follow from `seed`.
pub(super) fn actions(seed: u64) -> Vec<Action> {
    let mut random = Rng::with_seed(seed);
    let weather = Weather::of(&mut random);
    let count = 40 + random.usize(..300);
    let mut actions = vec![
        Action::StartSender(manner(&mut random), None),
        Action::StartReceiver(0, None),
    ];
    actions.extend((0..count).map(|_| action(&mut random, weather)));
    with_troubles(actions, seed)
}

/// What befalls some runs besides, again and again.
#[derive(Clone, Copy)]
enum Trouble {
    Hangs,
    FullDisks,
    UnreadableDisks,
}

/// Half of the runs meet one kind of trouble. Chances of their own leave all others as they are without this.
fn with_troubles(actions: Vec<Action>, seed: u64) -> Vec<Action> {
    let mut random = Rng::with_seed(seed.rotate_left(32));
    let trouble = match random.u8(..8) {
        0 | 1 => Trouble::Hangs,
        2 => Trouble::FullDisks,
        3 => Trouble::UnreadableDisks,
        _ => return actions,
    };
    let mut more = Vec::new();
    for action in actions {
        more.push(action);
        if random.u8(..12) == 0 {
            more.push(trouble.strikes(&mut random));
        }
    }
    more
}

impl Trouble {
    fn strikes(self, random: &mut Rng) -> Action {
        let host = random.usize(..=RECEIVERS).checked_sub(1);
        let is_over = random.bool();
        match self {
            Self::Hangs => Action::Hang(random.u8(..2)),
            Self::FullDisks => {
                let room = [0, 100, 3_000, 100_000, 5 << 20][random.usize(..5)];
                Action::Fill(host, (!is_over).then_some(room))
            }
            Self::UnreadableDisks => {
                let read = if is_over { 0 } else { 2 + random.u32(..20) };
                let faults = Faults {
                    read,
                    ..Faults::default()
                };
                host.map_or(Action::FaultSender(faults), |receiver| {
                    Action::FaultReceiver(receiver, faults)
                })
            }
        }
    }
}

fn action(random: &mut Rng, weather: Weather) -> Action {
    let random = &mut *random;
    let kill = kill(random, weather);
    let (program, receiver) = (random.usize(..PROGRAMS), random.usize(..RECEIVERS));
    let which = random.usize(..4);
    match random.u32(..100) {
        0..24 => Action::Log(program, call(random), kill),
        24..27 => Action::Close(program, kill),
        27..38 => Action::Drain(1 + random.u8(..3), kill),
        38..42 => Action::SyncSpool(kill),
        42..52 => Action::Exchange(receiver, random.u8(..EXCHANGE_STEPS), kill),
        52..62 => Action::Ship(receiver, 1 + random.u8(..6), kill),
        62..69 => Action::Carry(receiver, which, bytes(random), kill),
        69..73 => Action::Answer(receiver, which, kill),
        73..78 => Action::Hear(receiver, bytes(random), kill),
        78..84 => Action::SyncArchive(receiver, kill),
        84..87 => Action::StartSender(manner(random), kill),
        87..91 => Action::StartReceiver(receiver, kill),
        91..93 => Action::Elapse([1, 15, 60, 400, 7_000, 86_400_000][random.usize(..6)]),
        93 => Action::Cut(receiver, random.bool()),
        94 if weather.has_stalls => Action::Stall(random.u64(..40), random.u8(..2)),
        _ => mishap(random, weather, program, receiver),
    }
}

fn mishap(random: &mut Rng, weather: Weather, program: usize, receiver: usize) -> Action {
    match random.u8(..6) {
        0 if weather.has_disk_faults => Action::FaultReceiver(receiver, faults(random)),
        1 if weather.has_disk_faults => Action::FaultSender(faults(random)),
        2 if weather.has_sender_power_cuts && random.u8(..8) == 0 => Action::CutSenderPower,
        2 | 3 if weather.has_power_cuts => Action::CutPower(receiver),
        3 if weather.kill_one_in > 0 => Action::KillReceiver(receiver),
        4 if weather.kill_one_in > 0 => Action::KillSender,
        5 if weather.kill_one_in > 0 => Action::KillProgram(program),
        _ => Action::Elapse(20),
    }
}

fn kill(random: &mut Rng, weather: Weather) -> Kill {
    let is_killed = weather.kill_one_in > 0 && random.u32(..weather.kill_one_in) == 0;
    is_killed.then(|| {
        // Most calls are short; some are long.
        let most = [4, 16, 64, 256][random.usize(..4)];
        random.u64(..most)
    })
}

fn call(random: &mut Rng) -> Call {
    match random.u8(..12) {
        0 => Call::Rollback,
        1..3 => Call::Transaction(2 + random.u64(..6)),
        3 => Call::Record(17_000 + random.usize(..20_000)),
        4..6 => Call::Record(1000 + random.usize(..4000)),
        _ => Call::Record(random.usize(..100)),
    }
}

fn bytes(random: &mut Rng) -> usize {
    [20, 500, 5_000, usize::MAX][random.usize(..4)]
}

fn manner(random: &mut Rng) -> Manner {
    Manner {
        directory: u8::from(random.u8(..5) == 0),
        batch_bytes: [1, 2_000, 20_000][random.usize(..3)],
        compression: [Compression::None, Compression::Lz4, Compression::Zstd(1)][random.usize(..3)],
    }
}

fn faults(random: &mut Rng) -> Faults {
    let mut one_in = |most: u32| if random.bool() { 0 } else { 2 + random.u32(..most) };
    Faults {
        write: one_in(6),
        read: 0,
        sync: one_in(6),
        sync_directory: one_in(12),
        rename: one_in(6),
        capacity: None,
    }
}
