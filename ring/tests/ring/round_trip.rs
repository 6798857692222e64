//! Records, batches and definitions on their way through a ring.

use crate::scene::{NUMBER, SMALLEST, Scene, TEXT, drain, kinds, logged, numbers, records, sequence};
use hog_ring::statement::Definition;
use hog_ring::{Error, Group, Kind, Writer, statement};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

#[test]
fn records_come_out_as_they_went_in() {
    let scene = Scene::new();
    let mut writer = scene.group().writer().unwrap();
    writer.log(&NUMBER, (7,)).unwrap();
    writer.log_at(Some(99), &TEXT, ("abc",)).unwrap();
    writer.log(&NUMBER, (8,)).unwrap();

    let bytes = drain(&scene.reader(), &mut 0);
    let found = records(&bytes);
    assert_eq!(
        kinds(&bytes),
        [Kind::Stmt, Kind::Record, Kind::Stmt, Kind::Record, Kind::Record]
    );
    let definition = Definition::decode(&found[2].payload).unwrap();
    assert_eq!((definition.name.as_str(), definition.id), ("text", found[3].statement));
    assert_eq!((found[1].time, &found[1].payload[..]), (None, &7_u64.to_le_bytes()[..]));
    assert_eq!(
        (found[3].time, &found[3].payload[..]),
        (Some(99), &b"\x03\0\0\0\0\0\0\0abc"[..])
    );
    assert_eq!(found[4].statement, found[1].statement);
}

#[test]
fn records_are_stamped_unless_the_group_forbids_it() {
    // The processor's counter, where it is used, is trusted after two spans of about a millisecond: of the calls, some are before and most after.
    for kernel_clock in [false, true] {
        let scene = Scene::new();
        let options = scene.options().timestamps(true).kernel_clock(kernel_clock);
        let mut writer = options.open().unwrap().writer().unwrap();
        let reader = scene.reader();
        let (mut position, mut last) = (0, 0);
        for number in 0..20_000 {
            writer.log(&NUMBER, (number,)).unwrap();
            if number % 100 == 0 {
                for record in logged(&drain(&reader, &mut position)) {
                    let time = record.time.unwrap();
                    assert!(time >= last, "{time} after {last}");
                    last = time;
                }
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                let late = now.as_nanos().abs_diff(u128::from(last));
                assert!(late < 10_000_000_000, "stamped {late} ns from when it was logged");
            }
        }
    }
}

#[test]
fn a_stretch_copied_in_pieces_is_what_it_is_when_copied_at_once() {
    let scene = Scene::new();
    let mut writer = scene.group().writer().unwrap();
    let reader = scene.reader();
    let mut from = 0;
    // From the second on they go over the ring's end.
    for _ in 0..4 {
        while writer.tail() - from < SMALLEST / 4 * 3 {
            writer.log(&NUMBER, (writer.tail(),)).unwrap();
        }
        let mut whole = vec![0; usize::try_from(writer.tail() - from).unwrap()];
        reader.copy(from, &mut whole).unwrap();
        for piece in [8, 56, 64, 72, 2048, 40_000, whole.len()] {
            let mut pieces = b"before".to_vec();
            for (number, expected) in whole.chunks(piece).enumerate() {
                let at = number * piece;
                let more = whole.len() - at - expected.len();
                reader
                    .copy_onto(from + at as u64, expected.len(), more, &mut pieces)
                    .unwrap();
            }
            assert!(
                pieces.strip_prefix(b"before") == Some(&whole[..]),
                "in pieces of {piece}"
            );
        }
        let announced_too_much = reader.copy_onto(from, 64, usize::MAX, &mut Vec::new());
        assert_eq!(announced_too_much, Ok(()));
        from = writer.tail();
        reader.advance(from);
    }
}

#[test]
fn positions_wrap_around_many_capacities() {
    let scene = Scene::new();
    let mut writer = scene.group().writer().unwrap();
    let reader = scene.reader();
    let (mut position, mut next) = (0, 0);
    let mut bytes = Vec::new();
    while position < 20 * SMALLEST {
        for _ in 0..331 {
            // Lengths vary, so that records cross the end of the data at every offset.
            let text = &"0123456789abcdefghijklmnopqrstuvwxyz"[..next % 37];
            writer.log(&TEXT, (text,)).unwrap();
            next += 1;
        }
        bytes.extend(drain(&reader, &mut position));
    }
    let found = logged(&bytes);
    assert_eq!(found.len(), next);
    for (number, record) in found.iter().enumerate() {
        assert_eq!(record.payload.len(), 8 + number % 37);
    }
}

#[test]
fn reliable_writer_waits_for_the_reader() {
    let scene = Scene::new();
    let mut writer = scene.group().writer().unwrap();
    let reader = scene.reader();
    let count = 50_000;
    let logging = std::thread::spawn(move || (0..count).for_each(|number| writer.log(&NUMBER, (number,)).unwrap()));
    let (mut position, mut found) = (0, Vec::new());
    while found.len() < usize::try_from(count).unwrap() {
        found.extend(numbers(&logged(&drain(&reader, &mut position))));
    }
    logging.join().unwrap();
    sequence(&found);
}

#[test]
fn stop_flag_ends_the_wait_for_room() {
    let scene = Scene::new();
    let stop = Arc::new(AtomicBool::new(false));
    let mut writer = scene
        .options()
        .stop_flag(stop.clone())
        .open()
        .unwrap()
        .writer()
        .unwrap();
    let stopping = std::thread::spawn({
        let scene_reader = scene.reader();
        move || {
            crate::scene::wait_until("the ring is full", || scene_reader.tail(0).unwrap() > SMALLEST - 32);
            stop.store(true, Ordering::Relaxed);
        }
    });
    let mut committed = 0;
    let error = loop {
        match writer.log(&NUMBER, (committed,)) {
            Ok(()) => committed += 1,
            Err(error) => break error,
        }
    };
    stopping.join().unwrap();
    assert!(matches!(error, Error::Stopped));
    let found = numbers(&logged(&drain(&scene.reader(), &mut 0)));
    assert_eq!(found.len() as u64, committed);
}

#[test]
fn batch_is_published_by_one_store_and_without_more() {
    let scene = Scene::new();
    let mut writer = scene.group().writer().unwrap();
    let reader = scene.reader();
    let mut batch = writer.batch();
    for number in 0..3 {
        assert!(batch.log(&NUMBER, (number,)).unwrap());
    }
    assert_eq!(kinds(&drain(&reader, &mut 0)), [Kind::Stmt]);
    batch.commit().unwrap();
    assert!(batch.log(&NUMBER, (99,)).unwrap());
    drop(batch);
    writer.log(&NUMBER, (3,)).unwrap();

    let found = logged(&drain(&reader, &mut 0));
    assert_eq!(numbers(&found), [0, 1, 2, 3]);
    assert!(found.iter().all(|record| !record.more));
}

#[test]
fn full_batch_says_so_before_it_takes_a_record() {
    let scene = Scene::new();
    let mut writer = scene.group().writer().unwrap();
    let reader = scene.reader();
    let (mut position, mut bytes) = (0, Vec::new());
    let mut batch = writer.batch();
    let mut number = 0;
    while number < 10_000 {
        if batch.log(&NUMBER, (number,)).unwrap() {
            number += 1;
        } else {
            batch.commit().unwrap();
            bytes.extend(drain(&reader, &mut position));
        }
    }
    batch.commit().unwrap();
    bytes.extend(drain(&reader, &mut position));
    let found = numbers(&logged(&bytes));
    assert_eq!(found.len(), 10_000);
    sequence(&found);
}

#[test]
fn each_writer_has_a_ring_and_statement_ids_of_its_own() {
    let scene = Scene::new();
    let group = scene.group();
    let mut writers: [Writer; 2] = std::array::from_fn(|_| group.writer().unwrap());
    writers[0].log(&TEXT, ("x",)).unwrap();
    writers[0].log(&NUMBER, (1,)).unwrap();
    writers[1].log(&NUMBER, (1,)).unwrap();
    assert_eq!(scene.rings().len(), 2);
    for writer in &writers {
        let path = scene.directory().join(format!("{}.ring", writer.ring_uuid()));
        let reader = hog_ring::RingReader::open(&path).unwrap();
        assert!(!reader.identity().named && reader.identity().uuid == writer.ring_uuid());
        let last = records(&drain(&reader, &mut 0)).pop().unwrap();
        assert_eq!(
            last.statement,
            if writer.ring_uuid() == writers[0].ring_uuid() {
                2
            } else {
                1
            }
        );
    }
}

#[test]
fn definition_that_no_reader_would_take_is_refused() {
    static LONG: hog_ring::Statement<(u64,)> = statement!("long", LONG_FORMAT);
    const LONG_FORMAT: &str = match std::str::from_utf8(&[b'x'; 20 << 10]) {
        Ok(text) => text,
        Err(_) => "",
    };
    let scene = Scene::new();
    let mut writer = scene.group().writer().unwrap();
    assert!(matches!(writer.log(&LONG, (1,)), Err(Error::Definition(_))));
    writer.log(&NUMBER, (1,)).unwrap();
    assert_eq!(kinds(&drain(&scene.reader(), &mut 0)), [Kind::Stmt, Kind::Record]);
}

#[test]
fn group_directory_is_private_and_its_parent_is_not() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::new();
    let group: Group = scene.group();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(group.directory()), 0o700);
    assert_eq!(mode(group.directory().parent().unwrap()), 0o1777);
    let _writer = group.writer().unwrap();
    assert_eq!(mode(&scene.rings()[0]), 0o600);
}
