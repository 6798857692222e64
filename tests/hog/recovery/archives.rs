//! Receivers that lost their archive, or have an older one, and stores that were copied: nothing is skipped in silence, and nothing doubled.

use super::by_hand::copy;
use crate::roles::Receiver;
use crate::scene::{GROUP, Scene, wait_until, words};
use std::path::{Path, PathBuf};

/// What is left of a spool of this size after it was delivered is less than what was logged.
const BOUNDS: [&str; 2] = ["--spool-max", "8MiB"];

/// What happens while an archive is harmed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Harmed {
    /// Its receiver does not run, its sender does.
    WhileSenderRuns,
    /// The sender is killed too.
    AndSenderKilled,
}

/// Logs `parts` one after the other as one growing file, each of which must arrive; before the last one, `receiver` is stopped and what is done to its
/// archive is done. With `Harmed::AndSenderKilled` the sender is killed as well, and started anew. Returns what it said, the last one.
fn log_around(
    scene: &Scene,
    receiver: &mut Receiver,
    harmed: Harmed,
    parts: [&[u8]; 3],
    mut harm: impl FnMut(usize, &Path),
) -> String {
    let mut sender = scene.sender_with(&[GROUP], &[&receiver.address], &BOUNDS);
    let mut file = Vec::new();
    for (number, part) in parts.into_iter().enumerate() {
        file.extend_from_slice(part);
        scene.log(&[&scene.file("input.log", &file)]);
        scene.wait_acked();
        receiver.kill();
        let is_sender_killed = harmed == Harmed::AndSenderKilled;
        if is_sender_killed {
            sender.kill();
        }
        harm(number, &receiver.archive.join(GROUP));
        receiver.start(scene);
        if is_sender_killed {
            sender = scene.sender_with(&[GROUP], &[&receiver.address], &BOUNDS);
        }
    }
    // Whatever was sent again has arrived once the end of something new has.
    scene.pipe(&scene.file("piped", b"the end\n")).succeed();
    wait_until("the end has arrived", || {
        let mut arguments = words(&["cat", "--format", "raw"]);
        arguments.push(receiver.archive.as_os_str());
        scene.run("cat", &arguments).output.ends_with(b"the end\n")
    });
    sender.words()
}

/// What is done to an archive that is saved after the first part, and after the second one restored.
fn restore_after_one_day(saved: PathBuf) -> impl FnMut(usize, &Path) {
    move |number, archive| match number {
        0 => copy(archive, &saved),
        1 => {
            std::fs::remove_dir_all(archive).unwrap();
            copy(&saved, archive);
        }
        _ => {}
    }
}

/// That `raw` is the end of `all`, what a GAP stands for left out, and the last line.
fn assert_is_rest(raw: &[u8], all: &[u8]) {
    let rest = raw.strip_suffix(b"the end\n").expect("the last line");
    assert!(
        !rest.is_empty() && rest.len() < all.len(),
        "{} of {} bytes",
        rest.len(),
        all.len()
    );
    assert!(all.ends_with(rest), "what is there is not the end of what was logged");
}

/// Delivers a file in two halves, deletes the archive between them, and expects a GAP for what the spool had no more.
fn lose_archive(harmed: Harmed) {
    let scene = Scene::new();
    let bytes = scene.lines(12 << 20);
    let (before, after) = bytes.split_at(bytes.iter().rposition(|byte| *byte == b'\n').unwrap() / 2);
    let cut = before.iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let (before, after) = (&bytes[..cut], [&before[cut..], after].concat());
    let mut receiver = scene.receiver("recv");
    let said = log_around(
        &scene,
        &mut receiver,
        harmed,
        [before, &after, b""],
        |number, archive| {
            if number == 1 {
                std::fs::remove_dir_all(archive).unwrap();
            }
        },
    );
    assert_is_rest(&scene.raw_with_gaps(&receiver.archive), &bytes);
    if harmed == Harmed::WhileSenderRuns {
        assert!(said.contains("its archive was lost"), "{said}");
        assert!(said.contains("are in no spool any more"), "{said}");
    }
}

#[test]
fn a_receiver_whose_archive_is_lost_gets_what_the_spool_still_has_and_a_gap_for_the_rest() {
    lose_archive(Harmed::WhileSenderRuns);
}

#[test]
fn a_receiver_whose_archive_is_lost_while_its_sender_is_killed_gets_a_gap_for_what_no_spool_has() {
    lose_archive(Harmed::AndSenderKilled);
}

#[test]
fn a_receiver_whose_archive_is_that_of_yesterday_gets_what_the_spool_still_has_and_a_gap_between() {
    let scene = Scene::new();
    let (first, second) = (scene.lines(1 << 20), scene.lines(12 << 20));
    let mut receiver = scene.receiver("recv");
    let said = log_around(
        &scene,
        &mut receiver,
        Harmed::WhileSenderRuns,
        [&first, &second, b""],
        restore_after_one_day(scene.path("saved")),
    );
    assert!(said.contains("restored from an older one"), "{said}");
    assert!(said.contains("are in no spool any more"), "{said}");
    let raw = scene.raw_with_gaps(&receiver.archive);
    assert!(raw.starts_with(&first), "what was restored is not the beginning");
    assert_is_rest(&raw[first.len()..], &second);
}

#[test]
fn what_a_restored_archive_lacks_and_the_spool_has_comes_again_and_nothing_is_marked() {
    let scene = Scene::new();
    let (first, second) = (scene.lines(1 << 18), scene.lines(1 << 18));
    let mut receiver = scene.receiver("recv");
    log_around(
        &scene,
        &mut receiver,
        Harmed::WhileSenderRuns,
        [&first, &second, b""],
        restore_after_one_day(scene.path("saved")),
    );
    scene.assert_arrived(&receiver, &[&first[..], &second, b"the end\n"].concat());
}

#[test]
fn a_copied_store_takes_no_spool_that_is_in_use_and_one_that_is_not_is_shipped_once() {
    let scene = Scene::new();
    let bytes = scene.lines(1 << 18);
    let mut receiver = scene.receiver("recv");
    receiver.kill();
    let mut original = scene.sender_in("spool", &[&receiver.address], &[]);
    scene.log(&[&scene.file("input.log", &bytes)]);
    scene.wait_spooled_in("spool");
    wait_until("there is a database", || scene.status().is_some());
    let (spool, copied) = (scene.path("spool").join(GROUP), scene.path("copied"));
    copy(&scene.store(), &copied);
    let elsewhere = Scene::new();
    let address = receiver.address.clone();
    let with_copy = || {
        let mut arguments = words(&["batchsend", "-g", GROUP, "--to", &address]);
        let (own, copied) = (elsewhere.path("spool"), copied.clone());
        arguments.extend(["-d".as_ref(), own.as_os_str(), "-m".as_ref(), copied.as_os_str()]);
        arguments.extend(["--shm-dir".as_ref(), elsewhere.shm_dir().as_os_str()]);
        scene.start("copy", &arguments)
    };
    let mut copy_of_it = with_copy();
    wait_until("it says that the spool is in use", || {
        let words = copy_of_it.words();
        words.contains(spool.to_str().unwrap()) && words.contains("is in use by process")
    });
    assert!(original.is_running());
    copy_of_it.kill();
    original.kill();
    receiver.start(&scene);
    let mut copy_of_it = with_copy();
    wait_until("all has arrived", || scene.raw(&receiver.archive) == bytes);
    copy_of_it.kill();
    scene
        .sender_in("spool", &[&receiver.address], &["--drain-and-exit"])
        .succeed();
    scene.assert_arrived(&receiver, &bytes);
}
