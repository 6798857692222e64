//! From the original to hog, a host at a time, as `docs/MOVING.md` says: what is replaced while everything else goes on, and back.

use crate::from_original::{journal as journal_of, original, said, stored as stored_by_ours};
use crate::journal::{arrived, json_lines, logged};
use crate::peers::{ClassicReceiver, can_play, line, producer_arguments, start};
use crate::roles::Process;
use crate::scene::{GROUP, Scene, wait_until};
use crate::to_original::{accepted, values};
use rustix::process::Signal;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;

/// The original that drains the queues of a host.
struct Recorder {
    process: Process,
    output: std::path::PathBuf,
}

impl Recorder {
    fn start(scene: &Scene, name: &str) -> Self {
        let (store, shm_dir) = (scene.store(), scene.shm_dir());
        std::fs::create_dir_all(&store).unwrap();
        let arguments = line(&[
            &"--group",
            &GROUP,
            &"--store",
            &store,
            &"--shm",
            &shm_dir,
            &"--transactions",
            &"1000000",
        ]);
        let process = start(scene, name, "v2_consumer.py", &arguments);
        wait_until("programs can register", || {
            store.join(format!("hstore.{GROUP}.sk")).exists()
        });
        Self {
            process,
            output: scene.path(&format!("{name}.stdout")),
        }
    }

    /// What it stored, which is said in the words of the peers.
    fn stored(&self) -> BTreeMap<String, Vec<u64>> {
        let transactions = json_lines(&self.output);
        let records = transactions.iter().flat_map(|line| line["records"].as_array().unwrap());
        arrived(records.map(|record| &record["value"]))
    }

    fn end(mut self) -> BTreeMap<String, Vec<u64>> {
        let stored = self.stored();
        self.process.kill();
        stored
    }
}

fn published(journal: &Path) -> usize {
    logged(journal).values().map(|queue| queue.published.len()).sum()
}

fn count(stored: &BTreeMap<String, Vec<u64>>) -> usize {
    stored.values().map(Vec::len).sum()
}

/// Stops the program between two transactions.
fn stop(program: &Process, journal: &Path) {
    wait_until("the program rests between two transactions", || {
        program.signal(Signal::STOP);
        let stat = format!("/proc/{}/stat", program.pid());
        wait_until("it is stopped", || {
            let stat = std::fs::read_to_string(&stat).unwrap();
            stat.rsplit_once(')').unwrap().1.trim_start().starts_with('T')
        });
        let is_between = logged(journal).values().all(|queue| queue.in_doubt.is_empty());
        if !is_between {
            program.signal(Signal::CONT);
        }
        is_between
    });
}

/// The same, and waits until all of what it published is where it goes.
fn rest(program: &Process, journal: &Path, mut stored: impl FnMut() -> usize) {
    stop(program, journal);
    wait_until("all that was logged is where it goes", || {
        stored() >= published(journal)
    });
}

fn of_archive(scene: &Scene, archive: &Path) -> BTreeMap<String, Vec<u64>> {
    let records: Vec<Value> = if archive.exists() {
        scene.json(archive)
    } else {
        Vec::new()
    };
    arrived(records.iter().map(|record| &record["value"]))
}

/// The sending host first, then the receiving one, then the sending one back.
#[test]
fn a_host_after_the_other_is_moved_and_back_and_no_record_is_lost() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    // Where receivers are, whoever they are.
    let mut ours = scene.receiver("ours");
    ours.kill();
    let mut theirs = ClassicReceiver::start_at(&scene, "theirs", &ours.address);

    // A program logs, and the original drains it.
    let recorder = Recorder::start(&scene, "recorder");
    let journal = scene.path("journal");
    let mut arguments = producer_arguments(&scene, GROUP, &journal);
    arguments.extend(["--pace", "0.004", "--large-every", "9"].map(OsString::from));
    let mut program = start(&scene, "program", "v2_producer.py", &arguments);
    wait_until("it has logged", || published(&journal) >= 20);

    // The sending host: the program rests, the original ends once it has all, and hog takes its place.
    rest(&program, &journal, || count(&recorder.stored()));
    let before = recorder.end();
    let to = format!("either://{}", ours.address);
    let mut sender = scene.sender_with(&[GROUP], &[&to], &["--batch-time", "5ms"]);
    program.signal(Signal::CONT);
    let sent = |theirs: &ClassicReceiver| arrived(values(&accepted(theirs).0).iter());
    wait_until("the original receiver has what hog sends", || {
        count(&sent(&theirs)) >= 20
    });

    // The receiving host, while all goes on.
    theirs.kill();
    ours.start(&scene);
    let by_theirs = sent(&theirs);
    let enough = published(&journal) + 20;
    wait_until("our receiver has what hog sends", || {
        published(&journal) >= enough && count(&of_archive(&scene, &ours.archive)) >= 20
    });

    // And back: hog ends in order once the program rests, and the original goes on.
    stop(&program, &journal);
    scene.wait_acked();
    sender.terminate();
    sender.succeed();
    let by_ours = of_archive(&scene, &ours.archive);
    scene.verify(&ours.archive);
    let recorder = Recorder::start(&scene, "recorder-again");
    program.signal(Signal::CONT);
    wait_until("the original has what comes", || count(&recorder.stored()) >= 20);
    rest(&program, &journal, || {
        let parts = [&before, &by_theirs, &by_ours, &recorder.stored()];
        let all: BTreeSet<u64> = parts.iter().flat_map(|part| part.values().flatten()).copied().collect();
        all.len()
    });
    let after = recorder.end();
    assert!(program.is_running(), "{}", program.words());

    // Nothing is lost. What is doubled, our receiver has because the spool still held it.
    let logged = logged(&journal);
    let queue = logged.keys().next().unwrap();
    let [before, by_theirs, by_ours, after] =
        [before, by_theirs, by_ours, after].map(|mut part| part.remove(queue).unwrap());
    let parts = [&before, &by_theirs, &by_ours, &after];
    for part in parts {
        assert!(part.windows(2).all(|pair| pair[0] < pair[1]), "{part:?}");
    }
    let found: BTreeSet<u64> = parts.into_iter().flatten().copied().collect();
    let lost: Vec<_> = logged[queue].published.difference(&found).collect();
    assert!(lost.is_empty(), "{lost:?}");
    let doubled = |one: &[u64], other: &[u64]| one.iter().any(|number| other.contains(number));
    assert!(!doubled(&before, &by_theirs) && !doubled(&before, &by_ours));
    assert!(!doubled(&after, &by_theirs) && !doubled(&after, &by_ours) && !doubled(&before, &after));
}

/// Where the receiving host comes first, original senders go on; and beside what still is the original's, hog stores another group on the same host.
#[test]
fn an_original_sender_goes_on_to_our_receiver_and_a_local_of_ours_runs_beside_an_original() {
    if !can_play() {
        return;
    }
    let scene = Scene::new();
    let mut ours = scene.receiver("ours");
    ours.kill();
    let mut theirs = ClassicReceiver::start_at(&scene, "theirs", &ours.address);
    let sender = original(&scene, "sender", &ours, &["--segments", "40", "--pace", "0.01"]);
    wait_until("some is stored", || theirs.segments() >= 10);
    theirs.kill();
    ours.start(&scene);

    // Programs look for both in one directory.
    let _recorder = Recorder::start(&scene, "recorder");
    let mut arguments = scene.local_arguments(&["audit"], "here", &["--socket-dir"]);
    arguments.push(scene.store().into());
    let mut local = scene.start("local", &crate::scene::words_of(&arguments));
    let journal = scene.path("journal");
    let socket = scene.store().join("hstore.audit.sk");
    wait_until("programs can register", || socket.exists());
    let mut arguments = producer_arguments(&scene, "audit", &journal);
    arguments.extend(["--transactions", "30"].map(OsString::from));
    crate::peers::finish(start(&scene, "program", "v2_producer.py", &arguments), "program");
    let archive = scene.archive("here");
    wait_until("all is in the archive", || count(&of_archive(&scene, &archive)) == 30);
    local.terminate();
    local.succeed();
    assert!(
        scene.store().join(format!("hstore.{GROUP}.sk")).exists(),
        "the original's is untouched"
    );

    crate::peers::finish(sender, "sender");
    let (acked, again) = said(&journal_of(&scene, "sender"));
    let by_theirs: Vec<u64> = arrived(values(&accepted(&theirs).0).iter())
        .into_values()
        .flatten()
        .collect();
    let by_ours = stored_by_ours(&scene, &ours, "sender");
    assert_eq!(acked.len(), 160);
    assert!(
        acked
            .iter()
            .all(|number| by_theirs.contains(number) || by_ours.contains_key(number))
    );
    let doubled: Vec<_> = by_theirs.iter().filter(|number| by_ours.contains_key(number)).collect();
    assert!(doubled.iter().all(|number| again.contains(number)), "{doubled:?}");
    assert!(by_ours.len() >= 80);
}
