//! What the machine does without hog: copies, writes, syncs, a connection, a compressor. Rows that are judged by one of these measure it
//! themselves, on their own bytes; here they stand for the machine as such, on the same bytes in every run.

use super::Outcome;
use super::scene::Scene;
use super::table::{Sample, median};
use std::fs::File;
use std::hint::black_box;
use std::io::{IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// Copied at once: more than caches hold.
const COPY_BYTES: usize = 64 << 20;
const COPIES: u32 = 8;
/// Written, and sent.
const WRITTEN_BYTES: usize = 256 << 20;
/// As much is written or sent at once, or compressed.
const PIECE_BYTES: usize = 1 << 20;
/// How often a little is synced.
const SYNCS: u32 = 50;

pub(crate) fn memcpy() -> Outcome<Sample> {
    let source = vec![1_u8; COPY_BYTES];
    let mut target = vec![2_u8; COPY_BYTES];
    let began = Instant::now();
    for _ in 0..COPIES {
        target.copy_from_slice(black_box(&source));
        black_box(&mut target);
    }
    Ok(rate(COPY_BYTES * COPIES as usize, began.elapsed()))
}

/// What is read of a ring is copied before it is looked at, hence copied twice.
pub(crate) fn ring_to_page_cache() -> Outcome<Sample> {
    let scene = Scene::set()?;
    let ring = scene.shm_dir().join("ring");
    std::fs::write(&ring, vec![0x55; WRITTEN_BYTES])?;
    let (ring, file) = (File::open(&ring)?, File::create(scene.path("written"))?);
    let mut piece = vec![0; PIECE_BYTES];
    scene.settle()?;
    let began = Instant::now();
    for _ in 0..WRITTEN_BYTES / PIECE_BYTES {
        (&ring).read_exact(&mut piece)?;
        (&file).write_all(&piece)?;
    }
    Ok(rate(WRITTEN_BYTES, began.elapsed()))
}

pub(crate) fn loopback() -> Outcome<Sample> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut sending = TcpStream::connect(listener.local_addr()?)?;
    let (mut receiving, _) = listener.accept()?;
    let began = Instant::now();
    let sender = std::thread::spawn(move || {
        let piece = vec![0x55_u8; PIECE_BYTES];
        (0..WRITTEN_BYTES / PIECE_BYTES).try_for_each(|_| sending.write_all(&piece))
    });
    let mut piece = vec![0; PIECE_BYTES];
    let mut received = 0;
    loop {
        match receiving.read(&mut piece)? {
            0 => break,
            read => received += read,
        }
    }
    let took = began.elapsed();
    sender.join().map_err(|_| "the sending thread panicked")??;
    Ok(rate(received, took))
}

pub(crate) fn write_and_sync() -> Outcome<Sample> {
    let scene = Scene::set()?;
    let memory = vec![0x55_u8; WRITTEN_BYTES];
    let file = File::create(scene.path("written"))?;
    scene.settle()?;
    let began = Instant::now();
    write(&file, &memory)?;
    file.sync_data()?;
    Ok(rate(WRITTEN_BYTES, began.elapsed()))
}

pub(crate) fn sync_of_little() -> Outcome<Sample> {
    let scene = Scene::set()?;
    let mut file = File::create(scene.path("appended"))?;
    scene.settle()?;
    let mut times = Vec::new();
    for _ in 0..SYNCS {
        file.write_all(&[0x55; 4096])?;
        let began = Instant::now();
        file.sync_data()?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let p99 = times[times.len() * 99 / 100];
    Ok(Sample {
        hog: median(times.into_iter()),
        limit: None,
        besides: vec![("p99_ms", p99)],
    })
}

pub(crate) fn compress(input: &Path) -> Outcome<Sample> {
    let bytes = std::fs::read(input)?;
    let mut compressor = zstd::bulk::Compressor::new(1)?;
    let mut out = vec![0; zstd::zstd_safe::compress_bound(PIECE_BYTES)];
    let began = Instant::now();
    for piece in bytes.chunks(PIECE_BYTES) {
        black_box(compressor.compress_to_buffer(piece, &mut out[..])?);
    }
    Ok(rate(bytes.len(), began.elapsed()))
}

pub(crate) fn decompress(input: &Path) -> Outcome<Sample> {
    let bytes = std::fs::read(input)?;
    let mut compressor = zstd::bulk::Compressor::new(1)?;
    let pieces = bytes.chunks(PIECE_BYTES).map(|piece| compressor.compress(piece));
    let pieces = pieces.collect::<Result<Vec<Vec<u8>>, _>>()?;
    let mut decompressor = zstd::bulk::Decompressor::new()?;
    let mut out = vec![0; PIECE_BYTES];
    let began = Instant::now();
    for piece in &pieces {
        black_box(decompressor.decompress_to_buffer(piece, &mut out[..])?);
    }
    Ok(rate(bytes.len(), began.elapsed()))
}

fn write(file: &File, memory: &[u8]) -> Outcome<()> {
    let mut offset = 0;
    while offset < memory.len() {
        let piece = &memory[offset..memory.len().min(offset + PIECE_BYTES)];
        offset += rustix::io::pwritev(file, &[IoSlice::new(piece)], offset as u64)?;
    }
    Ok(())
}

/// In MB/s.
fn rate(bytes: usize, time: Duration) -> Sample {
    Sample {
        hog: bytes as f64 / 1e6 / time.as_secs_f64(),
        limit: None,
        besides: Vec::new(),
    }
}
