//! The bare way: what a shipment takes with an engine and, in the place of sender and receiver, nothing but the calls that no one can do without who keeps a record twice and sends
//! it once. Whatever ships the same records on this machine takes at least that, or gives something up.
//!
//! One thread copies out of the ring, writes to a file and gives the room back. One reads that file a piece at a time, compresses the piece, if that is asked for, and
//! sends it to each destination. One for each destination takes it off the socket, decompresses it, for it must not keep what nobody can read, and writes what came to
//! a file, which is synced at the end. Nothing is judged, summed up, named or found again.

use super::Outcome;
use super::roles::Role;
use super::scene::Scene;
use hog_ring::RingReader;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::{pread, pwrite};
use rustix::time::{ClockId, clock_gettime};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};
use zstd::bulk::{Compressor, Decompressor};

/// Read, compressed and sent at once.
const PIECE_BYTES: u64 = 1 << 20;
/// For so many bytes or more, room is asked for.
const LONG: usize = 128 << 10;
/// How often the ring is looked at while nothing is in it, and the file.
const LOOK: Duration = Duration::from_micros(50);
/// How often it is looked whether the engine has ended.
const LOOK_AT_ENGINE: Duration = Duration::from_millis(5);
/// The longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How it is shipped.
#[derive(Clone, Copy)]
pub(crate) struct BareWay {
    pub(crate) compresses: bool,
    pub(crate) destinations: usize,
}

/// What it took.
pub(crate) struct Bare {
    /// Since the engine was started, until all is on the disk of each destination.
    pub(crate) synced: Duration,
    /// Seconds of processor time, without the engine's.
    pub(crate) processor_time: f64,
}

/// What the threads share.
#[derive(Default)]
struct Progress {
    /// Bytes in the first file.
    spooled: AtomicU64,
    engine_ended: AtomicBool,
    /// Nothing more comes into the first file.
    all_spooled: AtomicBool,
    /// One of them failed, and the others are not to wait for it.
    over: AtomicBool,
}

/// Ships the lines of `input`.
pub(crate) fn ship(scene: &Scene, input: &Path, way: BareWay) -> Outcome<Bare> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let progress = &Progress::default();
    let spool = scene.path("bare-spool");
    let spooled = &File::options().create_new(true).read(true).write(true).open(&spool)?;
    let mut sockets = Vec::new();
    let mut receivers = Vec::new();
    for number in 0..way.destinations {
        sockets.push(TcpStream::connect(listener.local_addr()?)?);
        receivers.push((listener.accept()?.0, scene.path(&format!("bare-archive-{number}"))));
    }
    let at_first = processor_time();
    let began = Instant::now();
    let mut engine = Role::engine(scene, input)?;
    let shipped = thread::scope(|threads| {
        let mut stages: Vec<Stage> = receivers
            .into_iter()
            .map(|(socket, archive)| threads.spawn(move || receive(socket, &archive, way)))
            .collect();
        stages.push(threads.spawn(move || progress.done_by(send(spooled, progress, sockets, way))));
        stages.push(threads.spawn(move || progress.done_by(drain(scene, spooled, progress))));
        while !progress.is_over() && !engine.is_done()? {
            if began.elapsed() > PATIENCE {
                progress.over.store(true, Ordering::Relaxed);
            }
            thread::sleep(LOOK_AT_ENGINE);
        }
        progress.engine_ended.store(true, Ordering::Release);
        stages.into_iter().try_for_each(ended)
    });
    shipped?;
    Ok(Bare {
        synced: began.elapsed(),
        processor_time: processor_time() - at_first,
    })
}

type Stage<'a> = ScopedJoinHandle<'a, Result<(), String>>;

fn ended(stage: Stage) -> Outcome<()> {
    Ok(stage.join().map_err(|_| "a thread of the bare way panicked")??)
}

impl Progress {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn done_by(&self, done: Outcome<()>) -> Result<(), String> {
        done.map_err(|error| {
            self.over.store(true, Ordering::Relaxed);
            error.to_string()
        })
    }
}

/// Ring to file.
fn drain(scene: &Scene, spool: &File, progress: &Progress) -> Outcome<()> {
    let mut piece = vec![0; usize::try_from(PIECE_BYTES)?];
    let ring = loop {
        // It is not there at once, nor whole.
        match scene.ring().ok().and_then(|path| RingReader::open(&path).ok()) {
            Some(ring) => break ring,
            None if progress.is_over() => return Err("there is no ring".into()),
            None => thread::sleep(LOOK),
        }
    };
    let mut offset = 0;
    loop {
        let is_last = progress.engine_ended.load(Ordering::Acquire);
        let head = ring.head();
        let tail = ring.tail(head).map_err(|fault| format!("{fault:?}"))?;
        let taken = usize::try_from((tail - head).min(PIECE_BYTES))?;
        ring.copy(head, &mut piece[..taken])?;
        write(spool, &piece[..taken], offset)?;
        ring.advance(head + taken as u64);
        offset += taken as u64;
        progress.spooled.store(offset, Ordering::Release);
        match taken {
            0 if is_last || progress.is_over() => break,
            0 => thread::sleep(LOOK),
            _ => {}
        }
    }
    progress.all_spooled.store(true, Ordering::Release);
    spool.sync_data()?;
    Ok(())
}

/// File to sockets: a length, 0 where nothing follows, and so many bytes.
fn send(spool: &File, progress: &Progress, mut sockets: Vec<TcpStream>, way: BareWay) -> Outcome<()> {
    let mut compressor = Compressor::new(1)?;
    let mut piece = vec![0; usize::try_from(PIECE_BYTES)?];
    let mut pressed = vec![0; zstd::zstd_safe::compress_bound(piece.len())];
    let mut offset = 0;
    loop {
        let is_last = progress.all_spooled.load(Ordering::Acquire);
        let there = progress.spooled.load(Ordering::Acquire) - offset;
        if progress.is_over() {
            return Ok(()); // who failed tells
        }
        if there < PIECE_BYTES && !is_last {
            thread::sleep(LOOK);
            continue;
        }
        let len = usize::try_from(there.min(PIECE_BYTES))?;
        let mut read = 0;
        while read < len {
            read += pread(spool, &mut piece[read..len], offset + read as u64)?;
        }
        let bytes = match len {
            0 => &[],
            _ if way.compresses => {
                let pressed_len = compressor.compress_to_buffer(&piece[..len], &mut pressed[..])?;
                &pressed[..pressed_len]
            }
            _ => &piece[..len],
        };
        for socket in &mut sockets {
            socket.write_all(&u32::try_from(bytes.len())?.to_le_bytes())?;
            socket.write_all(bytes)?;
        }
        if len == 0 {
            return Ok(());
        }
        offset += len as u64;
    }
}

/// Socket to file.
fn receive(mut socket: TcpStream, archive: &PathBuf, way: BareWay) -> Result<(), String> {
    let mut receive = || -> Outcome<()> {
        let archive = File::create_new(archive)?;
        let mut decompressor = Decompressor::new()?;
        let mut piece = vec![0; zstd::zstd_safe::compress_bound(usize::try_from(PIECE_BYTES)?)];
        let mut raw = vec![0; usize::try_from(PIECE_BYTES)?];
        let mut offset = 0;
        loop {
            let mut len = [0; 4];
            socket.read_exact(&mut len)?;
            let len = usize::try_from(u32::from_le_bytes(len))?;
            if len == 0 {
                break;
            }
            socket.read_exact(&mut piece[..len])?;
            if way.compresses {
                decompressor.decompress_to_buffer(&piece[..len], &mut raw[..])?;
            }
            write(&archive, &piece[..len], offset)?;
            offset += len as u64;
        }
        Ok(archive.sync_data()?)
    };
    receive().map_err(|error| error.to_string())
}

/// Writes all of `bytes`, for which room is asked for before: on ext4 that is cheaper.
pub(crate) fn write(file: &File, mut bytes: &[u8], mut offset: u64) -> Outcome<()> {
    if bytes.len() >= LONG {
        let _ = fallocate(file, FallocateFlags::KEEP_SIZE, offset, bytes.len() as u64); // elsewhere it may not do that
    }
    while !bytes.is_empty() {
        let written = pwrite(file, bytes, offset)?;
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
}

/// Of this process, in seconds.
fn processor_time() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
