//! Formats: headers of frames, checks of bodies, codecs.

use divan::{Bencher, black_box, counter::BytesCount};
use hog::formats::codec::{Compression, Compressor, Decompressor};
use hog::formats::frame::{FrameHeader, Kind};
use hog::ids::SegmentId;

const BODY_BYTES: usize = 256 << 10;

/// Lines of a log that compress about as logs do.
fn body() -> Vec<u8> {
    let mut chance = fastrand::Rng::with_seed(1);
    let mut body = Vec::new();
    while body.len() < BODY_BYTES {
        let (user, latency) = (chance.u32(..50_000), chance.u32(..10_000));
        body.extend_from_slice(
            format!("INFO [worker-7] request served: user={user} latency_us={latency}\n").as_bytes(),
        );
    }
    body.truncate(BODY_BYTES);
    body
}

#[divan::bench]
fn frame_header_is_sealed(bencher: Bencher) {
    let (header, salt) = (FrameHeader::plain(Kind::Data, b"body"), SegmentId::random());
    bencher.bench_local(|| black_box(&header).seal(salt));
}

#[divan::bench]
fn frame_header_is_opened(bencher: Bencher) {
    let salt = SegmentId::random();
    let bytes = FrameHeader::plain(Kind::Data, b"body").seal(salt);
    bencher.bench_local(|| FrameHeader::open(black_box(&bytes), salt));
}

#[divan::bench]
fn body_is_checked(bencher: Bencher) {
    let body = body();
    let header = FrameHeader::plain(Kind::Data, &body);
    bencher
        .counter(BytesCount::new(body.len()))
        .bench_local(|| header.check_body(black_box(&body)));
}

const CODECS: [Compression; 3] = [Compression::Lz4, Compression::Zstd(1), Compression::Zstd(3)];

#[divan::bench(args = CODECS)]
fn body_is_compressed(bencher: Bencher, compression: Compression) {
    let body = body();
    let mut compressor = Compressor::new(compression).unwrap_or_else(|error| panic!("{error}"));
    let mut out = Vec::with_capacity(2 * body.len());
    bencher.counter(BytesCount::new(body.len())).bench_local(|| {
        out.clear();
        compressor.compress(black_box(&body), &mut out)
    });
}

#[divan::bench(args = CODECS)]
fn body_is_decompressed(bencher: Bencher, compression: Compression) {
    let body = body();
    let mut compressor = Compressor::new(compression).unwrap_or_else(|error| panic!("{error}"));
    let mut stored = Vec::new();
    let codec = compressor.compress(&body, &mut stored);
    let mut header = FrameHeader::plain(Kind::Data, &body);
    header.codec = codec;
    let mut decompressor = Decompressor::new().unwrap_or_else(|error| panic!("{error}"));
    bencher
        .counter(BytesCount::new(body.len()))
        .bench_local(|| decompressor.raw(&header, black_box(&stored)).map(<[u8]>::len).ok());
}
