//! A hogstat.db with 100,000 past sessions: how long a sender that starts takes until it serves a ring, which is behind its look at all that
//! earlier sessions left, against the same with a fresh database.
//!
//! The past is made up, in SQL: one run of a spool a session, with one ring that was drained to its end, acknowledged and forgotten, and every
//! thousandth of them not closed. The sender that is measured is the next run of that spool.

use super::Outcome;
use super::roles::{Role, hog};
use super::scene::{GROUP, Scene};
use super::table::Sample;
use hog::ids::OwnerId;
use hog::os::lock::DirectoryLock;
use hog_ring::{RingReader, Statement, statement};
use rusqlite::Connection;
use std::process::Stdio;
use std::time::{Duration, Instant};

static LINE: Statement<(&str,)> = statement!("line", "$text", text);

const SESSIONS: u64 = 100_000;
/// Where senders ship to: nobody is there.
const NOWHERE: &str = "127.0.0.1:9";
const LOOK: Duration = Duration::from_micros(200);
/// The longest that a sender may take to serve a ring.
const PATIENCE: Duration = Duration::from_secs(60);

/// In ms. The scene with the past in it is kept in `past`.
pub(crate) fn measure(past: &mut Option<Scene>) -> Outcome<Sample> {
    let past = match past {
        Some(past) => past,
        None => past.insert(with_past()?),
    };
    let fresh = Scene::set()?;
    let serving = serve(past)?;
    let began = Instant::now();
    let mut plan = hog(&["recover", "--dry-run", "-m"]);
    plan.arg(past.path("send")).arg("--shm-dir").arg(past.shm_dir());
    let status = plan.stdout(Stdio::null()).status()?;
    let planning = began.elapsed();
    if !status.success() {
        return Err(format!("hog recover --dry-run failed: {status}").into());
    }
    let size = std::fs::metadata(past.path("send").join("hogstat.db"))?.len();
    Ok(Sample {
        hog: serving.as_secs_f64() * 1e3,
        limit: Some(serve(&fresh)?.as_secs_f64() * 1e3),
        besides: vec![
            ("recover_dry_run_ms", planning.as_secs_f64() * 1e3),
            ("database_mb", size as f64 / 1e6),
        ],
    })
}

/// Starts a sender where a ring waits with one record; what it takes until that is in the spool.
fn serve(scene: &Scene) -> Outcome<Duration> {
    let group = scene.options().open()?;
    let mut writer = group.writer()?;
    writer.log(&LINE, ("the only one",))?;
    let reader = RingReader::open(&group.directory().join(format!("{}.ring", writer.ring_uuid())))?;
    scene.settle()?;
    let began = Instant::now();
    let mut sender = Role::sender(scene, NOWHERE)?;
    while reader.head() < writer.tail() {
        if sender.is_done()? || began.elapsed() > PATIENCE {
            return Err("the sender came to a halt".into());
        }
        std::thread::sleep(LOOK);
    }
    Ok(began.elapsed())
}

/// A store in which a sender ran often.
fn with_past() -> Outcome<Scene> {
    let scene = Scene::set()?;
    serve(&scene)?; // makes store and spool
    let spool = scene.path("spool").join(GROUP).canonicalize()?;
    let lock = DirectoryLock::take(&spool)?;
    let mut identity = hog::os::lock::spool_identity(&spool).ok_or("the spool has no identity")?;
    identity.epoch += SESSIONS;
    let sender = identity.sender;
    lock.raise_epoch(Some(identity))?;
    make_past(&scene, sender)?;
    Ok(scene)
}

fn make_past(scene: &Scene, sender: OwnerId) -> Outcome<()> {
    let mut database = Connection::open(scene.path("send").join("hogstat.db"))?;
    let past = database.transaction()?;
    past.execute_batch(&format!(
        "CREATE TEMP TABLE past AS
         WITH RECURSIVE number (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM number WHERE n <= {SESSIONS})
         SELECT n, printf('%08x-0000-4000-8000-%012x', n, n) AS ring FROM number;
         INSERT INTO sessions (id, role, kind, argv, boot, pid, process_start, started, ended)
         SELECT n, s.role, s.kind, s.argv, s.boot, s.pid, s.process_start, s.started + n, iif(n % 1000, s.started + n, NULL)
           FROM past, sessions s WHERE s.id = 1;
         INSERT INTO spools (id, session, group_name, directory, sender, epoch, registered)
         SELECT n, n, s.group_name, s.directory, '{sender}', s.epoch + n - 1, s.registered
           FROM past, spools s WHERE s.id = 1;
         INSERT INTO destinations (id, spool, address) SELECT n, n, '{NOWHERE}' FROM past;
         INSERT INTO sender_registrations (session, destination, time) SELECT n, n, n FROM past;
         INSERT INTO sender_states (session, destination, status, time) SELECT n, n, 'started', n FROM past;
         INSERT INTO sender_states (session, destination, status, time) SELECT n, n, 'closed', n FROM past;
         INSERT INTO regions (id, ring, group_name, name, path, boot, created, capacity, first_session, first_seen, state, position, closed)
         SELECT n, ring, '{GROUP}', ring, ring, s.boot, n, 1 << 20, n, n, 'ended', 1 << 20, n
           FROM past, sessions s WHERE s.id = 1;
         INSERT INTO reader_registrations (session, region, time) SELECT n, n, n FROM past;
         INSERT INTO reader_states (session, region, status, time) SELECT n, n, 'started', n FROM past;
         INSERT INTO reader_states (session, region, status, time) SELECT n, n, 'closed', n FROM past;
         INSERT INTO recoveries (session, region, destination, original_session, from_position, to_position, outcome, began, ended)
         SELECT n, n, '{NOWHERE}', n - 1, 0, 1 << 20, 'delivered', n, n FROM past WHERE n % 10 = 0;
         DROP TABLE past;",
        sender = sender.0
    ))?;
    past.commit()?;
    Ok(())
}
