//! Files of the original, and of our own making, as `cat` and the others meet them: whole, damaged, and hostile.

#[allow(clippy::unwrap_used)]
#[path = "../../../tests/fuzz/recording.rs"]
mod recording;

use super::*;
use crate::formats::body::Gap;
use crate::formats::value;
use hog_ring::types::Type;
use recording::{BATCH, Chain, Recording as Made, Stored, entries, record, reference_to, transactions};
use std::ops::Range;

/// What a visitor is given: name, value, position, transaction, time.
type Given = (String, String, u64, Option<u64>, Option<u64>);

#[derive(Default)]
struct Collector {
    given: Vec<Given>,
    texts: Vec<String>,
    faults: Vec<String>,
    settled: Option<Progress>,
}

impl Visitor for Collector {
    fn record(&mut self, _: &StreamInfo, record: &Record<'_>) -> io::Result<()> {
        let mut json = Vec::new();
        let name = record.definition.name.clone();
        if let Err(error) = value::to_json(&record.definition.payload_type, record.payload, &mut json) {
            self.faults.push(error.to_string());
        }
        let mut text = Vec::new();
        let _ = value::format_text(record.definition, record.payload, &mut text);
        self.texts.push(String::from_utf8_lossy(&text).into_owned());
        let json = String::from_utf8_lossy(&json).into_owned();
        self.given
            .push((name, json, record.position, record.transaction, record.time));
        Ok(())
    }

    fn undefined(&mut self, _: &StreamInfo, _: u64, statement: u32) -> io::Result<()> {
        self.faults.push(format!("undefined {statement}"));
        Ok(())
    }

    fn gap(&mut self, _: &StreamInfo, _: Range<u64>, _: &Gap) -> io::Result<()> {
        Ok(())
    }

    fn settled(&mut self, progress: &Progress) -> io::Result<()> {
        self.settled = Some(progress.clone());
        Ok(())
    }

    fn fault(&mut self, fault: &Fault) -> io::Result<()> {
        self.faults.push(fault.to_string());
        Ok(())
    }
}

fn read_path(path: &Path) -> Collector {
    let mut collector = Collector::default();
    read(&[path.to_owned()], Depth::Records, &mut collector).unwrap();
    collector
}

fn read_bytes(bytes: &[u8]) -> Collector {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    read_path(file.path())
}

fn pair() -> Type {
    record(&[("number", 0, Type::int()), ("half", 8, Type::double())])
}

fn pair_of(number: i32) -> Stored {
    let mut bytes = i64::from(number).to_le_bytes().to_vec();
    bytes.extend((f64::from(number) / 2.0).to_le_bytes());
    Stored::Bytes(bytes)
}

/// A record with a text, texts, and a case of a variant.
fn deep() -> Type {
    let cases = Type::Variant(vec![
        hog_ring::types::Case {
            name: "none".to_owned(),
            id: 7,
            holds: Type::unit(),
        },
        hog_ring::types::Case {
            name: "much".to_owned(),
            id: 9,
            holds: Type::double(),
        },
    ]);
    let texts = reference_to(Type::array(reference_to(Type::text())));
    record(&[
        ("text", 0, reference_to(Type::text())),
        ("texts", 8, texts),
        ("case", 16, cases),
    ])
}

fn deep_of(made: &mut Made, number: i32) -> Stored {
    let inner = made.array(2, b"ab").to_le_bytes().to_vec();
    let text = format!("text {number}");
    let tag: u32 = if number % 2 == 0 { 7 } else { 9 };
    Stored::Parts(vec![
        Stored::Array(text.len() as u64, text.into_bytes()),
        Stored::Array(1, inner),
        Stored::Bytes([u64::from(tag).to_le_bytes(), 1.5_f64.to_le_bytes()].concat()),
    ])
}

const DISPLAY: [(&str, &str); 2] = [("deep", "$text!"), ("pair", "$number and $half")];

/// A file of a log of ten records.
fn log(chain: Chain) -> Vec<u8> {
    let mut made = Made::new(chain);
    let mut pairs = made.series("pair", &pair(), 16);
    let mut deeps = made.series("deep", &deep(), 32);
    let mut log = made.series("log", &entries(&[("deep", 0, deep()), ("pair", 5, pair())]), 16);
    for number in 0..10 {
        let entry = if number % 3 == 0 {
            let value = deep_of(&mut made, number);
            Made::entry(0, made.push(&mut deeps, &value))
        } else {
            Made::entry(5, made.push(&mut pairs, &pair_of(number)))
        };
        made.push(&mut log, &Stored::Bytes(entry));
    }
    made.statements(&DISPLAY);
    made.finish()
}

fn expected(number: i32) -> (String, String) {
    match number {
        number if number % 3 != 0 => {
            let half = f64::from(number) / 2.0;
            ("pair".to_owned(), format!(r#"{{"number":{number},"half":{half:?}}}"#))
        }
        number => {
            let case = if number % 2 == 0 {
                r#"{"none":null}"#
            } else {
                r#"{"much":1.5}"#
            };
            let json = format!(r#"{{"text":"text {number}","texts":["ab"],"case":{case}}}"#);
            ("deep".to_owned(), json)
        }
    }
}

#[test]
fn records_of_a_log_come_in_order_whichever_way_its_batches_are_chained() {
    for chain in [Chain::Prepended, Chain::Appended] {
        let found = read_bytes(&log(chain));
        assert_eq!(found.faults, Vec::<String>::new());
        let wanted: Vec<Given> = (0..10)
            .map(|number| {
                let (name, json) = expected(number);
                (name, json, u64::from(number.unsigned_abs()), None, None)
            })
            .collect();
        assert_eq!(found.given, wanted);
        assert_eq!(found.texts[..2], ["text 0!", "1 and 0.5"]);
    }
}

/// A file of three transactions, of 2, 1 and 0 records.
fn manual() -> Vec<u8> {
    let mut made = Made::new(Chain::Prepended);
    let kind = entries(&[("pair", 5, pair())]);
    let mut pairs = made.series("pair", &pair(), 16);
    let mut order = made.series("transactions", &transactions(kind), 16);
    for (number, count) in [(0, 2), (1, 1), (2, 0)] {
        let slots: Vec<u8> = (0..count)
            .flat_map(|place| Made::entry(5, made.push(&mut pairs, &pair_of(10 * number + place))))
            .collect();
        let row = vec![
            Stored::Bytes((1000 + i64::from(number)).to_le_bytes().to_vec()),
            Stored::Array(u64::from(count.unsigned_abs()), slots),
        ];
        made.push(&mut order, &Stored::Parts(row));
    }
    made.statements(&DISPLAY);
    made.finish()
}

#[test]
fn records_of_a_transaction_have_its_time_and_those_of_one_with_several_its_first_position() {
    let found = read_bytes(&manual());
    assert_eq!(found.faults, Vec::<String>::new());
    let about: Vec<_> = found.given.iter().map(|given| (given.2, given.3, given.4)).collect();
    assert_eq!(
        about,
        [
            (0, Some(0), Some(1_000_000)),
            (1, Some(0), Some(1_000_000)),
            (2, None, Some(1_001_000))
        ]
    );
}

/// A file that a program made with the original's library for C++, long enough for a second page of the table.
fn plain() -> Vec<u8> {
    let mut made = Made::new(Chain::Appended);
    let mut texts = made.series("texts", &reference_to(Type::text()), 8);
    let mut units = made.series("units", &Type::unit(), 0);
    made.series(".hidden", &Type::int(), 4);
    for number in 0..150 {
        let text = format!("{number:0200}");
        made.push(&mut texts, &Stored::Array(200, text.into_bytes()));
        made.push(&mut units, &Stored::Bytes(Vec::new()));
    }
    made.finish()
}

#[test]
fn a_file_without_a_log_gives_the_records_of_each_name_in_their_order() {
    let bytes = plain();
    assert!(bytes.len() > 121 * 256, "{} bytes", bytes.len());
    let found = read_bytes(&bytes);
    assert_eq!(found.faults, Vec::<String>::new());
    assert_eq!(found.given.len(), 300);
    assert_eq!(found.given[7].1, format!("\"{:0200}\"", 7));
    assert_eq!(
        found.given[299],
        ("units".to_owned(), "null".to_owned(), 299, None, None)
    );
}

#[test]
fn whoever_goes_on_later_gets_the_rest_and_nothing_twice() {
    for bytes in [log(Chain::Prepended), manual(), plain()] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let paths = [file.path().to_owned()];
        let whole = read_path(file.path());
        let id = info(file.path(), 0).unwrap().id;
        for from in 0..=whole.given.len() {
            let mut progress = Progress::default();
            progress.settle(id, from as u64);
            let mut collector = Collector::default();
            read_from(progress, &paths, Depth::Records, &mut collector).unwrap();
            assert_eq!(collector.given, whole.given[from..]);
            assert_eq!(collector.settled.unwrap().of(id), whole.given.len() as u64);
        }
    }
}

#[test]
fn who_follows_a_file_gets_each_record_once_as_it_is_counted() {
    let bytes = log(Chain::Appended);
    let file = tempfile::NamedTempFile::new().unwrap();
    // The first batch of the log counts less at first: it is the one that begins with the entry of the first record.
    let first = bytes
        .windows(24)
        .position(|at| at[..8] == BATCH.to_le_bytes() && at[8..16] == [0; 8] && at[16..24] != [0; 8]);
    let first = first.unwrap();
    let mut early = bytes.clone();
    early[first..first + 8].copy_from_slice(&2_u64.to_le_bytes());
    std::fs::write(file.path(), &early).unwrap();
    let mut collector = Collector::default();
    let mut follower = Follower::new(&[file.path().to_owned()], &mut collector, &Stop::default()).unwrap();
    follower.round().unwrap();
    let seen = follower.visitor().given.len();
    assert!(seen < 10);
    std::fs::write(file.path(), &bytes).unwrap();
    follower.round().unwrap();
    follower.round().unwrap();
    assert_eq!(collector.faults, Vec::<String>::new());
    assert_eq!(collector.given.len(), 10);
}

#[test]
fn whatever_byte_is_another_nothing_breaks_and_nothing_is_given_without_end() {
    for bytes in [log(Chain::Prepended), manual()] {
        let file = tempfile::NamedTempFile::new().unwrap();
        let whole = read_bytes(&bytes).given.len();
        for at in MAGIC.len()..bytes.len() {
            let mut spoilt = bytes.clone();
            spoilt[at] ^= [0x01, 0x80, 0xff][at % 3];
            std::fs::write(file.path(), &spoilt).unwrap();
            let found = read_path(file.path());
            assert!(found.given.len() <= 4 * whole, "byte {at}");
        }
    }
}

#[test]
fn a_file_that_is_cut_says_so_and_gives_what_is_left_of_it() {
    let bytes = manual();
    let file = tempfile::NamedTempFile::new().unwrap();
    let whole = read_bytes(&bytes).given;
    for length in (MAGIC.len()..bytes.len()).rev() {
        std::fs::write(file.path(), &bytes[..length]).unwrap();
        let found = read_path(file.path());
        assert!(!found.faults.is_empty(), "{length} bytes");
        // Without its log a file gives the records of each name, at other positions.
        let is_there = |given: &Given| whole.iter().any(|known| (&known.0, &known.1) == (&given.0, &given.1));
        assert!(found.given.iter().all(is_there), "{length} bytes");
    }
}

#[test]
fn a_record_that_is_damaged_is_told_once_a_statement_and_the_others_are_given() {
    let bytes = log(Chain::Prepended);
    let file = tempfile::NamedTempFile::new().unwrap();
    // The places of the texts of two records.
    let mut spoilt = bytes.clone();
    for text in ["text 3", "text 6"] {
        let at = bytes.windows(6).position(|found| found == text.as_bytes()).unwrap() - 8;
        let reference = bytes
            .windows(8)
            .position(|found| found == (at as u64).to_le_bytes())
            .unwrap();
        spoilt[reference + 7] = 0x80;
    }
    std::fs::write(file.path(), &spoilt).unwrap();
    let found = read_path(file.path());
    let positions: Vec<u64> = found.given.iter().map(|given| given.2).collect();
    assert_eq!(positions, [0, 1, 2, 4, 5, 7, 8, 9]);
    assert_eq!(found.faults.len(), 1, "{:?}", found.faults);
    assert!(
        found.faults[0].contains("record 4 of statement \"deep\""),
        "{:?}",
        found.faults
    );
}

#[test]
fn a_statement_of_a_type_that_is_not_read_leaves_the_others() {
    let mut made = Made::new(Chain::Prepended);
    let mut pairs = made.series("pair", &pair(), 16);
    let strange = Type::primitive("quux");
    let mut log = made.series("log", &entries(&[("odd", 0, strange), ("pair", 5, pair())]), 16);
    for number in 0..4 {
        let place = made.push(&mut pairs, &pair_of(number));
        made.push(&mut log, &Stored::Bytes(Made::entry(0, place)));
        made.push(&mut log, &Stored::Bytes(Made::entry(5, place)));
    }
    made.statements(&DISPLAY);
    let found = read_bytes(&made.finish());
    assert_eq!(found.given.len(), 4);
    assert_eq!(found.faults.len(), 1, "{:?}", found.faults);
    assert!(
        found.faults[0].contains("values of quux are not read"),
        "{:?}",
        found.faults
    );
}

#[test]
fn records_that_share_what_they_refer_to_end_a_file_before_it_takes_forever() {
    let mut made = Made::new(Chain::Prepended);
    let kind = reference_to(Type::array(reference_to(Type::text())));
    let text = made.array(256, &[b'x'; 256]);
    let texts: Vec<u8> = (0..256).flat_map(|_| text.to_le_bytes()).collect();
    let all = made.array(256, &texts);
    let cell = made.array(all, &[]);
    let mut log = made.series("log", &entries(&[("text", 0, kind)]), 16);
    for _ in 0..40 {
        made.push(&mut log, &Stored::Bytes(Made::entry(0, cell)));
    }
    let found = read_bytes(&made.finish());
    assert!(found.given.len() < 40, "{}", found.given.len());
    assert_eq!(found.faults.len(), 1, "{:?}", found.faults);
    assert!(found.faults[0].contains("many times over"), "{:?}", found.faults);
}

#[test]
fn a_compressed_file_is_refused_in_one_line() {
    let mut made = Made::new(Chain::Prepended);
    let ty = Type::Application {
        function: Box::new(Type::primitive("cseq")),
        arguments: vec![pair(), Type::unit(), Type::Number(10_000)],
    };
    let mut encoded = Vec::new();
    ty.encode(&mut encoded);
    made.bind("pair", 8, encoded);
    let found = read_bytes(&made.finish());
    assert_eq!((found.given.len(), found.faults.len()), (0, 1));
    assert!(
        found.faults[0].contains("\"pair\" is compressed (hog -z)"),
        "{:?}",
        found.faults
    );
}

#[test]
fn files_and_directories_are_not_read_in_one_go() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("data-0.log");
    std::fs::write(&file, manual()).unwrap();
    let mut collector = Collector::default();
    let paths = [file.clone(), directory.path().to_owned()];
    let error = read(&paths, Depth::Records, &mut collector).unwrap_err();
    assert!(matches!(error, ReadError::Mixed { .. }));
    // And a directory is looked through for segments alone.
    read(&paths[1..], Depth::Records, &mut collector).unwrap();
    assert!(collector.given.is_empty());
    assert!(is_recording(&file));
}

#[test]
fn the_group_is_what_the_pattern_of_the_original_says_or_else_the_name_of_the_file() {
    for (path, group) in [
        ("/var/Gt/2026.11.22/data-0.log", "Gt"),
        ("/var/Gt/2026-11-22/data-0.log", "data-0"),
        ("/var/.x/2026.11.22/my log.log", "my_log"),
        ("/.log", "log"),
        ("/a/...log", "log"),
    ] {
        assert_eq!(group_of(Path::new(path)), group, "{path}");
        assert!(hog_ring::is_group_name(&group_of(Path::new(path))));
    }
}
