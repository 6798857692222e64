//! A network that cuts, delays and splits: between the sender and one receiver.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// A connection is cut behind at most so many bytes, of either direction.
const CUT_BEHIND: u64 = 8 << 20;
/// Of a hundred pieces so many are late, by at most that.
const LATE_PERCENT: u32 = 5;
const LATE_MS: u64 = 20;

/// Listens at a port of its own and carries what comes to `target`, badly. Says where.
pub(crate) fn spoil(target: String, seed: u64) -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    std::thread::spawn(move || {
        let mut chance = fastrand::Rng::with_seed(seed);
        for sender in listener.incoming().flatten() {
            // While the receiver is away, the sender finds its connection closed.
            let Ok(receiver) = TcpStream::connect(&target) else {
                continue;
            };
            let there = Arc::new((sender, receiver));
            let back = Arc::clone(&there);
            let (one, other) = (chance.fork(), chance.fork());
            std::thread::spawn(move || carry(&there.0, &there.1, one));
            std::thread::spawn(move || carry(&back.1, &back.0, other));
        }
    });
    Ok(address)
}

/// Passes bytes on in pieces of any length, until the connection is to be cut.
fn carry(mut from: &TcpStream, mut to: &TcpStream, mut chance: fastrand::Rng) {
    let mut left = chance.u64(1..CUT_BEHIND);
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        let mut rest = &buffer[..read];
        while !rest.is_empty() && left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
            let piece = if chance.bool() { most } else { chance.usize(1..=most) };
            if chance.u32(..100) < LATE_PERCENT {
                std::thread::sleep(Duration::from_millis(chance.u64(..LATE_MS)));
            }
            if to.write_all(&rest[..piece]).is_err() {
                left = 0;
                break;
            }
            left -= piece as u64;
            rest = &rest[piece..];
        }
        if left == 0 {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both); // the other half may have done so already
    let _ = to.shutdown(Shutdown::Both);
}
