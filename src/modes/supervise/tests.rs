use super::*;
use std::sync::atomic::AtomicU32;

const SUPERVISION: Supervision = Supervision {
    limit: RestartLimit {
        restarts: 5,
        within: Duration::from_secs(30),
    },
    stall_timeout: Duration::from_secs(600),
    on_failed: OnWorkerFailed::Degrade,
};

fn supervisor(supervision: Supervision) -> (Supervisor, Stop) {
    let hearts = Hearts::default();
    (
        Supervisor::new(supervision, &Recorder::to_nowhere(), &hearts),
        Stop::default(),
    )
}

/// Tends until `condition` holds.
fn tend_until(supervisor: &Supervisor, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut is_to_end = false;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain");
        is_to_end |= supervisor.tend();
        std::thread::sleep(Duration::from_millis(1));
    }
    is_to_end
}

#[test]
fn a_worker_that_panics_or_fails_is_started_anew() {
    let (supervisor, stop) = supervisor(SUPERVISION);
    let runs = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&runs);
    let job = Job::new("worker", &stop, move |_| match seen.fetch_add(1, Ordering::SeqCst) {
        0 => panic!("on purpose"),
        1 => Err("failed".to_owned()),
        _ => Ok(()),
    });
    supervisor.start(job).unwrap();
    tend_until(&supervisor, || runs.load(Ordering::SeqCst) == 3);
    stop.set();
    supervisor.end(Instant::now() + Duration::from_secs(60));
    assert!(supervisor.given_up().is_empty());
}

#[test]
fn the_end_of_a_worker_ends_a_rest_and_is_seen_by_the_look_after_it() {
    for is_in_order in [true, false] {
        let (supervisor, stop) = supervisor(SUPERVISION);
        let work = move |_: &Post| if is_in_order { Ok(()) } else { panic!("on purpose") };
        supervisor.start(Job::new("worker", &stop, work)).unwrap();
        let rung = supervisor.bell.rung().recv_timeout(Duration::from_secs(60));
        assert!(rung.is_ok());
        let _ = supervisor.tend();
        assert!(!matches!(supervisor.lock().workers[0].phase, Phase::Running(_)));
    }
}

#[test]
fn a_rest_ends_when_it_is_time_to_end_or_as_early_as_was_asked() {
    let (supervisor, stop) = supervisor(SUPERVISION);
    assert!(!supervisor.rest(&stop, Duration::ZERO));
    stop.set();
    assert!(supervisor.rest(&stop, Duration::MAX));
}

#[test]
fn workers_that_end_one_after_the_other_do_not_have_it_look_each_time() {
    let (supervisor, stop) = supervisor(SUPERVISION);
    for _ in 0..3 {
        let _ = supervisor.tend();
        let tended = supervisor.lock().tended.unwrap();
        supervisor.bell.ring();
        assert!(!supervisor.rest(&stop, Duration::MAX));
        assert!(tended.elapsed() >= REST_MIN);
    }
    let _ = supervisor.tend();
    stop.set();
    assert!(supervisor.rest(&stop, Duration::MAX));
}

#[test]
fn a_worker_is_due_when_it_would_be_blamed_or_its_pause_is_over() {
    let (supervisor, stop) = supervisor(SUPERVISION);
    let (worker, running) = (|| panic!("on purpose"), Stop::default());
    let wait = running.clone();
    let waits = move |_: &Post| {
        while !wait.wait(Duration::from_secs(60)) {}
        Ok(())
    };
    supervisor.start(Job::new("waits", &stop, waits)).unwrap();
    supervisor.start(Job::new("panics", &stop, move |_| worker())).unwrap();
    tend_until(&supervisor, || {
        matches!(supervisor.lock().workers[1].phase, Phase::Pausing(_))
    });
    let state = supervisor.lock();
    let Phase::Running(Running { seen: (_, seen), .. }) = &state.workers[0].phase else {
        panic!("it waits");
    };
    assert_eq!(
        state.workers[0].due(&supervisor),
        Some(*seen + SUPERVISION.stall_timeout)
    );
    let Phase::Pausing(until) = state.workers[1].phase else {
        panic!("it pauses");
    };
    assert_eq!(state.workers[1].due(&supervisor), Some(until));
    drop(state);
    running.set();
    stop.set();
    supervisor.end(Instant::now() + Duration::from_secs(60));
}

#[test]
fn a_worker_that_keeps_panicking_is_given_up_and_another_goes_on() {
    for on_failed in [OnWorkerFailed::Degrade, OnWorkerFailed::Exit] {
        let (supervisor, stop) = supervisor(Supervision {
            limit: "2/600s".parse().unwrap(),
            on_failed,
            ..SUPERVISION
        });
        let (runs, turns) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let (seen, turning) = (Arc::clone(&runs), Arc::clone(&turns));
        supervisor
            .start(Job::new("bad", &stop, move |_| {
                seen.fetch_add(1, Ordering::SeqCst);
                panic!("on purpose")
            }))
            .unwrap();
        supervisor
            .start(Job::new("good", &stop, move |post| {
                while !post.stop.is_set() {
                    turning.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(1));
                }
                Ok(())
            }))
            .unwrap();
        tend_until(&supervisor, || supervisor.given_up() == ["bad"]);
        assert_eq!(supervisor.tend(), on_failed == OnWorkerFailed::Exit);
        assert!(supervisor.recorder.is_degraded() && supervisor.in_words().contains("bad"));
        let before = turns.load(Ordering::SeqCst);
        tend_until(&supervisor, || turns.load(Ordering::SeqCst) > before);
        assert_eq!(runs.load(Ordering::SeqCst), 3);
        stop.set();
        supervisor.end(Instant::now() + Duration::from_secs(60));
    }
}

#[test]
fn a_worker_that_does_not_move_is_relieved_and_what_it_does_later_fails() {
    let (supervisor, stop) = supervisor(Supervision {
        stall_timeout: Duration::from_millis(200),
        ..SUPERVISION
    });
    let (wake, sleeps) = crossbeam::channel::bounded::<()>(0);
    let (tell, told) = crossbeam::channel::unbounded();
    let relieved = Arc::new(AtomicU32::new(0));
    let hears = Arc::clone(&relieved);
    let first = AtomicU32::new(0);
    let job = Job::new("worker", &stop, move |post| {
        let run = first.fetch_add(1, Ordering::SeqCst);
        if run == 0 {
            let _ = sleeps.recv(); // it hangs until the test lets it go
        }
        tell.send((run, post.pass.act(|| ()), post.stop.is_set())).unwrap();
        while run > 0 && !post.stop.wait(Duration::from_millis(10)) {}
        Ok(())
    })
    .on_relieved(move || {
        hears.fetch_add(1, Ordering::SeqCst);
    });
    supervisor.start(job).unwrap();
    let mut second = None;
    tend_until(&supervisor, || {
        second = told.try_recv().ok();
        second.is_some()
    });
    assert_eq!(second, Some((1, Ok(()), false)));
    wake.send(()).unwrap();
    assert_eq!(told.recv().unwrap(), (0, Err(crate::fence::Relieved), true));
    assert_eq!(relieved.load(Ordering::SeqCst), 1);
    stop.set();
    supervisor.end(Instant::now() + Duration::from_secs(60));
}

#[test]
fn of_a_worker_whose_threads_all_hang_no_more_are_started_than_a_few_until_one_ends() {
    let (supervisor, stop) = supervisor(Supervision {
        limit: "1000/1s".parse().unwrap(),
        stall_timeout: Duration::from_millis(1),
        ..SUPERVISION
    });
    let (wake, sleeps) = crossbeam::channel::bounded::<()>(0);
    let runs = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&runs);
    supervisor
        .start(Job::new("worker", &stop, move |_| {
            seen.fetch_add(1, Ordering::SeqCst);
            let _ = sleeps.recv(); // until the test says so
            Ok(())
        }))
        .unwrap();
    let hanging = || supervisor.lock().workers[0].hanging.len();
    // Pauses are not waited for: nobody would start one if they were over.
    let hurry = || {
        if let Phase::Pausing(until) = &mut supervisor.lock().workers[0].phase {
            *until = Instant::now();
        }
    };
    tend_until(&supervisor, || {
        hurry();
        // One that was relieved at once may not have come to its work yet.
        hanging() == HANGING_MAX && runs.load(Ordering::SeqCst) as usize == HANGING_MAX
    });
    let before = supervisor.hearts.counts();
    for _ in 0..20 {
        hurry();
        let _ = supervisor.tend();
    }
    assert_eq!(runs.load(Ordering::SeqCst) as usize, HANGING_MAX);
    assert_eq!(supervisor.hearts.counts(), before, "the watchdog hears nothing good");
    wake.send(()).unwrap();
    tend_until(&supervisor, || {
        hurry();
        runs.load(Ordering::SeqCst) as usize == HANGING_MAX + 1
    });
    stop.set();
}

#[test]
fn a_worker_that_hangs_does_not_hold_up_the_end() {
    let (supervisor, stop) = supervisor(SUPERVISION);
    let (wake, sleeps) = crossbeam::channel::bounded::<()>(0);
    supervisor
        .start(Job::new("worker", &stop, move |_| {
            let _ = sleeps.recv(); // until the test is over
            Ok(())
        }))
        .unwrap();
    stop.set();
    supervisor.end(Instant::now() + Duration::from_millis(50));
    drop(wake);
}

#[test]
fn a_worker_for_once_is_not_started_anew_and_holds_nothing_against_the_process() {
    let (supervisor, stop) = supervisor(SUPERVISION);
    for number in 0..20 {
        let job = Job::new(&format!("recv {number}"), &stop, |_| panic!("on purpose"));
        supervisor.start(job.for_once()).unwrap();
    }
    tend_until(&supervisor, || supervisor.lock().workers.is_empty());
    assert!(supervisor.given_up().is_empty() && !supervisor.recorder.is_degraded());
}

#[test]
fn workers_that_pause_or_were_given_up_do_not_keep_a_watchdog_from_hearing_that_the_others_move() {
    let (supervisor, stop) = supervisor(Supervision {
        limit: "0/1s".parse().unwrap(),
        ..SUPERVISION
    });
    supervisor
        .start(Job::new("bad", &stop, |_| panic!("on purpose")))
        .unwrap();
    tend_until(&supervisor, || !supervisor.given_up().is_empty());
    let before = supervisor.hearts.counts();
    let _ = supervisor.tend();
    assert!(supervisor.hearts.counts()[0] > before[0]);
}

/// Cargo lets a profile abort on panic, and nobody would notice before a worker panics.
#[test]
fn no_profile_aborts_on_panic() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for name in ["Cargo.toml", ".cargo/config.toml"] {
        let text = std::fs::read_to_string(root.join(name)).unwrap_or_default();
        let settings = text.lines().filter(|line| line.trim_start().starts_with("panic"));
        assert_eq!(settings.collect::<Vec<_>>(), [""; 0], "{name}");
    }
}
