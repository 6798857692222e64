//! Names that rotation gives, and which rotated files an engine has missed. Decisions about names and births, without IO.
//!
//! Between two looks at a name (while the engine was down, most of all) it may have shown several files. Those in between were never seen; they
//! lie beside it now, under the names that rotation gives, born after the file that was logged last and before the one that is there
//! now.

use crate::modes::engine::state::FileId;
use std::cmp::Ordering;

/// A mark of more digits is a date, not a number.
const NUMBER_DIGITS_MAX: usize = 5;

/// What the names of compressed files end in.
const COMPRESSED: [&str; 8] = [".gz", ".bz2", ".xz", ".zst", ".lz4", ".lzma", ".zip", ".Z"];

/// Whether a file that is called so is compressed.
#[must_use]
pub fn is_compressed(name: &str) -> bool {
    COMPRESSED.iter().any(|ending| name.ends_with(ending))
}

/// Whether `candidate` is what rotation calls a file that was called `name`: a number or date behind it (`app.log.1`, `app.log-20261121`), or
/// before its extension (`app-20261121.log`, `app.1.log`).
#[must_use]
pub fn is_rotation_of(name: &str, candidate: &str) -> bool {
    let is_mark = |mark: &str| {
        let plain = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '_' | ':' | 'T' | 'Z');
        mark.starts_with(['.', '-', '_']) && mark.contains(|c: char| c.is_ascii_digit()) && mark.chars().all(plain)
    };
    if candidate.strip_prefix(name).is_some_and(is_mark) {
        return true;
    }
    let Some((stem, _)) = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()) else {
        return false;
    };
    let middle = candidate
        .strip_prefix(stem)
        .and_then(|rest| rest.strip_suffix(&name[stem.len()..]));
    middle.is_some_and(is_mark)
}

/// Which of two names that rotation gave to files called `name` is the older file's: numbers count up with age, dates with youth. `None`: the names do not tell.
fn by_age(name: &str, one: &str, other: &str) -> Option<Ordering> {
    let mark = |candidate: &str| {
        let common = name.bytes().zip(candidate.bytes()).take_while(|(a, b)| a == b).count();
        let digits = |c: char| c.is_ascii_digit();
        let rest = candidate.get(common..).unwrap_or_default();
        let first = rest.find(digits)?;
        let last = rest.rfind(digits)?;
        Some(rest[first..=last].to_owned())
    };
    let (one, other) = (mark(one)?, mark(other)?);
    let number = |mark: &str| mark.parse::<u32>().ok().filter(|_| mark.len() <= NUMBER_DIGITS_MAX);
    match (number(&one), number(&other)) {
        (Some(one), Some(other)) => Some(other.cmp(&one)),
        (None, None) => Some(one.cmp(&other)),
        _ => None,
    }
}

/// Which of `candidates`, files beside a followed name with the names they have now, had that name after `former` and before `present`, which has it now; oldest first.
///
/// File systems tell births apart only when they lie some milliseconds from each other; of files born at once their names say which is older.
#[must_use]
pub fn missed(name: &str, former: &FileId, present: Option<&FileId>, candidates: &[(String, FileId)]) -> Vec<usize> {
    if former.born == 0 {
        return Vec::new(); // nobody knows what was before what
    }
    let former_name = candidates.iter().find(|(_, id)| id == former).map(|(name, _)| name);
    let is_after_former = |candidate: &str, id: &FileId| match id.born.cmp(&former.born) {
        Ordering::Greater => true,
        Ordering::Less => false,
        Ordering::Equal => {
            let order = former_name.and_then(|former| by_age(name, former, candidate));
            id != former && order == Some(Ordering::Less)
        }
    };
    let mut missed: Vec<usize> = (0..candidates.len())
        .filter(|number| {
            let (candidate, id) = &candidates[*number];
            id.device == former.device
                && is_rotation_of(name, candidate)
                && is_after_former(candidate, id)
                && present.is_none_or(|present| id.born <= present.born && id != present)
        })
        .collect();
    missed.sort_by(|one, other| {
        let ((one_name, one), (other_name, other)) = (&candidates[*one], &candidates[*other]);
        let by_birth = one.born.cmp(&other.born);
        by_birth.then_with(|| by_age(name, one_name, other_name).unwrap_or(Ordering::Equal))
    });
    missed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(born: u64) -> FileId {
        FileId {
            device: 1,
            inode: 1000 - born,
            born,
        }
    }

    #[test]
    fn rotation_puts_a_number_or_a_date_behind_a_name_or_before_its_extension() {
        for candidate in [
            "app.log.1",
            "app.log.12",
            "app.log-20261121",
            "app.log-20261121-1763724000",
            "app.log.2026-11-21T10:04",
            "app-20261121.log",
            "app.1.log",
        ] {
            assert!(is_rotation_of("app.log", candidate), "{candidate}");
        }
        for candidate in [
            "app.log",
            "app.log.gz",
            "app.log.1.gz",
            "app.log.bak",
            "app.log~",
            "apple.log.1",
            "other.log.1",
            "app.log.",
            "app2.log",
            "app.log1",
        ] {
            assert!(!is_rotation_of("app.log", candidate), "{candidate}");
        }
        assert!(is_rotation_of("messages", "messages-20261121"));
        assert!(!is_rotation_of(".hidden", "-1.hidden"));
        assert!(is_compressed("app.log.1.gz") && !is_compressed("app.log.1"));
    }

    #[test]
    fn what_had_the_name_between_two_looks_is_missed_oldest_first() {
        let files: Vec<(String, FileId)> = [
            ("app.log.1", 30),
            ("app.log.2", 20),
            ("app.log.3", 10),
            ("app.log.4", 5),
            ("other.log", 25),
        ]
        .map(|(name, born)| (name.to_owned(), id(born)))
        .to_vec();
        assert_eq!(missed("app.log", &id(10), Some(&id(40)), &files), [1, 0]);
        assert_eq!(missed("app.log", &id(10), Some(&id(25)), &files), [1]);
        assert_eq!(missed("app.log", &id(10), None, &files), [1, 0]);
        assert!(missed("app.log", &id(30), Some(&id(40)), &files).is_empty());
        assert!(missed("app.log", &id(7), Some(&id(9)), &files).is_empty());
        let without_birth = FileId { born: 0, ..id(10) };
        assert!(missed("app.log", &without_birth, Some(&id(40)), &files).is_empty());
    }

    #[test]
    fn of_files_born_at_once_the_names_tell_which_is_older() {
        let born_at_once = |names: &[&str]| -> Vec<(String, FileId)> {
            let file = |(number, name): (usize, &&str)| {
                (
                    (*name).to_owned(),
                    FileId {
                        inode: number as u64,
                        ..id(10)
                    },
                )
            };
            names.iter().enumerate().map(file).collect()
        };
        let present = FileId { inode: 99, ..id(10) };
        for names in [
            ["app.log.10", "app.log.9", "app.log.2", "app.log.1"],
            ["app.4.log", "app.3.log", "app.2.log", "app.1.log"],
            [
                "app.log-20261119",
                "app.log-20261120",
                "app.log-20261121",
                "app.log-20261121-1",
            ],
            [
                "app-20261119.log",
                "app-20261120.log",
                "app-20261121.log",
                "app-20261122.log",
            ],
        ] {
            let files = born_at_once(&names);
            for former in 0..4 {
                let expected: Vec<usize> = (former + 1..4).collect();
                assert_eq!(
                    missed("app.log", &files[former].1, Some(&present), &files),
                    expected,
                    "{names:?}"
                );
            }
            let mut mixed = files.clone();
            mixed.reverse();
            assert_eq!(
                missed("app.log", &id(9), Some(&present), &mixed),
                [3, 2, 1, 0],
                "{names:?}"
            );
            // Nobody knows where the former one is.
            assert!(missed("app.log", &FileId { inode: 50, ..id(10) }, Some(&present), &files).is_empty());
        }
    }
}
