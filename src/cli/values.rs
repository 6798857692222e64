//! The words of the command line that are more than text: groups, sizes, times and destinations. What is none of them is
//! refused here, before anything was touched.

use crate::ids::StreamId;
use crate::modes::batchsend::peer;
use crate::modes::cat::moment;
use crate::os::{clock, net};
use bytesize::ByteSize;
use std::time::Duration;
use uuid::Uuid;

/// The name of a group.
pub(super) fn group(text: &str) -> Result<String, String> {
    if hog_ring::is_group_name(text) {
        Ok(text.to_owned())
    } else {
        Err("a group is 1 to 64 of A-Z a-z 0-9 . _ - and does not begin with a dot".to_owned())
    }
}

/// A Unix group of this machine.
pub(super) fn shm_group(text: &str) -> Result<hog_ring::ShmGroup, String> {
    text.parse().map_err(|error: hog_ring::UnknownShmGroup| error.why)
}

/// A number of bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let size: ByteSize = text
        .parse()
        .map_err(|_| "expected a size: bytes, or a number with KiB, MiB, GiB, KB, MB or GB".to_owned())?;
    Ok(size.as_u64())
}

/// A length of time.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "expected a time: a number with us, ms, s, m, h or d".to_owned())
}

/// ADDR:PORT to listen on, not yet looked up.
pub(super) fn address(text: &str) -> Result<String, String> {
    net::host_and_port(text).map(|_| text.to_owned())
}

/// HOST:PORT to connect to, with the host not yet looked up; with `hobbes://` in front, a receiver of the original, and with `either://`, one of either kind.
pub(super) fn destination(text: &str) -> Result<String, String> {
    match net::host_and_port(peer::address_of(text))? {
        (_, 0) => Err("0 is no port to connect to: expected 1 to 65535".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// A moment, in nanoseconds since 1970.
pub(super) fn moment(text: &str) -> Result<u64, String> {
    moment::parse(text, clock::now_ns(), &clock::local_zone())
}

/// The uuid of a stream.
pub(super) fn stream(text: &str) -> Result<StreamId, String> {
    Uuid::parse_str(text)
        .map(StreamId)
        .map_err(|_| "expected a uuid, such as 59568219-d29b-4b9c-a675-8f9e3def591b".to_owned())
}

/// Each of `all` once, in the order of first mention.
pub(super) fn without_repeats(all: Vec<String>) -> Vec<String> {
    let mut once: Vec<String> = Vec::with_capacity(all.len());
    for one in all {
        if !once.contains(&one) {
            once.push(one);
        }
    }
    once
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_have_the_documented_units() {
        assert_eq!(size("1MiB"), Ok(1 << 20));
        assert_eq!(size("1MB"), Ok(1_000_000));
        assert_eq!(size("512"), Ok(512));
        assert!(size("much").is_err() && size("1 parsec").is_err());
        assert_eq!(time("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(time("2d"), Ok(Duration::from_secs(172_800)));
        assert!(time("soon").is_err() && time("5").is_err());
    }
}
