//! Workers that fail are rebuilt: a panic or an error of one is caught and recorded, the worker starts anew from durable state after a
//! bounded pause, and the others go on.

use crate::modes::recorder::Recorder;
use crate::modes::stop::Stop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use tracing::error;

const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Runs `work` in a thread called `name` until it returns `Ok` or it is time to stop. `work` is called anew after each failure, and must
/// then rebuild all it needs.
///
/// # Errors
/// When the thread cannot be started.
pub fn spawn(
    name: &str,
    stop: &Stop,
    recorder: &Recorder,
    mut work: impl FnMut() -> Result<(), String> + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    let (title, stop, recorder) = (name.to_owned(), stop.clone(), recorder.clone());
    Builder::new().name(name.chars().take(15).collect()).spawn(move || {
        let mut pause = PAUSE_MIN;
        loop {
            let began = Instant::now();
            let failure = match catch_unwind(AssertUnwindSafe(&mut work)) {
                Ok(Ok(())) => return,
                Ok(Err(words)) => words,
                Err(panic) => format!("panic: {}", words_of(panic.as_ref())),
            };
            if stop.is_set() {
                return;
            }
            error!("{title} failed and is started anew: {failure}");
            recorder.fault(&title, &failure);
            if began.elapsed() > PAUSE_MAX {
                pause = PAUSE_MIN;
            }
            if stop.wait(pause) {
                return;
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    })
}

/// Waits for threads to end, but no longer than until `deadline`: what they hold is safe at any instant.
pub fn join_all(threads: Vec<JoinHandle<()>>, deadline: Instant) {
    for thread in threads {
        while !thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        if thread.is_finished() {
            let _ = thread.join();
        }
    }
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without words".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_worker_that_panics_or_fails_is_started_anew() {
        let (stop, recorder) = (Stop::default(), Recorder::to_nowhere());
        let runs = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&runs);
        let worker = spawn("worker", &stop, &recorder, move || {
            match seen.fetch_add(1, Ordering::SeqCst) {
                0 => panic!("on purpose"),
                1 => Err("failed".to_owned()),
                _ => Ok(()),
            }
        });
        worker.unwrap().join().unwrap();
        assert_eq!(runs.load(Ordering::SeqCst), 3);
    }
}
