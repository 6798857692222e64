//! A sender that is killed and started again: before it was done with what the last one left, ten times over; with other destinations; with other
//! batches; and where the memory of its rings is gone.

use crate::proxy::{Cut, Proxy};
use crate::roles::Receiver;
use crate::scene::{GROUP, Scene, wait_until, words};

/// A receiver that has an address and does not run.
fn absent(scene: &Scene, name: &str) -> Receiver {
    let mut receiver = scene.receiver(name);
    receiver.kill();
    receiver
}

fn wait_spooled(scene: &Scene) {
    wait_until("all is in the spool", || {
        let (tail, head) = scene.progress();
        tail == head && !scene.spooled().is_empty()
    });
}

/// Logs `bytes` as a program that ends and does not come back.
fn log_once(scene: &Scene, bytes: &[u8]) {
    scene.pipe(&scene.file("piped", bytes)).succeed();
}

#[test]
fn kills_during_recovery_ten_deep_lose_and_double_nothing() {
    let scene = Scene::new();
    let mut bytes = scene.lines(12 << 20);
    let mut receiver = absent(&scene, "recv");
    // Each connection carries a little of the backlog, so that no life of the sender comes to the end of its recovery.
    let network = Proxy::new(&receiver.address);
    let cut = Cut {
        sent: 300_000,
        answered: u64::MAX,
        is_late: false,
    };
    network.cut([cut; 1000]);
    let sender = || {
        scene.sender_with(
            &[GROUP],
            &[&network.address],
            &["--batch-size", "64KiB", "--compress", "none"],
        )
    };
    let mut first = sender();
    scene.log(&[&scene.file("input.log", &bytes)]);
    wait_spooled(&scene);
    first.kill();
    receiver.start(&scene);
    for life in 0..10 {
        // One more dead ring for each.
        let run = format!("run {life}\n")
            .repeat(scene.draw(|chance| chance.usize(1..3000)))
            .into_bytes();
        log_once(&scene, &run);
        bytes.extend(run);
        let (segments, cuts) = (scene.spooled(), network.cuts_left());
        let mut sender = sender();
        match life % 3 {
            0 => wait_until("the spool is open", || {
                scene.spooled().iter().any(|segment| !segments.contains(segment))
            }),
            1 => wait_until("the dead ring is drained", || scene.rings().len() == 1),
            _ => wait_until("some of the backlog is shipped", || network.cuts_left() + 1 < cuts),
        }
        assert!(sender.kill(), "it ended by itself: {}", sender.words());
    }
    assert!(!scene.acked(), "the backlog was shipped before the last kill");
    network.carry_all();
    let _sender = sender();
    scene.wait_acked();
    scene.assert_arrived(&receiver, &bytes);
}

#[test]
fn a_killed_sender_started_again_with_other_destinations_owes_each_what_was_drained_for_it() {
    let scene = Scene::new();
    let (mut first, second) = (absent(&scene, "first"), scene.receiver("second"));
    let runs: [Vec<u8>; 5] = std::array::from_fn(|_| scene.lines(500_000));
    let drained = || wait_until("the rings are drained and gone", || scene.rings().is_empty());
    let mut sender = scene.sender(&[&first.address]);
    log_once(&scene, &runs[0]);
    drained();
    sender.kill();
    // Nobody has drained this when the destinations change: it is theirs who are named then.
    log_once(&scene, &runs[1]);
    let mut sender = scene.sender(&[&second.address]);
    log_once(&scene, &runs[2]);
    drained();
    wait_until("the second has its own", || {
        scene.unacked_by(&second.address) == Some(0)
    });
    scene.assert_arrived(&second, &runs[1..3].concat());
    assert!(scene.unacked_by(&first.address) > Some(0));
    sender.kill();
    // And both from here on, the first with its backlog.
    let mut sender = scene.sender(&[&second.address, &first.address]);
    log_once(&scene, &runs[3]);
    first.start(&scene);
    drained();
    scene.wait_acked();
    scene.assert_arrived(&first, &[&runs[0][..], &runs[3]].concat());
    scene.assert_arrived(&second, &runs[1..4].concat());
    sender.kill();
    let _sender = scene.sender(&[&first.address]);
    log_once(&scene, &runs[4]);
    drained();
    scene.wait_acked();
    scene.assert_arrived(&first, &[&runs[0][..], &runs[3], &runs[4]].concat());
    scene.assert_arrived(&second, &runs[1..4].concat());
}

#[test]
fn a_stream_that_goes_on_when_the_destinations_change_goes_whole_to_the_new_one() {
    let scene = Scene::new();
    let (mut first, second) = (absent(&scene, "first"), scene.receiver("second"));
    let (lines, more) = (scene.lines(500_000), scene.lines(500_000));
    let mut sender = scene.sender(&[&first.address]);
    scene.log(&[&scene.file("input.log", &lines)]);
    wait_spooled(&scene);
    sender.kill();
    let _sender = scene.sender(&[&second.address]);
    let (begun, whole) = (lines.len(), [lines, more].concat());
    scene.log(&[&scene.file("input.log", &whole)]);
    wait_until("the second has it", || scene.raw(&second.archive).len() == whole.len());
    scene.assert_arrived(&second, &whole);
    // Who was named when it began gets what was drained then.
    first.start(&scene);
    scene.wait_acked();
    scene.assert_arrived(&first, &whole[..begun]);
}

#[test]
fn a_killed_sender_started_again_with_other_batches_loses_and_doubles_nothing() {
    let scene = Scene::new();
    let bytes = scene.lines(5 << 20);
    let input = scene.file("input.log", &bytes);
    let receiver = scene.receiver("recv");
    let arguments = [
        words(&["--batch-size", "1MiB"]),
        words(&["--batch-size", "4KiB", "--batch-time", "1ms", "--compress", "none"]),
        words(&["--batch-size", "8MiB", "--batch-time", "2s", "--compress", "lz4"]),
        words(&["--batch-size", "100KB", "--compress", "zstd:7", "--sync", "10ms"]),
        words(&["--batch-time", "10ms", "--compress", "none", "--sync", "5s"]),
    ];
    let sender = |arguments: &[&std::ffi::OsStr]| {
        let arguments: Vec<_> = arguments.iter().map(|word| word.to_str().unwrap()).collect();
        scene.sender_with(&[GROUP], &[&receiver.address], &arguments)
    };
    let engine = scene.engine(&[&input]);
    for (life, arguments) in arguments.iter().cycle().take(10).enumerate() {
        let goal = bytes.len() as u64 * (life as u64 + 1) / 11;
        let mut sender = sender(arguments);
        wait_until("more of it is drained", || scene.progress().1 >= goal);
        sender.kill();
    }
    let _sender = sender(&arguments[0]);
    engine.succeed();
    scene.wait_acked();
    scene.assert_arrived(&receiver, &bytes);
}

#[test]
fn of_rings_whose_memory_is_gone_what_was_spooled_arrives_and_the_rest_is_said_to_be_lost() {
    let scene = Scene::new();
    let (lines, more, later) = (scene.lines(1 << 20), scene.lines(100_000), scene.lines(100_000));
    let mut receiver = absent(&scene, "recv");
    let mut sender = scene.sender(&[&receiver.address]);
    let input = scene.file("input.log", &lines);
    scene.log(&[&input]);
    wait_spooled(&scene);
    // Noted beside the data's way, so perhaps later than that.
    wait_until("the ring is known to the database", || {
        !scene.database().unfinished_regions(GROUP).unwrap().is_empty()
    });
    sender.kill();
    // So much only the rings have: of a program that may come back, and of one that will not.
    scene.file("input.log", [&lines[..], &more].concat());
    scene.log(&[&input]);
    log_once(&scene, b"in memory alone\n");
    let rings = scene.rings();
    let [kept]: [&std::path::PathBuf; 1] = rings
        .iter()
        .filter(|ring| ring.file_name().unwrap().to_string_lossy().contains("input"))
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    let kept = kept.display().to_string();
    for ring in &rings {
        std::fs::remove_file(ring).unwrap();
    }
    receiver.start(&scene);
    let sender = scene.sender(&[&receiver.address]);
    wait_until("what was spooled is acknowledged", || {
        scene.unacked_by(&receiver.address) == Some(0)
    });
    scene.assert_arrived(&receiver, &lines);
    wait_until("the loss is recorded", || {
        let status = scene.status().unwrap();
        status["faults"].as_array().unwrap().iter().any(|fault| {
            let words = fault.to_string();
            words.contains("lost") && words.contains(&kept)
        })
    });
    assert!(sender.words().contains(&kept), "{}", sender.words());
    // What comes next is served as ever.
    scene.log(&[&scene.file("later.log", &later)]);
    scene.wait_acked();
    scene.assert_arrived(&receiver, &[lines, later].concat());
}
