//! A file of the original's recorder. It has no CRC: whatever the bytes say is followed, within bounds, and each payload that is read must be a value of its type
//! or be of a type that has none.
//!
//! Types of such files are not like those of payloads, so a type is judged too, alone: that makes it easy to come by new ones.

use hog::formats::fregion::kind;
use hog::formats::fregion::recording::{Recording, Slots, transaction};
use hog::formats::fregion::values::Budget;
use hog::formats::value::to_json;

pub(crate) fn judge(bytes: &[u8]) {
    let _ = kind::bound(bytes);
    let _ = kind::kind(bytes);
    let mut file = bytes;
    let mut damage = Vec::new();
    let mut budget = Budget::of(bytes.len() as u64);
    let Ok(recording) = Recording::open(&mut file, &mut budget, &mut damage) else {
        return;
    };
    let mut records = Records {
        file: bytes,
        recording: &recording,
        budget,
        left: 1000,
    };
    for lane in &recording.lanes {
        let batches = lane.series.batches(&mut file, &mut damage).unwrap_or_default();
        for batch in batches {
            for number in 0..batch.count {
                if records
                    .slot(lane.slots, batch.slot(number, lane.series.stride))
                    .is_none()
                {
                    return;
                }
            }
        }
    }
}

struct Records<'b> {
    file: &'b [u8],
    recording: &'b Recording,
    budget: Budget,
    /// So many are read, or one input takes too long for a fuzzer.
    left: u32,
}

impl Records<'_> {
    /// `None` when that is enough.
    fn slot(&mut self, slots: Slots, at: u64) -> Option<()> {
        match slots {
            Slots::Log => self.entry(at),
            Slots::Records(statement) => self.record(statement, at),
            Slots::Transactions { time_at, entries_at } => {
                let found = transaction(&mut self.file, at, time_at, entries_at).ok()?;
                (0..found.count).try_for_each(|number| self.entry(found.entries + number * kind::ENTRY_BYTES))
            }
        }
    }

    fn entry(&mut self, at: u64) -> Option<()> {
        self.left = self.left.checked_sub(1)?;
        match self.recording.entry(&mut self.file, at) {
            Ok((statement, place)) => self.record(statement, place),
            Err(_) => Some(()),
        }
    }

    fn record(&mut self, statement: usize, at: u64) -> Option<()> {
        self.left = self.left.checked_sub(1)?;
        let mut payload = Vec::new();
        let read = self
            .recording
            .payload(&mut self.file, statement, at, &mut self.budget, &mut payload);
        if read.is_ok() {
            let mut json = Vec::new();
            let _ = to_json(
                &self.recording.statements[statement].definition.payload_type,
                &payload,
                &mut json,
            );
        }
        Some(())
    }
}
