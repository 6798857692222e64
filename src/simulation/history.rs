//! What programs logged, and what must therefore be in every archive.
//!
//! A program numbers its records from 0 on, over all of its runs. A record whose call returned is *certain*. Of a call that was killed, or failed, either all
//! of its records are there or none: they are *uncertain*, until the program's next run learns from its ring which (a named program, which goes on where
//! its state says), or for ever.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Instant;

/// What is known of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Its record must be there.
    Certain,
    /// It may be there, with all others of its call.
    Uncertain(u32),
    /// It may be there or not: a host lost its memory or what was not synced.
    Excused,
}

/// A run of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// The number of its first record.
    first: u64,
    began: Instant,
    /// `None`: it goes on.
    ended: Option<Instant>,
}

/// The numbers of one program.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    known: Vec<Known>,
    calls: u32,
    runs: Vec<Run>,
}

impl History {
    /// The number that the next record would have.
    pub(super) fn next(&self) -> u64 {
        self.known.len() as u64
    }

    /// A run that began then logs from now on.
    pub(super) fn runs_since(&mut self, began: Instant) {
        self.runs.push(Run {
            first: self.next(),
            began,
            ended: None,
        });
    }

    /// The present run has ended.
    pub(super) fn run_ended(&mut self, at: Instant) {
        if let Some(run) = self.runs.last_mut() {
            run.ended.get_or_insert(at);
        }
    }

    /// The run that logged `number`, unless its host lost it, or no run did.
    fn run_of(&self, number: u64) -> Option<&Run> {
        let known = self.known.get(index(number))?;
        let runs = self.runs.partition_point(|run| run.first <= number);
        self.runs[..runs].last().filter(|_| *known != Known::Excused)
    }

    /// A call is about to log `count` records.
    pub(super) fn begins(&mut self, count: u64) -> Range<u64> {
        let from = self.next();
        self.calls += 1;
        let calls = self.calls;
        self.known.extend((0..count).map(|_| Known::Uncertain(calls)));
        from..from + count
    }

    /// The call of these numbers returned.
    pub(super) fn returned(&mut self, numbers: Range<u64>) {
        self.set(numbers, Known::Certain);
    }

    /// The call of these numbers, the last ones, logged nothing, and said so.
    pub(super) fn declined(&mut self, numbers: &Range<u64>) {
        self.known.truncate(index(numbers.start));
    }

    /// The program goes on with `next`: whatever lies below is there, and nothing above.
    ///
    /// # Errors
    /// When that contradicts what was certain.
    pub(super) fn resumed(&mut self, next: u64) -> Result<(), String> {
        if next > self.next() {
            return Err(format!(
                "a ring says {next} records, and only {} were ever logged",
                self.next()
            ));
        }
        for (number, known) in self.known.iter_mut().enumerate() {
            match known {
                Known::Uncertain(_) if (number as u64) < next => *known = Known::Certain,
                Known::Certain if number as u64 >= next => {
                    return Err(format!("a ring goes on with {next}, though {number} was logged"));
                }
                _ => {}
            }
        }
        self.known.truncate(index(next));
        Ok(())
    }

    /// How many of the first numbers are excused.
    pub(super) fn excused(&self) -> u64 {
        let is_excused = |known: &&Known| **known == Known::Excused;
        self.known.iter().take_while(is_excused).count() as u64
    }

    /// The memory of the program's host is lost, or its disk: whatever was logged until now may be missing.
    pub(super) fn excuse_all(&mut self) {
        for known in &mut self.known {
            *known = Known::Excused;
        }
    }

    fn set(&mut self, numbers: Range<u64>, to: Known) {
        for number in numbers {
            if let Some(known) = self.known.get_mut(index(number)) {
                *known = to;
            }
        }
    }

    /// Whether `found`, in the order of an archive, is what must be there.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(super) fn check(&self, found: &[u64]) -> Result<(), String> {
        if let Some(pair) = found.windows(2).find(|pair| pair[0] >= pair[1]) {
            let word = if pair[0] == pair[1] { "doubled" } else { "out of order" };
            return Err(format!("{word}: {} comes after {}", pair[1], pair[0]));
        }
        let mut uncertain: BTreeMap<u32, Vec<bool>> = BTreeMap::new();
        for (number, known) in self.known.iter().enumerate() {
            let is_there = found.binary_search(&(number as u64)).is_ok();
            match known {
                Known::Certain if !is_there => return Err(format!("lost: {number}")),
                Known::Uncertain(call) => uncertain.entry(*call).or_default().push(is_there),
                _ => {}
            }
        }
        if let Some(call) = uncertain
            .iter()
            .find(|(_, there)| there.iter().any(|one| *one != there[0]))
        {
            return Err(format!("call {} is there in part: {:?}", call.0, call.1));
        }
        match found.last() {
            Some(last) if *last >= self.next() => Err(format!("never logged: {last}")),
            _ => Ok(()),
        }
    }
}

/// Whether what runs logged that ended before others began, of whichever programs, comes before what those logged. `found` has the programs and their numbers
/// in the order of an archive.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn check_order_of_runs(histories: &[&History], found: &[(usize, u64)]) -> Result<(), String> {
    let mut latest: Option<((usize, u64), Instant)> = None;
    for &(program, number) in found {
        let Some(run) = histories.get(program).and_then(|history| history.run_of(number)) else {
            continue;
        };
        if let Some(((later, later_number), began)) = latest
            && run.ended.is_some_and(|ended| ended < began)
        {
            return Err(format!(
                "out of order: {number} of program {program} comes after {later_number} of program {later}, whose run began when that run had ended"
            ));
        }
        if latest.is_none_or(|(_, began)| began < run.began) {
            latest = Some(((program, number), run.began));
        }
    }
    Ok(())
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
