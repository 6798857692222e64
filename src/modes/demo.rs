//! `hog demo`: the promise, shown on this machine in seconds.
//!
//! Real child processes ship a file through a temporary directory; the sender and the receiver are killed with SIGKILL midway and started again; then
//! what arrived is compared with the file, byte for byte.

use crate::exit::{ExitStatus, Failure};
use crate::modes::status::{self, StatusFormat, StatusOptions};
use hog_ring::RingReader;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// The file to ship; made up if `None`.
    pub file: Option<PathBuf>,
    /// Where rings are, in a directory of the demo's own.
    pub shm_dir: PathBuf,
}

/// Lines that are made up when no file is given.
const LINES: u64 = 100_000;
/// The longest that the whole may take without progress.
const PATIENCE: Duration = Duration::from_secs(60);
const GROUP: &str = "demo";

/// Runs the demo, and prints what came of it.
///
/// # Errors
/// When it could not be run to its end.
pub fn run(options: &DemoOptions) -> Result<ExitStatus, Failure> {
    let began = Instant::now();
    let scene = Scene::set(options).map_err(|error| failed("set the scene", &error))?;
    let size = std::fs::metadata(&scene.input)
        .map_err(|error| failed("look at the input", &error))?
        .len();
    let bar = ProgressBar::new(size.max(1));
    bar.set_style(
        ProgressStyle::with_template("{msg:32} {wide_bar} {bytes}/{total_bytes}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let kills = ship(&scene, size, &bar).map_err(|error| failed("ship", &error))?;
    bar.finish_and_clear();
    let comparison = compare(&scene).map_err(|error| failed("compare", &error))?;
    let Comparison {
        lines,
        lost,
        doubled,
        is_equal,
    } = comparison;
    let seconds = began.elapsed().as_secs_f64();
    let said = writeln!(
        io::stdout(),
        "lines {lines}\nbytes {size}\nkills {kills}\nlost {lost}\ndoubled {doubled}\nseconds {seconds:.2}"
    );
    if let Err(error) = said
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        return Err(failed("print what came of it", &error));
    }
    if is_equal && kills >= 2 {
        return Ok(ExitStatus::Done);
    }
    Err(Failure::new(
        ExitStatus::Integrity,
        "what arrived is not what was shipped",
    ))
}

fn failed(verb: &str, error: &io::Error) -> Failure {
    Failure::new(ExitStatus::Failed, format!("cannot {verb}: {error}"))
}

/// The directories of a demo, which go with it.
struct Scene {
    directory: tempfile::TempDir,
    rings: tempfile::TempDir,
    input: PathBuf,
    hog: PathBuf,
}

impl Scene {
    fn set(options: &DemoOptions) -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("hog-demo-").tempdir()?;
        let rings = tempfile::Builder::new()
            .prefix("hog-demo-")
            .tempdir_in(&options.shm_dir)?;
        let input = match &options.file {
            Some(file) => file
                .canonicalize()
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))?,
            None => make_up(&directory.path().join("input.log"))?,
        };
        Ok(Self {
            directory,
            rings,
            input,
            hog: std::env::current_exe()?,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn start(&self, name: &str, arguments: &[&str]) -> io::Result<Process> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path(&format!("{name}.stderr")))?;
        let child = Command::new(&self.hog)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        Ok(Process(child))
    }

    fn start_engine(&self) -> io::Result<Process> {
        let (rings, input) = (
            self.rings.path().display().to_string(),
            self.input.display().to_string(),
        );
        let store = self.path("engine").display().to_string();
        self.start(
            "engine",
            &["engine", "-g", GROUP, "--shm-dir", &rings, "-m", &store, &input],
        )
    }

    fn start_sender(&self, address: &str) -> io::Result<Process> {
        let rings = self.rings.path().display().to_string();
        let (spool, store) = (
            self.path("spool").display().to_string(),
            self.path("send").display().to_string(),
        );
        let places = ["-d", &spool, "-m", &store, "--shm-dir", &rings];
        self.start(
            "batchsend",
            &[&["batchsend", "-g", GROUP, "--to", address], &places[..]].concat(),
        )
    }

    /// Starts the receiver; says where it listens.
    fn start_receiver(&self, address: &str) -> io::Result<(Process, String)> {
        let (archive, store) = (
            self.path("archive").display().to_string(),
            self.path("recv").display().to_string(),
        );
        let mut receiver = self.start(
            "batchrecv",
            &["batchrecv", "--listen", address, "-d", &archive, "-m", &store],
        )?;
        let mut line = String::new();
        if let Some(stdout) = receiver.0.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        if line.is_empty() {
            return Err(io::Error::other(format!(
                "the receiver did not start: {}",
                self.words_of("batchrecv")
            )));
        }
        Ok((receiver, line.trim().to_owned()))
    }

    fn words_of(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(&format!("{name}.stderr")))
            .unwrap_or_default()
            .trim()
            .to_owned()
    }

    /// Bytes that were taken from the engine's ring.
    fn drained(&self) -> u64 {
        let directory = hog_ring::group_dir(self.rings.path(), GROUP);
        let rings = hog_ring::ring_files(&directory).unwrap_or_default();
        rings
            .iter()
            .filter_map(|path| RingReader::open(path).ok())
            .map(|ring| ring.head())
            .sum()
    }

    /// Bytes that are not acknowledged.
    fn unacked(&self) -> Option<u64> {
        let options = StatusOptions {
            store: self.path("send"),
            shm_dir: self.rings.path().to_owned(),
            format: StatusFormat::Json,
        };
        status::look(&options).ok().map(|status| status.unacked_bytes)
    }
}

/// A child that does not outlive the demo.
struct Process(Child);

impl Process {
    fn kill(&mut self) {
        let _ = self.0.kill(); // SIGKILL; it may have ended already
        let _ = self.0.wait();
    }

    fn has_ended(&mut self) -> io::Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Ships the input, with kills on the way; says how many.
fn ship(scene: &Scene, size: u64, bar: &ProgressBar) -> io::Result<u32> {
    let mut kills = 0;
    let (mut receiver, address) = scene.start_receiver("127.0.0.1:0")?;
    let mut sender = scene.start_sender(&address)?;
    let mut engine = scene.start_engine()?;
    bar.set_message("shipping");
    wait_for(scene, &mut engine, bar, |drained, done| drained >= size / 4 || done)?;
    bar.set_message("sender killed");
    sender.kill();
    kills += 1;
    sender = scene.start_sender(&address)?;
    wait_for(scene, &mut engine, bar, |drained, done| drained >= size / 2 || done)?;
    bar.set_message("receiver killed");
    receiver.kill();
    kills += 1;
    (receiver, _) = scene.start_receiver(&address)?;
    wait_for(scene, &mut engine, bar, |drained, done| drained >= size / 4 * 3 || done)?;
    bar.set_message("both killed");
    sender.kill();
    receiver.kill();
    kills += 2;
    let _receiver = scene.start_receiver(&address)?;
    let _sender = scene.start_sender(&address)?;
    wait_for(scene, &mut engine, bar, |_, done| done)?;
    bar.set_message("waiting for acknowledgement");
    let deadline = Instant::now() + PATIENCE;
    while scene.unacked() != Some(0) {
        if Instant::now() > deadline {
            let words = format!(
                "sender: {}; receiver: {}",
                scene.words_of("batchsend"),
                scene.words_of("batchrecv")
            );
            return Err(io::Error::other(format!("not everything was acknowledged: {words}")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(kills)
}

/// Waits until `reached`, given the bytes drained and whether the engine is done, says so.
fn wait_for(
    scene: &Scene,
    engine: &mut Process,
    bar: &ProgressBar,
    reached: impl Fn(u64, bool) -> bool,
) -> io::Result<()> {
    let mut deadline = Instant::now() + PATIENCE;
    let mut last = 0;
    loop {
        let (drained, done) = (scene.drained(), engine.has_ended()?);
        if done && engine.0.wait()?.code() != Some(0) {
            return Err(io::Error::other(format!(
                "the engine failed: {}",
                scene.words_of("engine")
            )));
        }
        bar.set_position(drained.min(bar.length().unwrap_or(0)));
        if reached(drained, done) {
            return Ok(());
        }
        if drained > last {
            (last, deadline) = (drained, Instant::now() + PATIENCE);
        }
        if Instant::now() > deadline {
            return Err(io::Error::other(format!(
                "no progress: {}",
                scene.words_of("batchsend")
            )));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What arrived against what was shipped.
struct Comparison {
    lines: u64,
    lost: u64,
    doubled: u64,
    is_equal: bool,
}

fn compare(scene: &Scene) -> io::Result<Comparison> {
    let arrived = scene.path("arrived.log");
    let output = File::create(&arrived)?;
    let archive = scene.path("archive");
    let read = Command::new(&scene.hog)
        .arg("cat")
        .arg("--format")
        .arg("raw")
        .arg(&archive)
        .stdout(output)
        .status()?;
    let is_equal = read.success() && are_equal(&scene.input, &arrived)?;
    let (mut lost, mut doubled) = (0, 0);
    let lines = for_each_line(&scene.input, |_| {})?;
    if !is_equal {
        let mut counts: HashMap<Vec<u8>, i64> = HashMap::new();
        for_each_line(&scene.input, |line| *counts.entry(line.to_vec()).or_default() += 1)?;
        for_each_line(&arrived, |line| *counts.entry(line.to_vec()).or_default() -= 1)?;
        lost = counts.values().filter(|count| **count > 0).sum::<i64>().unsigned_abs();
        doubled = counts.values().filter(|count| **count < 0).sum::<i64>().unsigned_abs();
    }
    Ok(Comparison {
        lines,
        lost,
        doubled,
        is_equal,
    })
}

fn are_equal(one: &Path, other: &Path) -> io::Result<bool> {
    if std::fs::metadata(one)?.len() != std::fs::metadata(other)?.len() {
        return Ok(false);
    }
    let (mut one, mut other) = (BufReader::new(File::open(one)?), BufReader::new(File::open(other)?));
    let (mut these, mut those) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let read = one.read(&mut these)?;
        if read == 0 {
            return Ok(true);
        }
        other.read_exact(&mut those[..read])?;
        if these[..read] != those[..read] {
            return Ok(false);
        }
    }
}

fn for_each_line(path: &Path, mut visit: impl FnMut(&[u8])) -> io::Result<u64> {
    let mut reader = BufReader::new(File::open(path)?);
    let (mut line, mut count) = (Vec::new(), 0);
    while reader.read_until(b'\n', &mut line)? > 0 {
        visit(&line);
        line.clear();
        count += 1;
    }
    Ok(count)
}

/// Makes up a log; no two lines of it are the same.
fn make_up(path: &Path) -> io::Result<PathBuf> {
    let mut out = BufWriter::new(File::create(path)?);
    for number in 0..LINES {
        let (second, level) = (
            number / 100,
            ["INFO", "INFO", "INFO", "WARN", "ERROR"][(number % 5) as usize],
        );
        let latency = number.wrapping_mul(2_654_435_761) % 9_973;
        writeln!(
            out,
            "12:{:02}:{:02}.{:03} {level} request {number} served in {latency} us by worker {}",
            second / 60 % 60,
            second % 60,
            number % 100 * 10,
            number % 16
        )?;
    }
    out.into_inner()?.sync_all()?;
    Ok(path.to_owned())
}
