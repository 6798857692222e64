//! A model of a queue, its producer and its reader, gone through exhaustively.
//!
//! The reader is the real one ([`resolve`], [`Course`]), which names its acts; the model does them, each at once and whole, as the queue's words, the
//! stash's writes and a store of `tail` are. The producer takes the steps of the original's: a page published, the wait state cleared, the next slot
//! waited for, a tentative page decided. It may commit, go on or roll back after each page, so all sequences are among those gone through. Either may
//! be killed between any two steps; the reader is started again. Worlds that are equal are gone on from once.
//!
//! What must hold: each transaction that is logged is the oldest one that was published and is not logged; when nothing is left to do, none is
//! left; and nobody sleeps for ever.

use hog_ring::v2::{Act, Course, PageKind, Progress, StashHead, resolve};
use std::collections::{HashSet, VecDeque};

/// Records that the producer logs, one in each page.
const RECORDS: u8 = 7;
/// Kills of reader and producer.
const KILLS: u8 = 4;
const INODE: (u64, u64) = (1, 1);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    // Shared memory.
    slots: Vec<(u8, PageKind)>,
    ri: u32,
    wi: u32,
    wstate: u8,
    state: Option<Progress>,
    stash: StashHead,
    stashed: Vec<u8>,
    // Processes.
    producer: Producer,
    reader: Option<Reader>,
    kills: u8,
    // What must come out.
    owed: VecDeque<Vec<u8>>,
    /// Records that were published and belong to no transaction yet.
    begun: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Producer {
    step: Step,
    records: u8,
    is_reliable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    /// Has a slot, and publishes it next.
    Writes,
    /// Has published, and clears the wait state next.
    Clears(PageKind),
    /// Wants the next slot.
    Waits,
    /// Has said that it waits.
    Said,
    /// Sleeps until it is woken.
    Sleeps,
    /// Decides what becomes of the page that it published as tentative.
    Decides,
    /// Has no slot, and drops what it would log.
    Drops,
    Ended,
    Dead,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Reader {
    course: Course,
    /// The open transaction.
    together: Vec<u8>,
}

impl World {
    fn new(slots: u32, is_reliable: bool) -> World {
        World {
            slots: vec![(0, PageKind::Tentative); slots as usize],
            ri: 0,
            wi: 0,
            wstate: 0,
            state: None,
            stash: StashHead::default(),
            stashed: Vec::new(),
            producer: Producer {
                step: Step::Writes,
                records: 0,
                is_reliable,
            },
            reader: None,
            kills: 0,
            owed: VecDeque::new(),
            begun: Vec::new(),
        }
    }

    fn count(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap()
    }

    fn is_full(&self) -> bool {
        (self.wi + 1) % self.count() == self.ri
    }

    /// All worlds that can follow this one.
    fn next(&self) -> Vec<World> {
        let mut all = Vec::new();
        self.produce(&mut all);
        self.read(&mut all);
        if self.kills < KILLS {
            if self.reader.is_some() {
                all.push(World {
                    reader: None,
                    kills: self.kills + 1,
                    ..self.clone()
                });
            }
            if !matches!(self.producer.step, Step::Dead | Step::Ended) {
                let mut world = World {
                    kills: self.kills + 1,
                    ..self.clone()
                };
                world.producer.step = Step::Dead;
                world.begun.clear();
                all.push(world);
            }
        }
        all
    }

    fn produce(&self, all: &mut Vec<World>) {
        let with = |step: Step| {
            let mut world = self.clone();
            world.producer.step = step;
            world
        };
        match self.producer.step {
            Step::Writes if self.producer.records == RECORDS => all.push(with(Step::Ended)),
            Step::Writes => {
                let first = if self.producer.is_reliable {
                    PageKind::Continued
                } else {
                    PageKind::Tentative
                };
                all.extend([first, PageKind::Commit, PageKind::Rollback].map(|kind| self.published(kind)));
            }
            Step::Clears(kind) => {
                let mut world = with(if kind == PageKind::Tentative {
                    Step::Decides
                } else if self.producer.is_reliable {
                    Step::Waits
                } else {
                    Step::Drops
                });
                world.wstate = 0;
                all.push(world);
            }
            Step::Waits if !self.is_full() => all.push(with(Step::Writes)),
            Step::Waits => {
                let mut world = with(Step::Said);
                world.wstate = 2;
                all.push(world);
            }
            // The look at `ri` and the kernel's look at the word are two steps of the original's; the second decides.
            Step::Said if !self.is_full() || self.wstate != 2 => all.push(with(Step::Waits)),
            Step::Said => all.push(with(Step::Sleeps)),
            Step::Decides => all.push(self.decided()),
            Step::Drops if !self.is_full() => all.push(with(Step::Writes)),
            Step::Drops | Step::Sleeps | Step::Ended | Step::Dead => {}
        }
    }

    fn published(&self, kind: PageKind) -> World {
        let mut world = self.clone();
        world.producer.records += 1;
        let record = world.producer.records;
        world.slots[self.wi as usize] = (record, kind);
        world.wi = (self.wi + 1) % self.count();
        world.begun.push(record);
        match kind {
            PageKind::Commit => {
                let transaction = std::mem::take(&mut world.begun);
                world.owed.push_back(transaction);
            }
            PageKind::Rollback => world.begun.clear(),
            PageKind::Continued | PageKind::Tentative => {}
        }
        world.producer.step = Step::Clears(kind);
        world
    }

    fn decided(&self) -> World {
        let mut world = self.clone();
        let before = (self.wi + self.count() - 1) % self.count();
        let kind = if self.is_full() {
            PageKind::Rollback
        } else {
            PageKind::Continued
        };
        world.slots[before as usize].1 = kind;
        if self.is_full() {
            world.begun.clear();
        }
        world.producer.step = if self.is_full() { Step::Drops } else { Step::Writes };
        world
    }

    fn read(&self, all: &mut Vec<World>) {
        let Some(reader) = &self.reader else {
            let resolved = resolve(self.count(), self.state, self.stash, (self.ri, self.wi)).unwrap();
            assert!(!resolved.was_read_elsewhere, "nobody else reads: {self:?}");
            let pages = resolved.stashed as usize;
            let reader = Reader {
                course: Course::begin(INODE, self.count(), &resolved),
                together: self.stashed[..pages].to_vec(),
            };
            all.push(World {
                reader: Some(reader),
                ..self.clone()
            });
            return;
        };
        let is_dead = self.producer.step == Step::Dead;
        // Its end may not have been noticed yet.
        for noticed in [false, is_dead] {
            let mut world = self.clone();
            let mut reader = reader.clone();
            let act = reader.course.next(self.wi, noticed);
            if !world.act(&mut reader, act, noticed) {
                world.check_rest(noticed);
                continue;
            }
            world.reader = Some(reader);
            all.push(world);
        }
    }

    /// Does it. `false`: there is nothing to do.
    fn act(&mut self, reader: &mut Reader, act: Act, is_dead: bool) -> bool {
        match act {
            Act::Rest => return false,
            Act::Judge { slot } => {
                let (record, kind) = self.slots[slot as usize];
                if !reader.course.judged(kind, is_dead) {
                    return false;
                }
                reader.together.push(record);
                return true;
            }
            Act::Log(progress) => {
                let owed = self.owed.pop_front();
                assert_eq!(owed.as_ref(), Some(&reader.together), "logged in its turn: {self:?}");
                reader.together.clear();
                self.state = Some(progress);
            }
            Act::Forget(progress) => {
                // That of a start forgets nothing.
                reader.together.clear();
                self.state = Some(progress);
            }
            Act::Release { ri } => self.ri = ri,
            Act::Wake => {
                if self.wstate == 2 && self.producer.step == Step::Sleeps {
                    self.producer.step = Step::Waits;
                }
                self.wstate = 0;
            }
            Act::StashPage { number, slot } => {
                self.stashed.truncate(number as usize);
                let (record, _) = self.slots[slot as usize];
                self.stashed.push(record);
            }
            Act::StashHead(head) => self.stash = head,
        }
        reader.course.did();
        true
    }

    /// The reader has nothing to do: what was published is logged, and its room was given back.
    fn check_rest(&self, is_dead: bool) {
        let is_tentative =
            self.producer.step == Step::Clears(PageKind::Tentative) || self.producer.step == Step::Decides;
        if !is_tentative || is_dead {
            assert!(self.owed.is_empty(), "lost: {self:?}");
        }
        if is_dead {
            assert_eq!(self.ri, self.wi, "room of a dead producer was not given back: {self:?}");
        }
        assert!(self.producer.step != Step::Sleeps, "sleeps for ever: {self:?}");
        assert!(
            self.producer.step != Step::Drops || !self.is_full(),
            "drops for ever: {self:?}"
        );
    }
}

/// Goes through all worlds that can follow that of a new queue; says how many there are.
fn go_through(slots: u32, is_reliable: bool) -> usize {
    let first = World::new(slots, is_reliable);
    let mut seen = HashSet::from([first.clone()]);
    let mut ahead = vec![first];
    while let Some(world) = ahead.pop() {
        for next in world.next() {
            if seen.insert(next.clone()) {
                ahead.push(next);
            }
        }
    }
    seen.len()
}

#[test]
fn a_queue_is_taken_in_once_and_in_order_whatever_is_killed_when() {
    std::thread::scope(|scope| {
        let runs: Vec<_> = [(2, true), (3, true), (4, true), (2, false), (3, false), (4, false)]
            .map(|(slots, is_reliable)| (slots, is_reliable, scope.spawn(move || go_through(slots, is_reliable))))
            .into();
        for (slots, is_reliable, run) in runs {
            let worlds = run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            println!("{slots} slots, reliable {is_reliable}: {worlds} worlds");
            assert!(worlds > 1_000);
        }
    });
}
