//! Files are looked at after every single write, as a reader may, and gone on with from there, as after a kill.
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)] // small numbers

use super::*;
use crate::formats::fregion::check::{File, Found};
use crate::formats::fregion::fresh::{Order, fresh};
use crate::formats::fregion::stored::BATCH_RECORDS;
use hog_ring::statement::Definition;
use hog_ring::types::Type;
use std::cell::RefCell;
use std::rc::Rc;

/// A file in memory, which remembers what was written.
#[derive(Clone, Debug, Default)]
struct Memory {
    bytes: Rc<RefCell<Vec<u8>>>,
    log: Rc<RefCell<Vec<Write>>>,
}

impl Door for Memory {
    fn extend(&self, length: u64) -> Result<(), DiskError> {
        if self.bytes.borrow().len() < length as usize {
            self.bytes.borrow_mut().resize(length as usize, 0);
            self.write_at(&[0], length - 1)?;
        }
        Ok(())
    }
    fn write_at(&self, bytes: &[u8], at: u64) -> Result<(), DiskError> {
        let end = at as usize + bytes.len();
        let length = end.max(self.bytes.borrow().len());
        self.bytes.borrow_mut().resize(length, 0);
        self.bytes.borrow_mut()[at as usize..][..bytes.len()].copy_from_slice(bytes);
        let bytes = bytes.to_vec();
        self.log.borrow_mut().push(Write { at, bytes });
        Ok(())
    }
    fn read_at(&self, out: &mut [u8], at: u64) -> Result<usize, DiskError> {
        let bytes = self.bytes.borrow();
        let rest = bytes.get(at as usize..).unwrap_or_default();
        let length = rest.len().min(out.len());
        out[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
    fn sync(&self) -> Result<(), DiskError> {
        Ok(())
    }
}

/// Transactions: their times and records.
type Transactions = Vec<(i64, Vec<Found>)>;

impl Memory {
    fn copy(&self) -> Self {
        Self {
            bytes: Rc::new(RefCell::new(self.bytes.borrow().clone())),
            log: Rc::default(),
        }
    }

    fn found(&self, contents: &Contents) -> Transactions {
        File(&self.bytes.borrow()).transactions(&contents.statements)
    }
}

fn statement(name: &str, payload_type: Type) -> Definition {
    Definition {
        id: 0,
        name: name.to_owned(),
        flags: 1,
        format: "$0".to_owned(),
        file: "f.rs".to_owned(),
        line: 3,
        payload_type,
    }
}

fn statements() -> Vec<Definition> {
    let wide = Type::tuple([Type::char(), Type::int128(), Type::array(Type::int128())]);
    vec![
        statement("text", Type::text()),
        statement("none", Type::unit()),
        statement("wide", wide),
    ]
}

/// The payload of record `number` of a statement.
fn payload(name: &str, number: u64) -> Vec<u8> {
    let long = |number: u64| number.to_le_bytes().to_vec();
    match name {
        "text" => {
            let text = number.to_string().repeat(number as usize % 5);
            [long(text.len() as u64), text.into_bytes()].concat()
        }
        "wide" => {
            let int = |number: u64| u128::from(number).to_le_bytes().to_vec();
            [vec![7], int(number), long(2), int(number), int(number + 1)].concat()
        }
        _ => Vec::new(),
    }
}

/// The statements of which transaction `number` has records.
fn names(number: u64) -> Vec<&'static str> {
    [&["text"][..], &["none", "wide"][..number as usize % 3]].concat()
}

/// Additions of the transactions of these numbers.
fn add(file: &LogFile<Memory>, numbers: std::ops::Range<u64>) -> Finished {
    let mut additions = file.additions();
    let place = |name: &str| {
        let mut statements = file.contents().statements.iter();
        statements.position(|statement| statement.name == name).unwrap()
    };
    for number in numbers.clone() {
        let mut entries = Vec::new();
        for name in names(number) {
            entries.push(additions.record(place(name), &payload(name, number)).unwrap());
            let no_value = additions.record(place("text"), &[1, 2, 3]);
            assert!(no_value.is_err(), "and it leaves nothing");
        }
        additions.transaction(number as i64, &entries).unwrap();
    }
    additions.finish(numbers.end.to_string().into_bytes()).unwrap()
}

/// What a reader is to find of the transactions below `end`.
fn expected(order: Order, end: u64) -> Transactions {
    let records = |number| {
        let found = |name: &str| (name.to_owned(), payload(name, number));
        names(number).into_iter().map(found).collect::<Vec<_>>()
    };
    match order {
        Order::Transactions => (0..end).map(|number| (number as i64, records(number))).collect(),
        Order::Log => (0..end).flat_map(records).map(|record| (0, vec![record])).collect(),
    }
}

fn made(order: Order, boot: Uuid) -> (Memory, LogFile<Memory>) {
    let memory = Memory::default();
    let fresh = fresh(statements(), order, b"0".to_vec()).unwrap();
    let file = LogFile::make(memory.clone(), fresh, boot).unwrap();
    memory.log.take();
    (memory, file)
}

fn commit(file: &mut LogFile<Memory>, numbers: std::ops::Range<u64>) {
    let finished = add(file, numbers);
    file.commit(finished).unwrap();
}

fn progress(file: &LogFile<Memory>) -> u64 {
    std::str::from_utf8(&file.state().progress).unwrap().parse().unwrap()
}

#[test]
fn a_new_file_holds_nothing_and_says_what_it_will_hold() {
    for order in [Order::Transactions, Order::Log] {
        let (memory, file) = made(order, Uuid::nil());
        assert_eq!(memory.found(file.contents()), []);
        let bytes = memory.bytes.borrow();
        let bindings = File(&bytes).bindings();
        let name = if order == Order::Log { "log" } else { "transactions" };
        let names: Vec<_> = bindings.keys().map(String::as_str).collect();
        let mut expected = vec![".hog", ".za", "none", "statements", "text", "wide", name];
        expected.sort_unstable();
        assert_eq!(names, expected);
        assert_eq!(bytes.len() % 4096, 0);
    }
}

const IN_ORDER: [Part; 3] = [Part::Unseen, Part::State, Part::Seen];

/// Makes commits of so many transactions. Looks at the file after each write, and goes on from there in a copy.
fn look_after_each_write(order: Order, commits: &[u64], parts: [Part; 3]) {
    let boot = Uuid::new_v4();
    let (memory, mut file) = made(order, boot);
    let mut end = 0;
    for size in commits {
        let before = memory.copy();
        let next = end + size;
        let finished = add(&file, end..next);
        file.commit_in(finished, parts).unwrap();
        let (was, will) = (expected(order, end), expected(order, next));
        assert!(memory.found(file.contents()) == will, "after {next}");
        let mut least = was.len();
        for Write { at, bytes } in memory.log.take() {
            before.write_at(&bytes, at).unwrap();
            let found = before.found(file.contents());
            assert!(
                least <= found.len() && found[..] == will[..found.len()],
                "after a write at {at}"
            );
            least = found.len();
            let gone_on = LogFile::open(before.copy(), boot).unwrap();
            let there = progress(&gone_on);
            assert!(there == end || there == next);
            let counts = if there == end { &was } else { &will };
            assert!(found.len() <= counts.len(), "shown before it was committed");
            assert!(gone_on.door.found(file.contents()) == *counts);
        }
        end = next;
    }
}

#[test]
fn after_every_write_a_reader_finds_whole_records_and_a_kill_leaves_a_commit_or_nothing_of_it() {
    for order in [Order::Transactions, Order::Log] {
        look_after_each_write(order, &[1, 3, 30], IN_ORDER);
    }
    look_after_each_write(Order::Transactions, &[BATCH_RECORDS - 2, 5], IN_ORDER);
}

#[test]
fn that_a_commit_is_written_in_another_order_is_noticed() {
    let others = [
        [Part::Seen, Part::Unseen, Part::State],
        [Part::Unseen, Part::Seen, Part::State],
        [Part::State, Part::Unseen, Part::Seen],
    ];
    for parts in others {
        let looked = std::panic::catch_unwind(|| look_after_each_write(Order::Transactions, &[3, 4], parts));
        assert!(looked.is_err(), "{parts:?}");
    }
}

#[test]
fn a_file_that_is_gone_on_with_after_any_write_of_a_commit_ends_as_any_other() {
    let boot = Uuid::new_v4();
    let (memory, mut file) = made(Order::Transactions, boot);
    commit(&mut file, 0..BATCH_RECORDS - 1);
    let before = memory.copy();
    memory.log.take();
    commit(&mut file, BATCH_RECORDS - 1..BATCH_RECORDS + 7);
    let end = BATCH_RECORDS + 20;
    for Write { at, bytes } in memory.log.take() {
        before.write_at(&bytes, at).unwrap();
        let mut file = LogFile::open(before.copy(), boot).unwrap();
        let from = progress(&file);
        commit(&mut file, from..end);
        assert!(
            file.door.found(file.contents()) == expected(Order::Transactions, end),
            "after {at}"
        );
    }
}

#[test]
fn three_batches_keep_the_order_of_their_records() {
    let (memory, mut file) = made(Order::Log, Uuid::nil());
    let end = 2 * BATCH_RECORDS + 5000;
    for start in (0..end).step_by(5000) {
        commit(&mut file, start..start + 5000);
    }
    assert!(memory.found(file.contents()) == expected(Order::Log, end));
}

#[test]
fn after_a_loss_of_power_what_was_synced_counts_and_what_came_later_is_written_again() {
    let boot = Uuid::new_v4();
    let (memory, mut file) = made(Order::Transactions, boot);
    commit(&mut file, 0..4);
    commit(&mut file, 4..9);
    file.sync().unwrap();
    commit(&mut file, 9..BATCH_RECORDS);
    let later = Uuid::new_v4();
    let mut file = LogFile::open(memory.copy(), later).unwrap();
    assert_eq!(progress(&file), 9);
    assert!(file.door.found(file.contents()) == expected(Order::Transactions, 9));
    commit(&mut file, 9..20);
    assert!(file.door.found(file.contents()) == expected(Order::Transactions, 20));
    let again = LogFile::open(file.door.copy(), later).unwrap();
    assert_eq!(progress(&again), 20);
    let unsynced = LogFile::open(file.door.copy(), Uuid::new_v4()).unwrap();
    assert_eq!(progress(&unsynced), 9);
}

#[test]
fn a_synced_copy_outlives_one_that_was_torn_by_a_loss_of_power() {
    let (memory, mut file) = made(Order::Transactions, Uuid::new_v4());
    for end in 1..5 {
        // The first run of each file has one synced copy; whoever goes on with it does not write over that one first.
        file = LogFile::open(file.door.clone(), Uuid::new_v4()).unwrap();
        assert_eq!(progress(&file), end - 1);
        commit(&mut file, end - 1..end);
        memory.log.take();
        file.sync().unwrap();
        let log = memory.log.take();
        let torn = memory.copy();
        let head = log.last().unwrap();
        torn.bytes.borrow_mut()[head.at as usize] ^= 1;
        let found = LogFile::open(torn, Uuid::new_v4()).unwrap();
        assert_eq!(progress(&found), end - 1);
    }
}

#[test]
fn files_of_others_and_damaged_ones_are_not_gone_on_with() {
    let (memory, _) = made(Order::Transactions, Uuid::nil());
    let spoilt = |at: u64| {
        let copy = memory.copy();
        copy.bytes.borrow_mut()[at as usize] ^= 1;
        LogFile::open(copy, Uuid::nil()).unwrap_err()
    };
    assert!(matches!(spoilt(0), FileError::Foreign));
    assert!(matches!(spoilt(STATE_AT), FileError::Foreign));
    let empty = LogFile::open(Memory::default(), Uuid::nil());
    assert!(matches!(empty, Err(FileError::Foreign)));
    let copy = memory.copy();
    for place in 0..COPIES {
        copy.bytes.borrow_mut()[head_at(place) as usize] ^= 1;
    }
    assert!(matches!(LogFile::open(copy, Uuid::nil()), Err(FileError::Damaged)));
}
