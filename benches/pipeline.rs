//! How fast a file goes end to end: the three real roles as child processes, on this machine, through loopback.
//!
//! `cargo bench --bench pipeline -- [MEGABYTES | FILE]`; without an argument `$HOG_BENCH_INPUT` is taken for it, and
//! without that 64 MB are made up, always the same. Prints `name value` rows, one a measurement, the unit at the end of
//! the name. A number without a limit says little about another machine, so the same run also measures what the
//! pipeline cannot beat: compressing these bytes with zstd level 1 on one thread, and writing them to the same file
//! system with one sync. The two can go on side by side, hence the limit is the slower of them.
//!
//! It fails when what arrived is not the input. It leaves nothing behind, and gives up when it takes longer than
//! [`PATIENCE`].

use hog::formats::frame::{FrameHeader, HEADER_LEN};
use hog::formats::segment::{SEGMENT_HEADER_LEN, SegmentHeader, number_of};
use hog::ids::SegmentId;
use hog::modes::status::{self, StatusFormat, StatusOptions};
use hog_ring::RingReader;
use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The longest that the shipment may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the roles are looked at. Looking costs microseconds, and is the resolution of the times.
const LOOK: Duration = Duration::from_millis(5);
/// The size of the input that is made up when none is named.
const DEFAULT_MEGABYTES: u64 = 64;
const GROUP: &str = "bench";

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let scene = Scene::set()?;
    let bytes = std::fs::metadata(&scene.input)?.len();
    println!("input_bytes {bytes}");
    let measured = ship(&scene)?;
    scene.check_that_it_arrived()?;
    let megabytes = bytes as f64 / 1e6;
    println!("engine_seconds {:.3}", measured.logged.as_secs_f64());
    println!("archived_seconds {:.3}", measured.archived.as_secs_f64());
    println!("acknowledged_seconds {:.3}", measured.acknowledged.as_secs_f64());
    println!(
        "throughput_mb_per_second {:.1}",
        megabytes / measured.archived.as_secs_f64()
    );
    for (role, peak) in ["engine", "batchsend", "batchrecv"].iter().zip(measured.peaks_kib) {
        println!("{role}_peak_rss_mib {:.1}", peak as f64 / 1024.0);
    }
    let (compressing, writing) = (time_to_compress(&scene.input)?, time_to_write(&scene)?);
    let limit = compressing.max(writing);
    println!("zstd_1_seconds {:.3}", compressing.as_secs_f64());
    println!("write_and_sync_seconds {:.3}", writing.as_secs_f64());
    println!(
        "archived_to_limit_ratio {:.2}",
        measured.archived.as_secs_f64() / limit.as_secs_f64()
    );
    println!("raw_output equal");
    Ok(())
}

/// The directories of a run, which go with it, and the input.
struct Scene {
    directory: TempDir,
    rings: TempDir,
    input: PathBuf,
}

impl Scene {
    fn set() -> Outcome<Self> {
        let directory = tempfile::Builder::new().prefix("hog-bench-").tempdir()?;
        let rings = tempfile::Builder::new().prefix("hog-bench-").tempdir_in("/dev/shm")?;
        // Cargo itself passes `--bench`.
        let named = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
        let named = named.or_else(|| std::env::var("HOG_BENCH_INPUT").ok());
        let megabytes = match &named {
            None => Some(DEFAULT_MEGABYTES),
            Some(text) => text.parse().ok(),
        };
        let input = match (megabytes, named) {
            (None, Some(file)) => PathBuf::from(file).canonicalize()?,
            (megabytes, _) => {
                let input = directory.path().join("input.log");
                make_up(&input, megabytes.unwrap_or(DEFAULT_MEGABYTES) * 1_000_000)?;
                input
            }
        };
        Ok(Self {
            directory,
            rings,
            input,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn start(&self, role: &str, arguments: &[&str], places: &[(&str, &Path)]) -> Outcome<Role> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hog"));
        command.arg("-q").arg(role).args(arguments);
        for (flag, place) in places {
            command.arg(flag).arg(place);
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        Ok(Role { child, peak_kib: 0 })
    }

    /// Starts the receiver, and waits until senders may come; gives its address.
    fn start_receiver(&self) -> Outcome<(Role, String)> {
        let places = [("-d", self.path("archive")), ("-m", self.path("recv"))];
        let places = places.each_ref().map(|(flag, place)| (*flag, place.as_path()));
        let mut receiver = self.start("batchrecv", &["--listen", "127.0.0.1:0"], &places)?;
        let mut address = String::new();
        BufReader::new(receiver.child.stdout.take().ok_or("the receiver has no stdout")?).read_line(&mut address)?;
        if address.trim().is_empty() {
            return Err("the receiver did not start".into());
        }
        Ok((receiver, address.trim().to_owned()))
    }

    fn start_sender(&self, address: &str) -> Outcome<Role> {
        let (spool, store) = (self.path("spool"), self.path("send"));
        let places = [
            ("-d", spool.as_path()),
            ("-m", store.as_path()),
            ("--shm-dir", self.rings.path()),
        ];
        self.start("batchsend", &["-g", GROUP, "--to", address], &places)
    }

    fn start_engine(&self) -> Outcome<Role> {
        self.start(
            "engine",
            &["-g", GROUP],
            &[("--shm-dir", self.rings.path()), ("--", &self.input)],
        )
    }

    /// Position at which the engine's stream ends: for its ring stays for an heir.
    fn end_of_stream(&self) -> Outcome<u64> {
        let rings = hog_ring::ring_files(&hog_ring::group_dir(self.rings.path(), GROUP))?;
        let [ring] = &rings[..] else {
            return Err(format!("expected one ring, found {}", rings.len()).into());
        };
        let ring = RingReader::open(ring)?;
        Ok(ring.tail(ring.head()).map_err(|fault| format!("{fault:?}"))?)
    }

    fn unacked_bytes(&self) -> Outcome<u64> {
        let shm_dir = self.rings.path().to_owned();
        let options = StatusOptions {
            store: self.path("send"),
            shm_dir,
            format: StatusFormat::Json,
        };
        Ok(status::look(&options).map_err(|failure| failure.message)?.unacked_bytes)
    }

    fn check_that_it_arrived(&self) -> Outcome<()> {
        let mut cat = Command::new(env!("CARGO_BIN_EXE_hog"))
            .args(["cat", "--format", "raw"])
            .arg(self.path("archive"))
            .stdout(Stdio::piped())
            .spawn()?;
        let mut arrived = cat.stdout.take().ok_or("cat has no stdout")?;
        let mut shipped = File::open(&self.input)?;
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
}

/// A role that does not outlive the run.
struct Role {
    child: Child,
    /// The greatest resident size seen, mapped rings and segments included.
    peak_kib: u64,
}

impl Role {
    /// Notes the peak of the role's memory. The kernel keeps it, so only what grew in the last moments of a process
    /// that ends is missed.
    fn look(&mut self) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|words| words.split_whitespace().next()?.parse().ok());
        self.peak_kib = self.peak_kib.max(peak.unwrap_or(0));
    }

    /// Whether it ended, and well.
    fn is_done(&mut self) -> Outcome<bool> {
        match self.child.try_wait()? {
            Some(status) if !status.success() => Err(format!("a role failed: {status}").into()),
            ended => Ok(ended.is_some()),
        }
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended already
        let _ = self.child.wait();
    }
}

/// What a shipment took, since the engine was started.
struct Measured {
    /// Until the engine had logged all.
    logged: Duration,
    /// Until all was in the archive's files.
    archived: Duration,
    /// Until the sender's store told that all is acknowledged. It is told at most once a second.
    acknowledged: Duration,
    /// Peak memory of engine, sender and receiver.
    peaks_kib: [u64; 3],
}

fn ship(scene: &Scene) -> Outcome<Measured> {
    let (mut receiver, address) = scene.start_receiver()?;
    let mut sender = scene.start_sender(&address)?;
    let began = Instant::now();
    let mut engine = scene.start_engine()?;
    let roles = &mut [&mut engine, &mut sender, &mut receiver];
    let logged = wait_until(began, roles, |roles| roles[0].is_done())?;
    let goal = scene.end_of_stream()?;
    let mut archive = ArchiveWatch::new(scene.path("archive"));
    let archived = wait_until(began, roles, |_| Ok(archive.look()? >= goal))?;
    let acknowledged = wait_until(began, roles, |_| Ok(scene.unacked_bytes()? == 0))?;
    let peaks_kib = [engine.peak_kib, sender.peak_kib, receiver.peak_kib];
    Ok(Measured {
        logged,
        archived,
        acknowledged,
        peaks_kib,
    })
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

/// Follows an archive of one stream by the headers of its frames; each is read once.
struct ArchiveWatch {
    directory: PathBuf,
    /// Where the next frame of each segment is, and the salt of its headers.
    segments: HashMap<PathBuf, (SegmentId, u64)>,
    end: u64,
}

impl ArchiveWatch {
    fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            segments: HashMap::new(),
            end: 0,
        }
    }

    /// Position up to which the stream is in the archive's files.
    fn look(&mut self) -> Outcome<u64> {
        let mut directories = vec![self.directory.clone()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    directories.push(entry.path());
                } else if number_of(&entry.file_name()).is_some() {
                    self.look_at(&entry.path())?;
                }
            }
        }
        Ok(self.end)
    }

    fn look_at(&mut self, path: &Path) -> Outcome<()> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        let (salt, mut offset) = match self.segments.get(path) {
            Some(known) => *known,
            None => {
                let mut header = [0; SEGMENT_HEADER_LEN];
                if file.read_exact_at(&mut header, 0).is_err() {
                    return Ok(()); // not whole yet
                }
                (SegmentHeader::decode(&header)?.segment, SEGMENT_HEADER_LEN as u64)
            }
        };
        let mut bytes = [0; HEADER_LEN];
        while file.read_exact_at(&mut bytes, offset).is_ok() {
            let Ok(header) = FrameHeader::open(&bytes, salt) else {
                break;
            }; // being written
            if offset + header.frame_len() > len {
                break;
            }
            offset += header.frame_len();
            self.end = self.end.max(header.end);
        }
        self.segments.insert(path.to_owned(), (salt, offset));
        Ok(())
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
fn time_to_write(scene: &Scene) -> Outcome<Duration> {
    let bytes = std::fs::read(&scene.input)?;
    let began = Instant::now();
    let mut file = File::create(scene.path("written"))?;
    for piece in bytes.chunks(1 << 20) {
        file.write_all(piece)?;
    }
    file.sync_data()?;
    Ok(began.elapsed())
}

/// Makes up a log of at least `bytes` bytes, the same for the same size, that compresses about as logs do.
fn make_up(path: &Path, bytes: u64) -> Outcome<()> {
    const LEVELS: [&str; 5] = ["INFO", "INFO", "INFO", "WARN", "ERROR"];
    const EVENTS: [&str; 4] = [
        "request served",
        "cache miss, fetched from origin",
        "connection closed by peer before the answer was sent",
        "retry scheduled",
    ];
    let mut chance = fastrand::Rng::with_seed(1);
    let mut out = BufWriter::new(File::create(path)?);
    let mut line = Vec::new();
    let (mut written, mut number) = (0, 0_u64);
    while written < bytes {
        line.clear();
        let (second, level, event) = (number / 1000, LEVELS[chance.usize(..5)], EVENTS[chance.usize(..4)]);
        let (user, latency, address) = (chance.u32(..50_000), chance.u32(..10_000), chance.u16(..));
        writeln!(
            line,
            "2026-11-21T{:02}:{:02}:{:02}.{:03}Z {level} [worker-{}] {event}: id={number} user={user} \
             from=10.0.{}.{} latency_us={latency}",
            second / 3600 % 24,
            second / 60 % 60,
            second % 60,
            number % 1000,
            number % 16,
            address >> 8,
            address & 0xff,
        )?;
        out.write_all(&line)?;
        written += line.len() as u64;
        number += 1;
    }
    out.into_inner()?.sync_all()?;
    Ok(())
}
