//! From a payload to the bytes of a `.log` file: the parts at their places, what lies between them zeros, arrays put into the heap.
//!
//! A payload comes from a producer that nobody vouches for. It is judged while it is stored: each read is checked against what is left, it must be used up wholly,
//! and what a hostile type could multiply is bounded, the number of parts visited and the bytes that a record becomes. When it is no value of its type,
//! nothing of it remains.

use super::geometry::in_memory;
use super::heap::{FileFull, Heap};
use super::stored::{Layout, Member, Shape};
use thiserror::Error;

/// Most bytes that one record becomes, with all that it refers to.
pub const RECORD_BYTES_MAX: u64 = 256 << 20;

/// Parts visited for each byte of a payload, and so many more.
const VISITS_EACH: u64 = 256;
const VISITS_FREE: u64 = 1 << 20;

/// Why a payload was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StoreError {
    /// It ends within the value.
    #[error("a payload cut short: {needed} bytes expected at offset {offset}, {found} found")]
    Truncated {
        /// Where they were expected.
        offset: usize,
        /// How many were expected.
        needed: u64,
        /// How many there are.
        found: usize,
    },
    /// It goes on after the value.
    #[error("{found} bytes after the end of a payload's value")]
    Trailing {
        /// How many.
        found: usize,
    },
    /// A variant's number is none of its cases.
    #[error("case {found} at offset {offset} of a variant with {cases} cases")]
    NoSuchCase {
        /// Where the number stands.
        offset: usize,
        /// The number.
        found: u32,
        /// How many cases there are.
        cases: usize,
    },
    /// It has too many parts for its length.
    #[error("too many values for a payload of {payload} bytes")]
    TooMany {
        /// Its length.
        payload: usize,
    },
    /// It would become too long.
    #[error("a record that becomes more than {RECORD_BYTES_MAX} bytes")]
    TooLong,
    /// The file cannot hold it.
    #[error(transparent)]
    Full(#[from] FileFull),
}

/// Stores `payload`, a value of layout `layout`, into `slot`, which has the layout's size and is zero, and the heap. The references point to `empty` for arrays without
/// elements.
///
/// # Errors
/// [`StoreError`]; slot and heap may hold parts of it then, and whoever calls goes back to where they were.
pub fn store(layout: &Layout, payload: &[u8], slot: &mut [u8], heap: &mut Heap, empty: u64) -> Result<(), StoreError> {
    let mut storing = Storing {
        payload,
        offset: 0,
        visits: VISITS_FREE + VISITS_EACH * payload.len() as u64,
        room: RECORD_BYTES_MAX,
        slot,
        heap,
        empty,
    };
    storing.value(layout, Place::Slot(0))?;
    match payload.len() - storing.offset {
        0 => Ok(()),
        found => Err(StoreError::Trailing { found }),
    }
}

/// Where a value goes.
#[derive(Clone, Copy)]
enum Place {
    /// Into the slot, at this offset.
    Slot(u64),
    /// Into the heap, to this place in the file.
    Heap(u64),
}

impl Place {
    fn behind(self, offset: u64) -> Self {
        match self {
            Self::Slot(at) => Self::Slot(at + offset),
            Self::Heap(at) => Self::Heap(at + offset),
        }
    }
}

struct Storing<'a> {
    payload: &'a [u8],
    offset: usize,
    /// Parts that may still be visited.
    visits: u64,
    /// Bytes that may still be put into the heap.
    room: u64,
    slot: &'a mut [u8],
    heap: &'a mut Heap,
    empty: u64,
}

impl Storing<'_> {
    fn value(&mut self, layout: &Layout, place: Place) -> Result<(), StoreError> {
        self.visits = self.visits.checked_sub(1).ok_or(StoreError::TooMany {
            payload: self.payload.len(),
        })?;
        if layout.is_flat {
            return self.copy(layout.size, place);
        }
        match &layout.shape {
            Shape::Bytes => self.copy(layout.size, place),
            Shape::FixedArray { element, length } => self.elements(element, *length, place),
            Shape::Record(members) => {
                for Member { offset, layout } in members {
                    self.value(layout, place.behind(*offset))?;
                }
                Ok(())
            }
            Shape::Variant { payload_at, cases } => self.variant(*payload_at, cases, place),
            Shape::Array(element) => self.array(element, place),
            // No payload has one.
            Shape::Reference(_) => Err(StoreError::TooLong),
        }
    }

    fn elements(&mut self, element: &Layout, count: u64, place: Place) -> Result<(), StoreError> {
        if element.size == 0 {
            return Ok(()); // then a payload has no bytes of them either
        }
        for number in 0..count {
            self.value(element, place.behind(number * element.size))?;
        }
        Ok(())
    }

    fn variant(&mut self, payload_at: u64, cases: &[(u32, Layout)], place: Place) -> Result<(), StoreError> {
        let offset = self.offset;
        let found = u32::from_le_bytes(self.array_of()?);
        let Some((id, case)) = cases.get(found as usize) else {
            let cases = cases.len();
            return Err(StoreError::NoSuchCase { offset, found, cases });
        };
        self.put(place, &id.to_le_bytes());
        self.value(case, place.behind(payload_at))
    }

    fn array(&mut self, element: &Layout, place: Place) -> Result<(), StoreError> {
        let count = u64::from_le_bytes(self.array_of()?);
        if count == 0 {
            self.put(place, &self.empty.to_le_bytes());
            return Ok(());
        }
        let length = self.length_of(element, count)?;
        let at = self.heap.array(count, length, element.align)?;
        self.put(place, &at.to_le_bytes());
        if element.is_flat {
            return self.copy(length, Place::Heap(at + 8));
        }
        self.elements(element, count, Place::Heap(at + 8))
    }

    /// How long so many elements are. Each that takes room has a byte of the payload at least, so a count that the payload cannot hold takes none.
    fn length_of(&mut self, element: &Layout, count: u64) -> Result<u64, StoreError> {
        if element.size == 0 {
            return Ok(0);
        }
        let (needed, found) = (count, self.payload.len() - self.offset);
        if found as u64 <= needed.saturating_sub(1) {
            let offset = self.offset;
            return Err(StoreError::Truncated { offset, needed, found });
        }
        let length = count.saturating_mul(element.size);
        self.room = self.room.checked_sub(length).ok_or(StoreError::TooLong)?;
        Ok(length)
    }

    /// Copies bytes that are stored as they come.
    fn copy(&mut self, length: u64, place: Place) -> Result<(), StoreError> {
        let bytes = self.take(length)?;
        match place {
            Place::Slot(at) => self.slot[in_memory(at)..][..bytes.len()].copy_from_slice(bytes),
            Place::Heap(at) => self.heap.put(at, bytes),
        }
        Ok(())
    }

    fn put(&mut self, place: Place, bytes: &[u8]) {
        match place {
            Place::Slot(at) => self.slot[in_memory(at)..][..bytes.len()].copy_from_slice(bytes),
            Place::Heap(at) => self.heap.put(at, bytes),
        }
    }

    fn array_of<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }
}

impl<'a> Storing<'a> {
    fn take(&mut self, needed: u64) -> Result<&'a [u8], StoreError> {
        let payload: &'a [u8] = self.payload;
        let left = &payload[self.offset..];
        let taken = usize::try_from(needed).ok().and_then(|needed| left.get(..needed));
        let taken = taken.ok_or(StoreError::Truncated {
            offset: self.offset,
            needed,
            found: left.len(),
        })?;
        self.offset += taken.len();
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::fregion::stored::Stored;
    use hog_ring::types::Type;

    const HEAP_AT: u64 = 0x1000;
    const EMPTY: u64 = 0x10;

    /// Slot and heap of a payload.
    fn stored(ty: &Type, payload: &[u8]) -> Result<(Vec<u8>, Vec<u8>), StoreError> {
        let layout = Stored::of(ty).unwrap().layout;
        let mut slot = vec![0; in_memory(layout.size)];
        let mut heap = Heap::new(HEAP_AT);
        store(&layout, payload, &mut slot, &mut heap, EMPTY)?;
        let heap = heap.into_writes().pop().map_or_else(Vec::new, |write| write.bytes);
        Ok((slot, heap))
    }

    fn long(number: u64) -> [u8; 8] {
        number.to_le_bytes()
    }

    #[test]
    fn parts_are_put_where_they_belong_and_the_rest_is_zero() {
        let ty = Type::tuple([Type::char(), Type::text(), Type::short(), Type::text()]);
        let payload = [b"c", &long(2)[..], b"ab", &[7, 0], &long(0)].concat();
        let (slot, heap) = stored(&ty, &payload).unwrap();
        assert_eq!(
            slot,
            [&b"c\0\0\0\0\0\0\0"[..], &long(HEAP_AT), &long(7), &long(EMPTY)].concat()
        );
        assert_eq!(heap, [&long(2)[..], b"ab"].concat());
    }

    #[test]
    fn arrays_of_arrays_lie_behind_what_refers_to_them() {
        let ty = Type::array(Type::text());
        let payload = [long(2).as_slice(), &long(1), b"x", &long(3), b"yyy"].concat();
        let (slot, heap) = stored(&ty, &payload).unwrap();
        assert_eq!(slot, long(HEAP_AT));
        let (first, second) = (HEAP_AT + 24, HEAP_AT + 40);
        let expected = [
            &long(2)[..],
            &long(first),
            &long(second),
            &long(1),
            b"x\0\0\0\0\0\0\0",
            &long(3),
            b"yyy",
        ];
        assert_eq!(heap, expected.concat());
    }

    #[test]
    fn a_case_is_stored_by_its_id_behind_which_its_value_is_aligned() {
        let mut ty = Type::variant([("a", Type::unit()), ("b", Type::long())]);
        if let Type::Variant(cases) = &mut ty {
            cases[1].id = 9;
        }
        let (slot, _) = stored(&ty, &[&[1, 0, 0, 0], &long(5)[..]].concat()).unwrap();
        assert_eq!(slot, [&[9, 0, 0, 0, 0, 0, 0, 0], &long(5)[..]].concat());
        let (slot, _) = stored(&ty, &[0; 4]).unwrap();
        assert_eq!(slot, [0; 16]);
        assert!(matches!(
            stored(&ty, &[2, 0, 0, 0]),
            Err(StoreError::NoSuchCase { found: 2, .. })
        ));
    }

    #[test]
    fn values_without_bytes_cost_nothing_however_many_there_are() {
        let (slot, heap) = stored(&Type::array(Type::unit()), &long(u64::MAX)).unwrap();
        assert_eq!((slot, heap), (long(HEAP_AT).to_vec(), long(u64::MAX).to_vec()));
        assert!(stored(&Type::fixed_array(Type::unit(), u64::MAX), &[]).is_ok());
    }

    #[test]
    fn what_is_no_value_of_its_type_or_grows_beyond_bounds_is_refused() {
        let text = Type::text();
        assert!(matches!(stored(&text, &long(1)), Err(StoreError::Truncated { .. })));
        assert!(matches!(
            stored(&text, &long(u64::MAX)),
            Err(StoreError::Truncated { .. })
        ));
        assert_eq!(stored(&Type::unit(), b"x"), Err(StoreError::Trailing { found: 1 }));
        // Each of 40 bytes of payload stands for a megabyte.
        let wide = Type::sum([Type::unit(), Type::fixed_array(Type::char(), 32 << 20)]);
        let payload = [&long(10)[..], &[0; 40]].concat();
        assert_eq!(stored(&Type::array(wide), &payload), Err(StoreError::TooLong));
    }
}
