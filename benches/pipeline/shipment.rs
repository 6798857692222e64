//! End to end: what a file takes from the start of an engine until all of it is on the receiver's disk, through real processes and loopback.
//!
//! The pipeline cannot be faster than compressing these bytes with zstd level 1 on one thread, which is the limit; nor than writing them to the same
//! file system with one sync, which is the limit of what is not compressed. What arrived is compared with the input.

use super::Outcome;
use super::archive::ArchiveWatch;
use super::bare::{self, Bare, BareWay};
use super::roles::{Role, hog};
use super::scene::{GROUP, Scene};
use super::table::{BARE, Sample};
use hog_ring::RingReader;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The longest that the shipment may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often the roles are looked at. Looking costs microseconds, and is the resolution of the times.
const LOOK: Duration = Duration::from_millis(5);

/// What a MB takes, in us.
pub(crate) fn measure(input: &Path) -> Outcome<Sample> {
    let scene = Scene::set()?;
    let megabytes = std::fs::metadata(input)?.len() as f64 / 1e6;
    scene.settle()?;
    let shipped = ship(&scene, input, &Way::default())?;
    check_that_it_arrived(&scene, "archive", input)?;
    scene.settle()?;
    let (compressing, writing) = (time_to_compress(input)?, time_to_write(&scene, input)?);
    let bare = bare(input, true, 1)?;
    let each = |time: Duration| time.as_secs_f64() * 1e6 / megabytes;
    let [engine, sender, receiver] = shipped.peaks_kib.map(|peak| peak as f64 / 1024.0);
    Ok(Sample {
        hog: each(shipped.synced),
        limit: Some(each(compressing)),
        besides: vec![
            (BARE, each(bare.synced)),
            ("mb_per_second", megabytes / shipped.synced.as_secs_f64()),
            ("engine_ms", shipped.logged.as_secs_f64() * 1e3),
            ("zstd_1_ms", compressing.as_secs_f64() * 1e3),
            ("write_and_sync_ms", writing.as_secs_f64() * 1e3),
            ("engine_peak_rss_mib", engine),
            ("batchsend_peak_rss_mib", sender),
            ("batchrecv_peak_rss_mib", receiver),
        ],
    })
}

/// The same without compression, against writing. Beside it, what sender and receiver take of the processors together.
pub(crate) fn measure_plain(input: &Path) -> Outcome<Sample> {
    let scene = Scene::set()?;
    let megabytes = std::fs::metadata(input)?.len() as f64 / 1e6;
    scene.settle()?;
    let way = Way {
        arguments: vec!["--compress", "none"],
        ..Way::default()
    };
    let shipped = ship(&scene, input, &way)?;
    check_that_it_arrived(&scene, "archive", input)?;
    scene.settle()?;
    let writing = time_to_write(&scene, input)?;
    let bare = bare(input, false, 1)?;
    let [sender, receiver] = shipped.processor_times;
    Ok(Sample {
        hog: shipped.synced.as_secs_f64() * 1e6 / megabytes,
        limit: Some(writing.as_secs_f64() * 1e6 / megabytes),
        besides: vec![
            (BARE, bare.synced.as_secs_f64() * 1e6 / megabytes),
            ("bare_cpu_s_per_gb", bare.processor_time * 1e3 / megabytes),
            ("cpu_s_per_gb", (sender + receiver) * 1e3 / megabytes),
            ("batchsend_cpu_s_per_gb", sender * 1e3 / megabytes),
            ("batchrecv_cpu_s_per_gb", receiver * 1e3 / megabytes),
            ("mb_per_second", megabytes / shipped.synced.as_secs_f64()),
        ],
    })
}

/// What the same takes with nothing but what it cannot do without.
pub(crate) fn bare(input: &Path, compresses: bool, destinations: usize) -> Outcome<Bare> {
    let scene = Scene::set()?;
    scene.settle()?;
    let way = BareWay {
        compresses,
        destinations,
    };
    bare::ship(&scene, input, way)
}

/// How it is shipped; by default to one destination, with what the program does by itself.
#[derive(Default)]
pub(crate) struct Way {
    /// Of the sender.
    pub(crate) arguments: Vec<&'static str>,
    /// The sender's program, if it is not the one that was built for this run: one that can be provoked.
    pub(crate) program: Option<PathBuf>,
    pub(crate) second: Second,
}

/// A second destination.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Second {
    #[default]
    None,
    /// It is to have all as well.
    Served,
    /// Its shipper panics whenever it is about to send.
    Panics,
}

/// What a shipment took, since the engine was started.
pub(crate) struct Shipped {
    /// Until the engine had logged all.
    pub(crate) logged: Duration,
    /// Until all was on the receivers' disk.
    pub(crate) synced: Duration,
    /// Peak memory of engine, sender and receiver.
    pub(crate) peaks_kib: [u64; 3],
    /// Seconds of processor time of sender and receiver.
    pub(crate) processor_times: [f64; 2],
}

/// A sender as `way` has it, and the receiver of its second destination.
fn start(scene: &Scene, address: &str, way: &Way) -> Outcome<(Role, Option<Role>)> {
    let mut program = way.program.as_ref().map_or_else(|| hog(&[]), Command::new);
    let provoked = scene.path("provoked");
    if way.program.is_some() {
        // One that nobody provokes looks as often whether it is provoked.
        std::fs::create_dir(&provoked)?;
        program.env("HOG_PROVOKE", &provoked);
    }
    let mut arguments = [&["--to", address], &way.arguments[..]].concat();
    if way.second == Second::None {
        return Ok((Role::sender_with(program, scene, &arguments)?, None));
    }
    let (second, other) = Role::receiver_of(scene, "127.0.0.1:0", ("archive-2", "recv-2"))?;
    arguments.extend(["--to", &other]);
    if way.second == Second::Panics {
        std::fs::write(provoked.join(format!("panic ship {GROUP} to {other}")), "")?;
    }
    Ok((Role::sender_with(program, scene, &arguments)?, Some(second)))
}

pub(crate) fn ship(scene: &Scene, input: &Path, way: &Way) -> Outcome<Shipped> {
    let (mut receiver, address) = Role::receiver(scene)?;
    let (mut sender, _second) = start(scene, &address, way)?;
    sender.wait_until_it_serves(scene)?; // its own start is another row's affair
    let at_first = [sender.processor_time(), receiver.processor_time()];
    let began = Instant::now();
    let mut engine = Role::engine(scene, input)?;
    let roles = &mut [&mut engine, &mut sender, &mut receiver];
    let logged = wait_until(began, roles, |roles| roles[0].is_done())?;
    let goal = end_of_stream(scene)?;
    let mut archive = ArchiveWatch::new(scene.path("archive"));
    wait_until(began, roles, |_| Ok(archive.look()? >= goal))?;
    archive.sync()?; // what the receiver has synced already takes no time
    if way.second == Second::Served {
        let mut archive = ArchiveWatch::new(scene.path("archive-2"));
        wait_until(began, roles, |_| Ok(archive.look()? >= goal))?;
        archive.sync()?;
    }
    let synced = began.elapsed();
    let processor_times = [
        sender.processor_time() - at_first[0],
        receiver.processor_time() - at_first[1],
    ];
    let peaks_kib = [engine.peak_kib, sender.peak_kib, receiver.peak_kib];
    Ok(Shipped {
        logged,
        synced,
        peaks_kib,
        processor_times,
    })
}

/// Position at which the engine's stream ends: for its ring stays for an heir.
fn end_of_stream(scene: &Scene) -> Outcome<u64> {
    let ring = RingReader::open(&scene.ring()?)?;
    Ok(ring.tail(ring.head()).map_err(|fault| format!("{fault:?}"))?)
}

/// Looks until `reached`; gives the time since `began`.
fn wait_until(
    began: Instant,
    roles: &mut [&mut Role; 3],
    mut reached: impl FnMut(&mut [&mut Role; 3]) -> Outcome<bool>,
) -> Outcome<Duration> {
    loop {
        roles.iter_mut().for_each(|role| role.look());
        if reached(roles)? {
            return Ok(began.elapsed());
        }
        let [_, sender, receiver] = roles;
        if sender.is_done()? || receiver.is_done()? || began.elapsed() > PATIENCE {
            return Err("the shipment came to a halt".into());
        }
        std::thread::sleep(LOOK);
    }
}

/// That the archive of that name has the input, byte for byte.
pub(crate) fn check_that_it_arrived(scene: &Scene, archive: &str, input: &Path) -> Outcome<()> {
    let mut cat = Command::new(env!("CARGO_BIN_EXE_hog"))
        .args(["cat", "--format", "raw"])
        .arg(scene.path(archive))
        .stdout(Stdio::piped())
        .spawn()?;
    let mut arrived = cat.stdout.take().ok_or("cat has no stdout")?;
    let mut shipped = File::open(input)?;
    let (mut these, mut those) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut offset = 0;
    loop {
        let read = shipped.read(&mut these)?;
        let same = if read == 0 {
            arrived.read(&mut those)? == 0
        } else {
            arrived.read_exact(&mut those[..read]).is_ok() && these[..read] == those[..read]
        };
        if !same {
            return Err(format!("what arrived differs from the input at or behind byte {offset}").into());
        }
        if read == 0 {
            break;
        }
        offset += read;
    }
    if cat.wait()?.success() {
        Ok(())
    } else {
        Err("hog cat failed".into())
    }
}

/// Time to compress `input` with zstd level 1 on one thread, in pieces of 1 MiB as they are shipped.
fn time_to_compress(input: &Path) -> Outcome<Duration> {
    let bytes = std::fs::read(input)?;
    let mut compressor = zstd::bulk::Compressor::new(1)?;
    let mut out = vec![0; zstd::zstd_safe::compress_bound(1 << 20)];
    let began = Instant::now();
    for piece in bytes.chunks(1 << 20) {
        std::hint::black_box(compressor.compress_to_buffer(piece, &mut out[..])?);
    }
    Ok(began.elapsed())
}

/// Time to write the input to where the spool and the archive were, with one sync at the end.
fn time_to_write(scene: &Scene, input: &Path) -> Outcome<Duration> {
    let bytes = std::fs::read(input)?;
    let began = Instant::now();
    let mut file = File::create(scene.path("written"))?;
    for piece in bytes.chunks(1 << 20) {
        file.write_all(piece)?;
    }
    file.sync_data()?;
    Ok(began.elapsed())
}
