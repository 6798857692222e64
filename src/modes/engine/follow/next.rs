//! What to do next about a followed name: decisions about what was seen, without IO or clock.
//!
//! A name shows a file, now this one, now another. Whatever it shows is opened as soon as it is seen, and waits for its turn. The file that is being logged stays open, so it can be read to its end whatever became of
//! its name. When is it at its end? Whoever writes it may go on for a while after it was renamed, until told to reopen the name. So an
//! old file is left only when the name shows another one *and* the old one was silent for [`SILENT_REPLACED`]; without a successor, when
//! it was silent for [`SILENT_GONE`]. Leaving it early costs no line: what it grows after that is logged too, only behind lines of its
//! successor.

use std::time::Duration;

/// Silence after which a file whose name shows another one is taken to be complete.
pub const SILENT_REPLACED: Duration = Duration::from_secs(2);
/// Silence after which a file whose name shows nothing is taken to be complete.
pub const SILENT_GONE: Duration = Duration::from_secs(60);
/// Silence after which a deleted file that was left is closed, so that the disk can have its room.
pub const SILENT_DELETED: Duration = Duration::from_secs(60);

/// What a followed name shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// Nothing is called so.
    Nothing,
    /// Nobody can say: it may not be looked at, or is no regular file.
    Unreadable,
    /// The file that is being logged for this name.
    Ours,
    /// A file that is, or was, logged for another name.
    Others,
    /// A file that is logged for no name yet.
    New,
}

/// An open file, as it was just seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its length.
    pub length: u64,
    /// Up to where it was logged.
    pub logged: u64,
    /// Up to where it was looked through: what lies between is a line that is not finished.
    pub looked: u64,
    /// The bytes in front of these places are those that were there when they were logged or looked through.
    pub is_intact: bool,
    /// Whether some name still shows it.
    pub has_name: bool,
    /// For how long it did not change.
    pub silent: Duration,
}

/// All that is seen of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// What the name shows.
    pub shows: Shows,
    /// The file that is being logged for it.
    pub held: Option<Held>,
    /// Files wait that had the name for a while, between the one that is being logged and the one it shows.
    pub others_wait: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing, for now.
    Wait,
    /// Read what there is behind what was looked through.
    Read,
    /// The unfinished line changed: look through it again.
    LookAgain,
    /// The file was truncated, and perhaps written anew: log what was seen of its unfinished line, and begin it again.
    Rewind,
    /// Log the unfinished line, and leave the file.
    Finish,
    /// Begin the next file: the first that waits, or the one that the name shows.
    Begin,
}

/// What to do about a name.
#[must_use]
pub fn next(sight: &Sight) -> Step {
    let Some(held) = &sight.held else {
        return if sight.others_wait || sight.shows == Shows::New {
            Step::Begin
        } else {
            Step::Wait
        };
    };
    match growth(held) {
        Some(step) => step,
        None if is_complete(sight, held) => Step::Finish,
        None => Step::Wait,
    }
}

/// What to do about a file that was left: `Finish` closes it.
#[must_use]
pub fn next_late(held: &Held) -> Step {
    match growth(held) {
        // It is not the file that was left any more, and nobody asked for what it is now.
        Some(Step::Rewind) => Step::Finish,
        Some(step) => step,
        None if !held.has_name && held.silent >= SILENT_DELETED => Step::Finish,
        None => Step::Wait,
    }
}

fn growth(held: &Held) -> Option<Step> {
    let is_cut = held.length < held.logged || (held.logged == 0 && held.length < held.looked);
    if is_cut || !held.is_intact {
        Some(Step::Rewind)
    } else if held.length < held.looked {
        Some(Step::LookAgain)
    } else if held.length > held.looked {
        Some(Step::Read)
    } else {
        None
    }
}

fn is_complete(sight: &Sight, held: &Held) -> bool {
    let has_successor = sight.others_wait || matches!(sight.shows, Shows::Others | Shows::New);
    let silence = match sight.shows {
        _ if has_successor => SILENT_REPLACED,
        Shows::Nothing => SILENT_GONE,
        _ => return false,
    };
    held.silent >= silence
}

/// What is found, at the start of a run, of the file that an earlier run logged up to some place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is there, and whole up to that place.
    Sound,
    /// The file is there, but what it has before that place is not what was logged.
    Rewritten,
    /// It is not there.
    Nothing,
}

/// Where to go on at the start of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoOn {
    /// In the file that the name shows, at the place.
    AtName,
    /// In the same file under its other name, at the place; then what the name shows.
    Elsewhere,
    /// In the file that the name shows, from its beginning: it was truncated. What it had had beyond the place is lost.
    Anew,
    /// In what the name shows, from its beginning, or when it shows something. The file is gone, and what it had beyond the place.
    Lost,
}

/// Where to go on, given what is found under the name and elsewhere in its directory.
#[must_use]
pub fn go_on(at_name: Found, elsewhere: Found) -> GoOn {
    match (at_name, elsewhere) {
        (Found::Sound, _) => GoOn::AtName,
        (_, Found::Sound) => GoOn::Elsewhere,
        (Found::Rewritten, _) => GoOn::Anew,
        (Found::Nothing, Found::Rewritten | Found::Nothing) => GoOn::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of 100 bytes of which 90 are logged, and 10 looked through.
    fn held() -> Held {
        Held {
            length: 100,
            logged: 90,
            looked: 100,
            is_intact: true,
            has_name: true,
            silent: Duration::ZERO,
        }
    }

    fn step(shows: Shows, held: Option<Held>, others_wait: bool) -> Step {
        next(&Sight {
            shows,
            held,
            others_wait,
        })
    }

    const ALL: [Shows; 5] = [
        Shows::Nothing,
        Shows::Unreadable,
        Shows::Ours,
        Shows::Others,
        Shows::New,
    ];

    #[test]
    fn without_a_file_only_a_new_or_waiting_one_is_begun() {
        for shows in ALL {
            let expected = if shows == Shows::New { Step::Begin } else { Step::Wait };
            assert_eq!(step(shows, None, false), expected, "{shows:?}");
            assert_eq!(step(shows, None, true), Step::Begin, "{shows:?}");
        }
    }

    #[test]
    fn whatever_the_name_shows_a_file_that_grew_is_read_first() {
        for shows in ALL {
            let grown = Held {
                length: 101,
                silent: SILENT_GONE * 2,
                ..held()
            };
            assert_eq!(step(shows, Some(grown), true), Step::Read, "{shows:?}");
        }
    }

    #[test]
    fn a_file_is_left_only_when_it_was_replaced_or_gone_and_silent() {
        let silent = |silent| Some(Held { silent, ..held() });
        for shows in ALL {
            assert_eq!(step(shows, silent(Duration::ZERO), false), Step::Wait, "{shows:?}");
            let expected = match shows {
                Shows::Others | Shows::New => Step::Finish,
                _ => Step::Wait,
            };
            assert_eq!(step(shows, silent(SILENT_REPLACED), false), expected, "{shows:?}");
            assert_eq!(step(shows, silent(SILENT_REPLACED), true), Step::Finish, "{shows:?}");
        }
        assert_eq!(step(Shows::Nothing, silent(SILENT_GONE), false), Step::Finish);
        assert_eq!(step(Shows::Ours, silent(SILENT_GONE * 9), false), Step::Wait);
        assert_eq!(step(Shows::Unreadable, silent(SILENT_GONE * 9), false), Step::Wait);
    }

    #[test]
    fn a_truncated_file_is_begun_again_and_a_shortened_line_looked_at_again() {
        let cut = |length| Some(Held { length, ..held() });
        assert_eq!(step(Shows::Ours, cut(0), false), Step::Rewind);
        assert_eq!(step(Shows::Ours, cut(89), false), Step::Rewind);
        assert_eq!(step(Shows::Ours, cut(90), false), Step::LookAgain);
        assert_eq!(step(Shows::Ours, cut(99), false), Step::LookAgain);
        let rewritten = Held {
            length: 500,
            is_intact: false,
            ..held()
        };
        assert_eq!(step(Shows::Ours, Some(rewritten), false), Step::Rewind);
        let never_logged = Held {
            logged: 0,
            length: 99,
            ..held()
        };
        assert_eq!(step(Shows::Ours, Some(never_logged), false), Step::Rewind);
    }

    #[test]
    fn a_file_that_was_left_is_read_while_it_has_a_name_and_closed_when_it_is_deleted_or_another() {
        let deleted = Held {
            has_name: false,
            ..held()
        };
        assert_eq!(next_late(&held()), Step::Wait);
        assert_eq!(
            next_late(&Held {
                silent: SILENT_DELETED * 9,
                ..held()
            }),
            Step::Wait
        );
        assert_eq!(next_late(&Held { length: 101, ..deleted }), Step::Read);
        assert_eq!(next_late(&deleted), Step::Wait);
        assert_eq!(
            next_late(&Held {
                silent: SILENT_DELETED,
                ..deleted
            }),
            Step::Finish
        );
        assert_eq!(next_late(&Held { length: 0, ..held() }), Step::Finish);
    }

    #[test]
    fn a_run_goes_on_in_the_same_file_wherever_it_is_and_loses_only_what_is_gone() {
        use Found::{Nothing, Rewritten, Sound};
        for elsewhere in [Sound, Rewritten, Nothing] {
            assert_eq!(go_on(Sound, elsewhere), GoOn::AtName);
        }
        for at_name in [Rewritten, Nothing] {
            assert_eq!(go_on(at_name, Sound), GoOn::Elsewhere);
        }
        assert_eq!(go_on(Rewritten, Nothing), GoOn::Anew);
        assert_eq!(go_on(Nothing, Nothing), GoOn::Lost);
    }
}
