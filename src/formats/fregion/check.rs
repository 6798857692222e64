//! A reader for tests, which sees a file as the original's readers do: from the table of pages to the environment, from there to root cells,
//! chains and slots. Only how a slot becomes a payload again is taken from hog's layouts.
#![allow(clippy::unwrap_used)]

use super::stored::{Layout, Shape, Stored, slots_at};
use hog_ring::statement::Definition;
use std::collections::BTreeMap;

/// A record as a reader finds it: name of its series and payload.
pub(crate) type Found = (String, Vec<u8>);

/// A file at one moment.
pub(crate) struct File<'f>(pub(crate) &'f [u8]);

impl File<'_> {
    fn u64(&self, at: u64) -> u64 {
        u64::from_le_bytes(self.bytes(at, 8).try_into().unwrap())
    }

    /// A number of values that the file may hold.
    fn count(&self, at: u64) -> u64 {
        let count = self.u64(at);
        assert!(count <= self.0.len() as u64, "{count} values at {at}");
        count
    }

    fn bytes(&self, at: u64, length: u64) -> &[u8] {
        &self.0[usize::try_from(at).unwrap()..][..usize::try_from(length).unwrap()]
    }

    /// The entries of all pages.
    fn pages(&self) -> Vec<u16> {
        let (mut table, mut at, mut entries) = (0, 8, Vec::new());
        loop {
            let end = (table + 1) * 4096 - 8;
            while at < end {
                match u16::from_le_bytes(self.bytes(at, 2).try_into().unwrap()) {
                    0 => {
                        assert!(entries.len() * 4096 <= self.0.len(), "pages beyond the end");
                        return entries;
                    }
                    entry => entries.push(entry),
                }
                at += 2;
            }
            table = self.u64(end);
            assert!(table != 0, "a full table page that names no next one");
            at = table * 4096;
        }
    }

    /// Where the named values are.
    pub(crate) fn bindings(&self) -> BTreeMap<String, (u64, Vec<u8>)> {
        let entries = self.pages();
        let (mut page, mut bindings) = (0, BTreeMap::new());
        while page < entries.len() {
            if entries[page] >> 14 != 2 {
                page += 1;
                continue;
            }
            let mut at = page as u64 * 4096;
            loop {
                let length = self.u64(at + 8);
                let name = String::from_utf8(self.bytes(at + 16, length).to_vec()).unwrap();
                let ty = self.bytes(at + 24 + length, self.u64(at + 16 + length));
                bindings.insert(name, (self.u64(at), ty.to_vec()));
                at += 24 + length + ty.len() as u64;
                page = usize::try_from((at - 1) / 4096).unwrap();
                if at == (page as u64 + 1) * 4096 - u64::from(entries[page] & 0x3fff) {
                    break;
                }
            }
            page += 1;
        }
        bindings
    }

    /// The slots of a series, oldest first: newest batches come first in its chain.
    fn slots(&self, root: u64, size: u64, align: u64, batch_records: u64) -> Vec<u64> {
        let (mut node, mut batches) = (self.u64(root), Vec::new());
        while self.u64(node) & 0xffff_ffff == 1 {
            batches.push(self.u64(node + 8));
            node = self.u64(node + 16);
        }
        let mut slots = Vec::new();
        let newest = batches.first().copied();
        for batch in batches.into_iter().rev() {
            let count = self.count(batch);
            assert!(count == batch_records || Some(batch) == newest && count < batch_records);
            slots.extend((0..count).map(|number| batch + slots_at(align) + number * size));
        }
        slots
    }

    /// All transactions, with their times; of a log each record alone, at 0. `statements` are those of the file, in the order of their series.
    pub(crate) fn transactions(&self, statements: &[Definition]) -> Vec<(i64, Vec<Found>)> {
        let bindings = self.bindings();
        let order = bindings.get("transactions").or(bindings.get("log")).unwrap().0;
        let rows = self.slots(order, 16, 8, 10_000);
        let is_log = bindings.contains_key("log");
        let names: Vec<&String> = bindings
            .keys()
            .filter(|name| !name.starts_with('.') && !["log", "transactions", "statements"].contains(&name.as_str()))
            .collect();
        let layouts: Vec<Layout> = statements
            .iter()
            .map(|statement| Stored::of(&statement.payload_type).unwrap().layout)
            .collect();
        let series: Vec<Vec<u64>> = names
            .iter()
            .zip(&layouts)
            .map(|(name, layout)| self.slots(bindings[*name].0, layout.size, layout.align, layout.batch_records()))
            .collect();
        let mut turns = vec![0; series.len()];
        let mut found = |at: u64| {
            let id = usize::try_from(self.u64(at)).unwrap();
            let slot = self.u64(at + 8);
            assert_eq!(series[id][turns[id]], slot, "a record at its turn in its series");
            turns[id] += 1;
            let mut payload = Vec::new();
            self.unpack(&layouts[id], slot, &mut payload);
            (names[id].clone(), payload)
        };
        let mut transactions = Vec::new();
        for row in rows {
            if is_log {
                transactions.push((0, vec![found(row)]));
                continue;
            }
            let (micros, entries) = (self.u64(row).cast_signed(), self.u64(row + 8));
            let count = self.count(entries);
            let records = (0..count).map(|number| found(entries + 8 + 16 * number)).collect();
            transactions.push((micros, records));
        }
        transactions
    }

    /// Appends the payload that was stored at `at`.
    fn unpack(&self, layout: &Layout, at: u64, out: &mut Vec<u8>) {
        match &layout.shape {
            Shape::Bytes => out.extend_from_slice(self.bytes(at, layout.size)),
            Shape::FixedArray { element, length } if element.size > 0 => {
                (0..*length).for_each(|number| self.unpack(element, at + number * element.size, out));
            }
            Shape::FixedArray { .. } => {}
            Shape::Record(members) => {
                for member in members {
                    self.unpack(&member.layout, at + member.offset, out);
                }
            }
            Shape::Variant { payload_at, cases } => {
                let id = u32::from_le_bytes(self.bytes(at, 4).try_into().unwrap());
                let position = cases.iter().position(|(known, _)| *known == id).unwrap();
                out.extend_from_slice(&u32::try_from(position).unwrap().to_le_bytes());
                self.unpack(&cases[position].1, at + payload_at, out);
            }
            Shape::Array(element) => {
                let array = self.u64(at);
                let count = self.u64(array);
                assert_eq!(array % 8, 0);
                assert!(
                    count == 0 || (array + 8).is_multiple_of(element.align),
                    "elements are aligned"
                );
                out.extend_from_slice(&count.to_le_bytes());
                if element.size > 0 {
                    (0..self.count(array))
                        .for_each(|number| self.unpack(element, array + 8 + number * element.size, out));
                }
            }
            Shape::Reference(_) => panic!("no payload has one"),
        }
    }
}
