//! What no original sender sends: refused whole, with nothing stored, nothing answered, and the connection reset; and everything else goes on.

use super::sender::{Answer, Classic, counted, counting, declared, definition, gzip, init_of, record, segment_of};
use super::{streams, values};
use crate::roles::Receiver;
use crate::scene::{GROUP, Scene, wait_until};
use hog::formats::classic::inflate::Inflate;
use hog_ring::types::Type;
use serde_json::Value;
use std::io::Read;

/// As many connections may have places.
const PLACES: usize = hog::limits::CONNECTIONS_MAX;

/// What a fresh connection is answered that sends `file`, with this length in front, as its first segment.
fn answer_to(receiver: &Receiver, length: u64, file: &[u8]) -> Answer {
    let mut sender = Classic::start(&receiver.address, GROUP, &counting());
    sender.send(&[&length.to_le_bytes()[..], file].concat());
    sender.answer()
}

fn answer_to_file(receiver: &Receiver, file: &[u8]) -> Answer {
    answer_to(receiver, file.len() as u64, file)
}

#[test]
fn a_segment_that_is_cut_anywhere_or_changed_at_any_byte_is_refused_whole() {
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    let segment = segment_of(&counted(0..3));
    let file = gzip(&segment);
    for end in 1..file.len() {
        assert_eq!(answer_to_file(&receiver, &file[..end]), Answer::Reset, "{end}");
    }
    let mut stored = 0;
    for place in 0..file.len() {
        let mut changed = file.clone();
        changed[place] ^= scene.draw(|chance| 1 << chance.u8(..8));
        // Some bytes of a gzip header say nothing of what is in it.
        let mut inflated = Vec::new();
        let read = Inflate::new(&changed[..]).and_then(|mut inflate| inflate.read_to_end(&mut inflated));
        let expected = if read.is_ok() && inflated == segment {
            stored += 3;
            Answer::Stored
        } else {
            Answer::Reset
        };
        assert_eq!(answer_to_file(&receiver, &changed), expected, "{place}");
    }
    // What is cut between two transactions is a segment; cut elsewhere, also before it was compressed, it is none.
    for end in (1..segment.len()).filter(|end| end % 20 != 0) {
        assert_eq!(
            answer_to_file(&receiver, &gzip(&segment[..end])),
            Answer::Reset,
            "{end}"
        );
    }
    assert_eq!(values(&scene, &receiver).len(), stored);
    let words = receiver.process().words();
    assert!(
        words.contains("of an original sender sent what cannot be understood")
            || words.matches("connection from").count() == 1,
        "{words}"
    );
}

#[test]
fn what_cannot_be_understood_is_refused_and_what_was_accepted_before_stays() {
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    let good = counted([1, 2]);
    let bad = [
        ("an id that was not declared", record(4, &[0; 8])),
        ("a payload that is too short", record(3, &[0; 7])),
        ("bytes behind the last record", [record(3, &[0; 8]), vec![0]].concat()),
        ("half an id", vec![3, 0, 0]),
    ];
    for (what, transaction) in &bad {
        let mut sender = Classic::start(&receiver.address, GROUP, &counting());
        sender.ship(&counted([7]));
        let transactions = [good.clone(), vec![transaction.clone()], good.clone()].concat();
        sender.say(&gzip(&segment_of(&transactions)));
        assert_eq!(sender.answer(), Answer::Reset, "{what}");
    }
    let long = [&(1u64 << 60).to_le_bytes()[..], &[0; 100]].concat();
    assert_eq!(answer_to_file(&receiver, &gzip(&long)), Answer::Reset);
    assert_eq!(answer_to(&receiver, u64::MAX, b""), Answer::Reset);
    assert_eq!(answer_to(&receiver, 1 << 40, b""), Answer::Reset);
    assert_eq!(values(&scene, &receiver), vec![Value::from(7); bad.len()]);
    wait_until("all streams have ended", || {
        streams(&scene, &receiver) == vec![(true, 1); bad.len()]
    });
    assert!(receiver.process().is_running() && !receiver.process().words().contains("panicked"));
}

#[test]
fn what_introduces_nobody_is_refused_and_makes_nothing() {
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    let init = init_of(&counting());
    let bytes_of = |bytes: &[u8]| [&(bytes.len() as u64).to_le_bytes()[..], bytes].concat();
    let names: [&[u8]; 9] = [
        b"",
        b"$DATE",
        b"two words",
        b"a/b",
        b"../up",
        b".hidden",
        b"lock",
        b"\xff",
        &[b'x'; 65],
    ];
    for name in names {
        let mut sender = Classic::connect(&receiver.address);
        sender.send(&[bytes_of(name), bytes_of(&gzip(&init))].concat());
        assert_eq!(sender.answer(), Answer::Reset, "{name:?}");
    }
    let deep = (0..200).fold(Type::int(), |inner, _| Type::array(inner));
    let mut deep_init = vec![0; 8];
    deep_init.extend(1u64.to_le_bytes());
    definition(0, "deep", "", deep).encode(&mut deep_init);
    let mut many = init.clone();
    many[8..16].fill(0xff);
    let declarations = [
        gzip(&init[..init.len() - 1]),
        gzip(&[&init[..], &[0]].concat()),
        gzip(&many),
        gzip(&deep_init),
        gzip(&vec![0; 4 << 20]),
        gzip(&init)[..20].to_vec(),
        b"no gzip".to_vec(),
        Vec::new(),
    ];
    for declaration in &declarations {
        let mut sender = Classic::connect(&receiver.address);
        sender.send(&[bytes_of(GROUP.as_bytes()), bytes_of(declaration)].concat());
        assert_eq!(sender.answer(), Answer::Reset, "{declaration:02x?}");
    }
    let mut long = Classic::connect(&receiver.address);
    long.send(&[bytes_of(GROUP.as_bytes()), u64::MAX.to_le_bytes().to_vec()].concat());
    assert_eq!(long.answer(), Answer::Reset);
    let names: Vec<_> = std::fs::read_dir(&receiver.archive)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["lock"]);
    let words = receiver.process().words();
    assert!(
        words.contains("no group can be called") && !words.contains("panicked"),
        "{words}"
    );
}

#[test]
fn segments_that_swell_take_a_bounded_amount_of_memory() {
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    let declaration = declared([definition(0, "bytes", "", Type::array(Type::byte()))]);
    // One record of 15 MiB in 15 KiB, and behind it a transaction that is none.
    let length = 15 << 20;
    let swelling = record(0, &[&(length as u64).to_le_bytes()[..], &vec![0; length]].concat());
    let file = gzip(&segment_of(&[swelling, vec![1]]));
    assert!(file.len() < 100_000);
    let mut senders: Vec<_> = (0..40)
        .map(|_| Classic::start(&receiver.address, GROUP, &declaration))
        .collect();
    for sender in &mut senders {
        sender.say(&file);
    }
    for sender in &mut senders {
        assert_eq!(sender.answer(), Answer::Reset);
    }
    let peak = receiver.process().peak_kib();
    assert!(peak < 250 << 10, "{peak} KiB");
    assert_eq!(streams(&scene, &receiver), []);
}

#[test]
fn original_senders_that_are_silent_keep_nobody_out() {
    hog::os::process::raise_open_files();
    let scene = Scene::new();
    let mut receiver = scene.receiver("recv");
    let mut silent = vec![Classic::start(&receiver.address, GROUP, &counting())];
    wait_until("the first is silent before the others are", || {
        receiver.process().words().contains("ships as an original sender")
    });
    silent.extend((1..PLACES).map(|_| Classic::start(&receiver.address, GROUP, &counting())));
    let mut one_more = Classic::start(&receiver.address, GROUP, &counting());
    assert_eq!(
        silent[0].answer(),
        Answer::Reset,
        "the one that is silent for the longest gives way"
    );
    let bytes = scene.lines(1 << 16);
    let _native = scene.sender(&[&receiver.address]);
    scene.log(&[&scene.file("input.log", &bytes)]);
    scene.wait_acked();
    scene.assert_arrived(&receiver, &bytes);
    silent[PLACES - 1].ship(&counted([1]));
    one_more.ship(&counted([2]));
    assert!(!receiver.process().words().contains("panicked"));
}
