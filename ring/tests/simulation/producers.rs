//! Producers and their heirs, killed at each point: what is in the ring then is what was committed, and the resume state is that of its last record.

use crate::processes::{World, kill_at_each_point, run_as};
use crate::scene::{NUMBER, Scene, logged, sequence};
use hog_ring::{Error, Group, Liveness, Resume, RingReader, Statement, Writer, cut, simulation, statement};
use std::cell::Cell;

/// A number, and more than may stand unfragmented.
static WIDE: Statement<(u64, &str)> = statement!("wide", "$0 $1");

/// The runs of the program `n`, each of which logs 0, 1, 2, ... from where the former one ended, with the next number as its state.
struct Program {
    scene: Scene,
    /// Records whose call has returned.
    returned: Cell<u64>,
    /// Records of the call that has not.
    begun: Cell<u64>,
}

impl Program {
    fn new() -> Program {
        Program {
            scene: Scene::new(),
            returned: Cell::new(0),
            begun: Cell::new(0),
        }
    }

    fn group(&self) -> Group {
        self.scene.group()
    }

    fn call(&self, records: u64, call: impl FnOnce(u64) -> Result<(), Error>) {
        let next = self.returned.get();
        self.begun.set(records);
        call(next).unwrap();
        self.begun.set(0);
        self.returned.set(next + records);
    }

    fn log(&self, writer: &mut Writer) {
        self.call(1, |next| {
            writer.set_state(&(next + 1).to_le_bytes())?;
            writer.log(&NUMBER, (next,))
        });
    }

    fn transaction(&self, writer: &mut Writer) {
        self.call(3, |next| {
            let mut transaction = writer.transaction();
            for number in next..next + 3 {
                transaction.log(&NUMBER, (number,))?;
            }
            transaction.set_state(&(next + 3).to_le_bytes())?;
            transaction.commit()
        });
    }

    fn rolled_back(&self, writer: &mut Writer) {
        let mut transaction = writer.transaction();
        transaction.log(&NUMBER, (u64::MAX,)).unwrap();
        transaction.set_state(b"rolled back").unwrap();
        transaction.rollback();
    }

    /// A transaction that goes as fragments.
    fn long(&self, writer: &mut Writer) {
        self.call(2, |next| {
            let mut transaction = writer.transaction();
            transaction.log(&NUMBER, (next,))?;
            transaction.log(&WIDE, (next + 1, &"x".repeat(17_000)))?;
            transaction.set_state(&(next + 2).to_le_bytes())?;
            transaction.commit()
        });
    }

    fn run(&self) {
        let mut writer = self.group().named_writer("n", Resume::Auto).unwrap();
        self.log(&mut writer);
        self.transaction(&mut writer);
        self.rolled_back(&mut writer);
        self.log(&mut writer);
        self.long(&mut writer);
        self.log(&mut writer);
        writer.close();
    }

    /// A short run that resumes, or begins if there is nothing.
    fn resume(&self) {
        let resume = if self.returned.get() > 0 {
            Resume::Require
        } else {
            Resume::Auto
        };
        let mut writer = self.group().named_writer("n", resume).unwrap();
        let known = writer
            .recovered()
            .map_or(0, |found| u64::from_le_bytes(found.state[..].try_into().unwrap()));
        self.believe(known);
        self.log(&mut writer);
        self.transaction(&mut writer);
        writer.close();
    }

    /// An heir's state says how many records there are: those whose call returned, and perhaps those of the last call.
    fn believe(&self, known: u64) {
        let returned = self.returned.get();
        assert!(
            known == returned || known == returned + self.begun.get(),
            "state {known} after {returned} records and a call of {}",
            self.begun.get()
        );
        self.begun.set(0);
        self.returned.set(known);
    }

    /// A new reader finds exactly the records that the state at the tail tells of. A ring that had no state yet was set aside by the heir, and had no records.
    fn check(&self) {
        let mut known = 0;
        for path in self.scene.rings() {
            let reader = RingReader::open(&path).unwrap();
            // All of it, for nobody has given room back.
            let mut bytes = vec![0; usize::try_from(reader.tail(0).unwrap()).unwrap()];
            reader.copy(0, &mut bytes).unwrap();
            assert_eq!(cut(&bytes, true, reader.identity().capacity).len, bytes.len());
            let found: Vec<_> = logged(&bytes).iter().map(|record| number(&record.payload)).collect();
            sequence(&found);
            let state = reader.state().map_or(0, |state| number(&state));
            assert_eq!(found.len() as u64, state, "records, and what the state says");
            known = known.max(state);
            assert!(state == 0 || path.ends_with("n.ring"), "{}", path.display());
        }
        self.believe(known);
    }
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().unwrap())
}

/// Runs the whole program, killed at point `kill`. Whether it was.
fn run_killed(program: &Program, kill: u64) -> bool {
    run_as(1, Some(kill), || program.run()).is_none()
}

#[test]
fn a_producer_killed_at_any_point_leaves_whole_records_and_their_state() {
    let kills = kill_at_each_point(|kill| {
        let _world = World::begin(kill);
        let program = Program::new();
        let killed = run_killed(&program, kill);
        run_as(2, None, || program.check()).unwrap();
        run_as(3, None, || program.resume()).unwrap();
        run_as(4, None, || program.check()).unwrap();
        killed
    });
    println!("{kills} kills");
    assert!(kills > 80, "{kills}");
}

#[test]
fn an_heir_killed_at_any_point_leaves_what_both_runs_committed() {
    let mut heirs = 0;
    let kills = kill_at_each_point(|kill| {
        let mut first_killed = false;
        heirs += kill_at_each_point(|heir_kill| {
            let _world = World::begin(kill << 32 | heir_kill);
            let program = Program::new();
            first_killed = run_as(1, Some(kill), || program.resume()).is_none();
            let heir_killed = run_as(2, Some(heir_kill), || program.resume()).is_none();
            run_as(3, None, || program.check()).unwrap();
            run_as(4, None, || program.resume()).unwrap();
            run_as(5, None, || program.check()).unwrap();
            heir_killed
        });
        first_killed
    });
    println!("{kills} kills, and {heirs} of heirs");
    assert!(kills > 40 && heirs > kills * 40, "{kills}, {heirs}");
}

#[test]
fn what_a_killed_process_held_writes_nothing_when_another_one_drops_it() {
    let _world = World::begin(0);
    let scene = Scene::new();
    let mut writer = run_as(1, None, || scene.group().named_writer("n", Resume::Auto).unwrap()).unwrap();
    run_as(1, None, || {
        writer.set_state(b"state").unwrap();
        writer.log(&NUMBER, (0,)).unwrap();
    });
    simulation::kill_process(1);
    simulation::become_process(2);
    let mut reader = scene.reader();
    let owner = reader.owner();
    assert_eq!((owner.pid(), reader.liveness()), (Some(1), Liveness::Dead));
    drop(writer);
    assert_eq!(reader.owner(), owner, "the dead close nothing");
    let heir = scene.group().named_writer("n", Resume::Require).unwrap();
    assert_eq!((reader.owner().pid(), reader.liveness()), (Some(2), Liveness::Living));
    drop(heir);
    assert_eq!(reader.liveness(), Liveness::Closed);
}

#[test]
fn a_seed_makes_the_same_rings_again() {
    let identity = || {
        let _world = World::begin(7);
        simulation::set_boottime_ns(5_000);
        let scene = Scene::new();
        run_as(9, None, || scene.group().writer().unwrap().identity().clone()).unwrap()
    };
    let made = identity();
    assert_eq!(made, identity());
    assert_eq!((made.created, made.name.as_str()), (5_000, "simulated.9"));
}
