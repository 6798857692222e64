//! Reading an archive back: `hog cat` in each format, and `hog export` to Parquet, in MB/s of log text. The archive is what the run's input
//! becomes on its way through engine, sender (zstd level 1) and receiver; it is made once and read by all of them.
//!
//! What `cat` prints goes to `/dev/null`, and so does what its limit takes apart: the same text, compressed as one frame of level 1, as
//! `zstd -1` would. Before the first round `cat --format raw` is compared with the input.

use super::Outcome;
use super::roles::{Role, hog};
use super::scene::Scene;
use super::shipment::check_that_it_arrived;
use super::table::Sample;
use std::cell::OnceCell;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The longest that the archive may take to be made.
const PATIENCE: Duration = Duration::from_secs(120);

/// An archive of the run's input, made when it is first wanted.
#[derive(Clone, Default)]
pub(crate) struct Stored(Rc<OnceCell<Scene>>);

impl Stored {
    /// `hog cat --format FORMAT`, against decompressing as much text.
    pub(crate) fn cat(&self, input: &Path, format: &str) -> Outcome<Sample> {
        let scene = self.scene(input)?;
        let megabytes = megabytes(input)?;
        let printing = timed(hog(&["cat", "--format", format]).arg(scene.path("archive")))?;
        let compressed = scene.path("input.zst");
        let began = Instant::now();
        let file = BufReader::with_capacity(1 << 17, File::open(&compressed)?);
        zstd::stream::copy_decode(file, std::io::sink())?;
        let decompressing = began.elapsed();
        let mut besides = Vec::new();
        // Where it is installed: it reads and writes in threads of their own.
        if let Ok(program) = timed(Command::new("zstd").args(["-q", "-d", "-c"]).arg(&compressed)) {
            besides.push(("zstd_program_mb_per_second", megabytes / program.as_secs_f64()));
        }
        Ok(Sample {
            hog: megabytes / printing.as_secs_f64(),
            limit: Some(megabytes / decompressing.as_secs_f64()),
            besides,
        })
    }

    /// `hog export --format parquet`, up to its last file synced.
    pub(crate) fn export(&self, input: &Path) -> Outcome<Sample> {
        let scene = self.scene(input)?;
        let out = tempfile::tempdir_in(scene.path(""))?;
        scene.settle()?;
        let mut command = hog(&["-qq", "export", "--format", "parquet", "--output"]);
        let exporting = timed(command.arg(out.path()).arg(scene.path("archive")))?;
        let written = bytes_below(out.path())?;
        if written == 0 {
            return Err("the export wrote nothing".into());
        }
        Ok(Sample {
            hog: megabytes(input)? / exporting.as_secs_f64(),
            limit: None,
            besides: vec![("written_mb", written as f64 / 1e6)],
        })
    }

    fn scene(&self, input: &Path) -> Outcome<&Scene> {
        if self.0.get().is_none() {
            let scene = archive(input)?;
            check_that_it_arrived(&scene, "archive", input)?;
            let file = File::create(scene.path("input.zst"))?;
            zstd::stream::copy_encode(File::open(input)?, file, 1)?;
            drop(self.0.set(scene)); // it was empty
        }
        Ok(self.0.get().ok_or("there is no archive")?)
    }
}

/// Ships `input` into an archive.
fn archive(input: &Path) -> Outcome<Scene> {
    let scene = Scene::set()?;
    let mut engine = Role::engine(&scene, input)?;
    let (_receiver, address) = Role::receiver(&scene)?;
    let mut sender = Role::sender(&scene, &address)?;
    let gives_up = Instant::now() + PATIENCE;
    while !engine.is_done()? {
        if sender.is_done()? || Instant::now() > gives_up {
            return Err("the shipment came to a halt".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(sender);
    let mut rest = Role::last_sender(&scene, &address)?;
    while !rest.is_done()? {
        if Instant::now() > gives_up {
            return Err("the sender did not end".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(scene)
}

/// How long `command` takes, its output thrown away.
fn timed(command: &mut Command) -> Outcome<Duration> {
    let began = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    if status.success() {
        Ok(began.elapsed())
    } else {
        Err(format!("{command:?} failed: {status}").into())
    }
}

fn megabytes(input: &Path) -> Outcome<f64> {
    Ok(std::fs::metadata(input)?.len() as f64 / 1e6)
}

fn bytes_below(directory: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    let mut directories: Vec<PathBuf> = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let kind = entry.metadata()?;
            if kind.is_dir() {
                directories.push(entry.path());
            } else {
                bytes += kind.len();
            }
        }
    }
    Ok(bytes)
}
