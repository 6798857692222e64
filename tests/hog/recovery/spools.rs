//! Senders that are started again with another spool directory: what the former one holds comes first, and nothing is told to be gone that it has.

use crate::arrived::segments;
use crate::roles::Process;
use crate::scene::{GROUP, Scene, wait_until, words};
use std::path::Path;

impl Scene {
    /// Starts a sender whose spools are in `spool`.
    pub(super) fn sender_in(&self, spool: &str, to: &[&str], more: &[&str]) -> Process {
        // Of two, the later one counts.
        let spool = self.path(spool);
        let mut arguments = vec!["-d", spool.to_str().unwrap()];
        arguments.extend(more);
        let store = self.store();
        let mut all = words(&["batchsend", "-g", GROUP]);
        for destination in to {
            all.extend(words(&["--to", destination]));
        }
        all.extend(words(&arguments));
        all.extend([Path::new("-m").as_os_str(), store.as_os_str()]);
        all.extend([Path::new("--shm-dir").as_os_str(), self.shm_dir().as_os_str()]);
        self.start("batchsend", &all)
    }

    /// Waits until the rings are drained, and the spool in `spool` holds something.
    pub(super) fn wait_spooled_in(&self, spool: &str) {
        wait_until("all is in the spool", || {
            let (tail, head) = self.progress();
            tail == head && !segments(&self.path(spool).join(GROUP)).is_empty()
        });
    }
}

/// The beginning of `bytes`, `len` of them or a few less, up to the end of a line.
fn up_to_a_line(bytes: &[u8], len: usize) -> &[u8] {
    let end = bytes[..len].iter().rposition(|byte| *byte == b'\n');
    &bytes[..end.expect("a line") + 1]
}

#[test]
fn a_sender_that_is_killed_and_given_another_spool_ships_what_the_former_holds_first() {
    let scene = Scene::new();
    let bytes = scene.lines(3 << 20);
    let mut receiver = scene.receiver("recv");
    receiver.kill();
    let to = [receiver.address.clone()];
    let to = to.each_ref().map(String::as_str);
    // The same stream in three directories, of which one is used twice, and a stream that ends in each.
    let mut piped = Vec::new();
    let cuts = [1, 2, 3, 4].map(|quarter| up_to_a_line(&bytes, bytes.len() / 4 * quarter));
    for (run, spool) in ["one", "two", "one", "three"].into_iter().enumerate() {
        let mut sender = scene.sender_in(spool, &to, &[]);
        let input = scene.file("input.log", cuts[run]);
        scene.log(&[&input]);
        let line = format!("piped in run {run}\n");
        scene.pipe(&scene.file("piped", &line)).succeed();
        piped.push(line);
        scene.wait_spooled_in(spool);
        sender.kill();
    }
    receiver.start(&scene);
    scene.sender_in("four", &to, &["--drain-and-exit"]).succeed();
    let raw = String::from_utf8(scene.raw(&receiver.archive)).unwrap();
    let (other, lines): (Vec<_>, Vec<_>) = raw.split_inclusive('\n').partition(|line| line.starts_with("piped"));
    assert!(
        lines.concat().as_bytes() == cuts[3],
        "the stream that goes through all spools is not whole"
    );
    assert_eq!(other, piped);
    scene.verify(&receiver.archive);
    for spool in ["one", "two", "three"] {
        let left = segments(&scene.path(spool).join(GROUP));
        assert!(left.is_empty(), "{left:?}");
    }
    assert!(scene.acked());
    // Nothing is looked for there any more.
    std::fs::remove_dir_all(scene.path("two")).unwrap();
    let sender = scene.sender_in("four", &to, &["--drain-and-exit", "--recover", "require"]);
    let finished = sender.finish();
    assert_eq!(finished.code, Some(0), "{}", finished.words);
}

#[test]
fn a_new_destination_gets_the_beginning_of_a_stream_from_the_spool_that_has_it() {
    let scene = Scene::new();
    let bytes = scene.lines(1 << 20);
    let mut receiver = scene.receiver("recv");
    receiver.kill();
    let mut sender = scene.sender_in("one", &[&receiver.address], &[]);
    let input = scene.file("input.log", &bytes[..bytes.len() / 2]);
    scene.log(&[&input]);
    scene.wait_spooled_in("one");
    sender.kill();
    let new = scene.receiver("new");
    let _sender = scene.sender_in("two", &[&new.address], &[]);
    std::fs::write(&input, &bytes).unwrap();
    scene.log(&[&input]);
    wait_until("the new one has all", || scene.raw(&new.archive).len() == bytes.len());
    scene.assert_arrived(&new, &bytes);
    // The former one is owed what was drained for it, no more.
    receiver.start(&scene);
    wait_until("the former one has its part", || {
        scene.raw(&receiver.archive).len() >= bytes.len() / 2
    });
    assert!(bytes.starts_with(&scene.raw(&receiver.archive)));
}

#[test]
fn a_spool_that_is_not_there_is_missed_and_said_and_a_sender_that_must_recover_all_does_not_start() {
    let scene = Scene::new();
    let bytes = scene.lines(1 << 18);
    let mut receiver = scene.receiver("recv");
    receiver.kill();
    let mut sender = scene.sender_in("one", &[&receiver.address], &[]);
    scene.log(&[&scene.file("input.log", &bytes)]);
    scene.wait_spooled_in("one");
    sender.kill();
    let (here, away) = (scene.path("one"), scene.path("away"));
    std::fs::rename(&here, &away).unwrap();
    receiver.start(&scene);
    let refused = scene
        .sender_in("two", &[&receiver.address], &["--recover", "require"])
        .finish();
    assert_eq!(refused.code, Some(4), "{}", refused.words);
    assert!(refused.words.contains(here.to_str().unwrap()), "{}", refused.words);
    let mut sender = scene.sender_in("two", &[&receiver.address], &[]);
    wait_until("it is said", || sender.words().contains(here.to_str().unwrap()));
    sender.kill();
    std::fs::rename(&away, &here).unwrap();
    scene
        .sender_in("two", &[&receiver.address], &["--drain-and-exit"])
        .succeed();
    scene.assert_arrived(&receiver, &bytes);
}
