//! What is added to a file in one go: records into the slots of their series, and rows that say in which order they came.
//!
//! [`Commit`] gathers, [`Commit::finish`] says what is to be written, in which order, and how far the file is written then. Nothing that a reader can
//! reach is changed before the state is stored: slots behind the count of a batch, new batches, nodes and strings are out of its sight.
//! After it come the counts of the statements' series, then those of the order, so that a reader who looks at the order first never misses a record.

use super::fresh::{Contents, NODE_BYTES, Order};
use super::geometry::{DATA_ENTRY, PAGE_BYTES, PAGES_MAX, Write, enter_pages, in_memory, pages_for};
use super::heap::{FileFull, Heap, Mark};
use super::state::{Series, State};
use super::store::{self, StoreError};
use super::stored::{BATCH_RECORDS, LOG_ELEMENT_BYTES, TRANSACTION_BYTES, slots_at};

/// From this length on a file takes no more commits, in bytes. What lies between this and the length that a file can have is for one commit, however unlucky.
pub const FILE_BYTES_FULL: u64 = 4 << 30;

/// A record that was put into its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its statement.
    pub statement: u32,
    /// Where its slot is.
    pub slot: u64,
}

/// Additions to a file.
#[derive(Clone, Debug)]
pub struct Commit<'c> {
    contents: &'c Contents,
    before: State,
    heap: Heap,
    series: Vec<Growing>,
}

/// A series that is added to.
#[derive(Clone, Debug)]
struct Growing {
    now: Series,
    /// Slots of one batch or several, each behind the other in the file.
    slots: Vec<Write>,
    /// New batches that were filled: their counts belong to what readers do not see yet.
    full: Vec<u64>,
    batch_records: u64,
    slot_bytes: u64,
    align: u64,
    /// Its newest batch was made by this commit.
    is_new: bool,
}

/// What is to be done, in this order.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The file is to be made so long, in bytes.
    pub length: u64,
    /// Then these are to be written, in this order: entries of new pages, strings, slots.
    pub unseen: Vec<Write>,
    /// Then this is to be stored.
    pub state: State,
}

impl<'c> Commit<'c> {
    /// Additions to a file of which `state` says how far it is written.
    #[must_use]
    pub fn new(contents: &'c Contents, state: State) -> Self {
        let of_order = match contents.order {
            Order::Log => LOG_ELEMENT_BYTES,
            Order::Transactions => TRANSACTION_BYTES,
        };
        let extents = contents.layouts.iter();
        let extents = extents.map(|layout| (layout.batch_records(), layout.size, layout.align));
        let series = extents
            .chain([(BATCH_RECORDS, of_order, 8)])
            .zip(&state.series)
            .map(|((batch_records, slot_bytes, align), series)| Growing {
                now: Series { filled: 0, ..*series },
                slots: Vec::new(),
                full: Vec::new(),
                batch_records,
                slot_bytes,
                align,
                is_new: false,
            })
            .collect();
        Self {
            contents,
            heap: Heap::new(state.end),
            before: state,
            series,
        }
    }

    /// Bytes that are gathered so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let slots = self.series.iter().flat_map(|series| &series.slots);
        self.heap.len() + slots.map(|slots| slots.bytes.len()).sum::<usize>()
    }

    /// Puts a record into the series of its statement, a place in [`Contents::statements`].
    ///
    /// # Errors
    /// [`StoreError`]; nothing of it remains.
    pub fn record(&mut self, statement: usize, payload: &[u8]) -> Result<Stored, StoreError> {
        let (heap, series) = (&mut self.heap, &mut self.series[statement]);
        let (slot, place) = series.open_slot(heap)?;
        let mark: Mark = heap.mark();
        let layout = &self.contents.layouts[statement];
        let bytes = series
            .slots
            .last_mut()
            .map_or(&mut [][..], |slots| &mut slots.bytes[place..]);
        match store::store(layout, payload, bytes, heap, self.contents.empty_at) {
            Ok(()) => {
                series.now.count += 1;
                Ok(Stored {
                    statement: u32::try_from(statement).unwrap_or(u32::MAX), // as many do not fit into a file
                    slot,
                })
            }
            Err(error) => {
                heap.go_back(mark);
                if let Some(slots) = series.slots.last_mut() {
                    slots.bytes.truncate(place);
                }
                Err(error)
            }
        }
    }

    /// Says that these records came, in this order, in one transaction, at that time in microseconds.
    ///
    /// # Errors
    /// [`FileFull`]; the commit is of no use then.
    pub fn transaction(&mut self, micros: i64, records: &[Stored]) -> Result<(), FileFull> {
        match self.contents.order {
            Order::Log => records.iter().try_for_each(|record| self.order(&entry(record))),
            Order::Transactions => {
                let length = records.len() as u64 * LOG_ELEMENT_BYTES;
                let entries = self.heap.array(records.len() as u64, length, 8)?;
                for (place, record) in (0..).zip(records) {
                    self.heap.put(entries + 8 + LOG_ELEMENT_BYTES * place, &entry(record));
                }
                let mut row = [0; 16];
                row[..8].copy_from_slice(&micros.to_le_bytes());
                row[8..].copy_from_slice(&entries.to_le_bytes());
                self.order(&row)
            }
        }
    }

    /// Adds an element to the order.
    fn order(&mut self, element: &[u8; 16]) -> Result<(), FileFull> {
        let Some(series) = self.series.last_mut() else {
            return Ok(());
        };
        let (_, place) = series.open_slot(&mut self.heap)?;
        if let Some(slots) = series.slots.last_mut() {
            slots.bytes[place..].copy_from_slice(element);
        }
        series.now.count += 1;
        Ok(())
    }

    /// What is to be done; from then on everything below `progress` is in the file.
    ///
    /// # Errors
    /// [`FileFull`].
    pub fn finish(self, progress: Vec<u8>) -> Result<Finished, FileFull> {
        let Self {
            mut heap,
            series,
            before,
            ..
        } = self;
        let mut state = State {
            number: before.number + 1,
            progress,
            series: series.iter().map(|series| series.now).collect(),
            ..before
        };
        state.make_room(&mut heap)?;
        state.end = heap.end();
        state.pages = pages_for(state.end).max(before.pages).min(PAGES_MAX);
        let mut unseen = enter_pages(before.pages, state.pages, |_| DATA_ENTRY);
        // The zeros between strings may reach over small batches, so slots come after them.
        unseen.extend(heap.into_writes());
        for Growing {
            full, batch_records, ..
        } in &series
        {
            unseen.extend(full.iter().map(|batch| count_write(*batch, *batch_records)));
        }
        for series in series {
            if series.is_new {
                unseen.push(count_write(series.now.batch, series.now.count));
            }
            unseen.extend(series.slots);
        }
        Ok(Finished {
            length: state.pages * PAGE_BYTES,
            unseen,
            state,
        })
    }
}

impl Growing {
    /// Room for a record: where its slot is, and where among the bytes of the last slots. It is taken once it is counted.
    fn open_slot(&mut self, heap: &mut Heap) -> Result<(u64, usize), FileFull> {
        if self.now.batch == 0 || self.now.count == self.batch_records {
            self.begin_batch(heap)?;
        }
        let slot = self.now.batch + slots_at(self.align) + self.now.count * self.slot_bytes;
        let follows = |slots: &Write| slots.at + slots.bytes.len() as u64 == slot;
        if !self.slots.last().is_some_and(follows) {
            self.slots.push(Write {
                at: slot,
                bytes: Vec::new(),
            });
        }
        let mut place = 0;
        if let Some(slots) = self.slots.last_mut() {
            place = slots.bytes.len();
            slots.bytes.resize(place + in_memory(self.slot_bytes), 0);
        }
        Ok((slot, place))
    }

    /// A new batch, before all others in the chain, as the original has it.
    fn begin_batch(&mut self, heap: &mut Heap) -> Result<(), FileFull> {
        let length = slots_at(self.align) + self.batch_records * self.slot_bytes;
        let mark = heap.mark();
        let batch = heap.reserve(length, self.align.max(8))?;
        let mut node = [0; in_memory(NODE_BYTES)];
        node[..8].copy_from_slice(&1u64.to_le_bytes());
        node[8..16].copy_from_slice(&batch.to_le_bytes());
        node[16..].copy_from_slice(&self.now.node.to_le_bytes());
        let node = heap.push(&node, 8).inspect_err(|_| heap.go_back(mark))?;
        if self.now.batch != 0 {
            if self.is_new {
                self.full.push(self.now.batch);
            } else {
                self.now.filled = self.now.batch;
            }
        }
        self.is_new = true;
        self.now = Series {
            node,
            batch,
            count: 0,
            ..self.now
        };
        Ok(())
    }
}

/// Number and place of a record.
fn entry(record: &Stored) -> [u8; 16] {
    let mut entry = [0; 16];
    entry[..4].copy_from_slice(&record.statement.to_le_bytes());
    entry[8..].copy_from_slice(&record.slot.to_le_bytes());
    entry
}

fn count_write(batch: u64, count: u64) -> Write {
    Write {
        at: batch,
        bytes: count.to_le_bytes().to_vec(),
    }
}

/// What lets readers find all that `state` speaks of, in this order: of each series the counts, then the root cell; the order is the last series. Of what they
/// find already, `before`, nothing is written; without that everything is, as it may or may not have been.
#[must_use]
pub fn reveal(contents: &Contents, before: Option<&State>, state: &State) -> Vec<Write> {
    let mut writes = Vec::new();
    for (place, series) in state.series.iter().enumerate() {
        let known = before.and_then(|before| before.series.get(place));
        if known.is_some_and(|known| (known.batch, known.count) == (series.batch, series.count)) {
            continue;
        }
        let batch_records = contents
            .layouts
            .get(place)
            .map_or(BATCH_RECORDS, super::stored::Layout::batch_records);
        if series.filled != 0 {
            writes.push(count_write(series.filled, batch_records));
        }
        if series.batch != 0 {
            writes.push(count_write(series.batch, series.count));
        }
        writes.push(Write {
            at: contents.roots_at + 8 * place as u64,
            bytes: series.node.to_le_bytes().to_vec(),
        });
    }
    writes
}
