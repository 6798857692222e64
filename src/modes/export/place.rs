//! Where the records of a table lie: names of groups and statements as names of directories, and moments as partitions.
//!
//! A name stands for itself as long as it has only letters and digits of ASCII, `_`, `-` and dots; other bytes are written `%XX`, as in addresses of the web,
//! and so is what a name begins with if that is a dot or `_`, since readers pass such directories over. So the name can be had back, and two names never
//! meet in one directory. One that would get longer than file systems allow is cut, and ends with `~` and a hash of the whole.

use crate::modes::export::Partition;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Longest name of a directory that is made of a name, in bytes; `~` and a hash may follow, twice.
const NAME_MAX: usize = 160;
/// Nanoseconds of an hour.
const HOUR: u64 = 3_600_000_000_000;

/// `name` as the name of a directory.
pub(super) fn safe(name: &str) -> String {
    let mut safe = String::with_capacity(name.len());
    for (at, byte) in name.bytes().enumerate() {
        let is_plain = byte.is_ascii_alphanumeric() || byte == b'-' || at > 0 && matches!(byte, b'.' | b'_');
        if is_plain {
            safe.push(char::from(byte));
        } else {
            let _ = write!(safe, "%{byte:02X}"); // to memory
        }
    }
    if !safe.is_empty() && safe.len() <= NAME_MAX {
        return safe;
    }
    let end = (0..=2)
        .map(|cut| NAME_MAX.min(safe.len()).saturating_sub(cut))
        .find(|end| !safe[..*end].ends_with('%') && !safe[..end.saturating_sub(1)].ends_with('%'));
    safe.truncate(end.unwrap_or(0));
    format!("{safe}~{}", short_hash(name.as_bytes()))
}

/// Sixteen hexadecimal digits that tell `bytes` from others.
pub(super) fn short_hash(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(16);
    for byte in &Sha256::digest(bytes)[..8] {
        let _ = write!(digits, "{byte:02x}"); // to memory
    }
    digits
}

/// Which partition a record belongs to that was logged at `time`, nanoseconds since 1970: 0 if nobody knows, and the only one where tables are not divided.
pub(super) fn bucket(partition: Partition, time: u64) -> u64 {
    match partition {
        Partition::None => 0,
        Partition::Date => time / (24 * HOUR) * 24 + u64::from(time > 0),
        Partition::Hour => time / HOUR + u64::from(time > 0),
    }
}

/// The directories of a partition, below that of the table.
pub(super) fn partition(partition: Partition, bucket: u64) -> String {
    let hours = i64::try_from(bucket.saturating_sub(1)).unwrap_or(i64::MAX);
    let begin = jiff::Timestamp::from_second(hours.saturating_mul(3600)).ok();
    let begin = begin
        .filter(|_| bucket > 0)
        .map(|begin| begin.to_zoned(jiff::tz::TimeZone::UTC));
    match (partition, begin) {
        (Partition::None, _) => String::new(),
        (Partition::Date, Some(begin)) => begin.strftime("date=%Y-%m-%d").to_string(),
        (Partition::Hour, Some(begin)) => begin.strftime("date=%Y-%m-%d/hour=%H").to_string(),
        // What Hive calls the partition of what has none.
        (Partition::Date, None) => "date=__HIVE_DEFAULT_PARTITION__".to_owned(),
        (Partition::Hour, None) => "date=__HIVE_DEFAULT_PARTITION__/hour=__HIVE_DEFAULT_PARTITION__".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_of_statements_become_names_of_directories_and_no_two_the_same() {
        assert_eq!(safe("order-placed.v2"), "order-placed.v2");
        assert_eq!(safe("a/b c=é"), "a%2Fb%20c%3D%C3%A9");
        assert_eq!(safe(".."), "%2E.");
        assert_eq!(safe("_x_"), "%5Fx_");
        let long: Vec<String> = (150..500).map(|length| format!("{}é", "x".repeat(length))).collect();
        let mut names: Vec<String> = long.iter().map(|name| safe(name)).collect();
        names.push(safe(""));
        names.push(safe("%"));
        assert!(names.iter().all(|name| !name.is_empty() && name.len() <= 200));
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
    }

    #[test]
    fn partitions_are_of_utc_and_what_has_no_time_is_in_one_of_its_own() {
        let time = 1_795_331_000_000_000_000; // 2026-11-22T06:23:20Z
        let of = |by, time| partition(by, bucket(by, time));
        assert_eq!(of(Partition::Hour, time), "date=2026-11-22/hour=07");
        assert_eq!(of(Partition::Date, time), "date=2026-11-22");
        assert_eq!(of(Partition::None, time), "");
        assert_eq!(of(Partition::Date, 1), "date=1970-01-01");
        assert_eq!(of(Partition::Date, 0), "date=__HIVE_DEFAULT_PARTITION__");
        assert_eq!(of(Partition::Hour, u64::MAX), "date=2554-07-21/hour=23");
    }
}
