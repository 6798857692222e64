//! From a stored value to its payload.
//!
//! A value is walked by its layout, and each part that differs from its payload in nothing is copied in one piece. What is read is bounded by the length of
//! a payload; how often parts are looked at, by a [`Budget`] for the whole file: in a file that was written by any honest program each byte belongs to one record.

use super::damage::Damage;
use super::source::{Source, append, require, u32_at, u64_at};
use super::stored::{Layout, Shape};
use hog_ring::limits::RECORD_MAX;

/// How much of a file's records is looked at, so that a short file cannot take forever: its bytes this many times over, and a little.
const BUDGET_OF_A_BYTE: u64 = 64;
const BUDGET_ANYHOW: u64 = 1 << 20;

/// What is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget(u64);

impl Budget {
    /// Of a file of so many bytes.
    #[must_use]
    pub fn of(length: u64) -> Self {
        Self(length.saturating_mul(BUDGET_OF_A_BYTE).saturating_add(BUDGET_ANYHOW))
    }

    /// More of it, for a file that was `before` bytes long and has grown to `now`.
    pub fn grow(&mut self, before: u64, now: u64) {
        let more = now.saturating_sub(before).saturating_mul(BUDGET_OF_A_BYTE);
        self.0 = self.0.saturating_add(more);
    }

    /// Takes some of it.
    ///
    /// # Errors
    /// [`Damage::Tangled`] when it is used up.
    pub fn take(&mut self, amount: u64) -> Result<(), Damage> {
        self.0 = self.0.checked_sub(amount).ok_or(Damage::Tangled)?;
        Ok(())
    }
}

/// Appends the payload of the value at `at` to `out`, which holds nothing else.
///
/// # Errors
/// [`Damage`].
pub fn payload(
    source: &mut impl Source,
    layout: &Layout,
    at: u64,
    budget: &mut Budget,
    out: &mut Vec<u8>,
) -> Result<(), Damage> {
    budget.take(1)?;
    if layout.is_flat {
        return flat(source, at, layout.size, budget, out);
    }
    match &layout.shape {
        Shape::Bytes => flat(source, at, layout.size, budget, out),
        Shape::FixedArray { element, length } => elements(source, element, *length, at, budget, out),
        Shape::Record(members) => members
            .iter()
            .try_for_each(|member| payload(source, &member.layout, at.saturating_add(member.offset), budget, out)),
        Shape::Variant { payload_at, cases } => {
            let found = u32_at(source, at)?;
            let case = (0_u32..).zip(cases).find(|(_, (id, _))| *id == found);
            let Some((position, (_, holds))) = case else {
                return Err(Damage::Case { offset: at, found });
            };
            out.extend_from_slice(&position.to_le_bytes());
            payload(source, holds, at.saturating_add(*payload_at), budget, out)
        }
        Shape::Array(element) => {
            let place = u64_at(source, at)?;
            let count = u64_at(source, place)?;
            out.extend_from_slice(&count.to_le_bytes());
            elements(source, element, count, place + 8, budget, out)
        }
        Shape::Reference(to) => {
            let place = u64_at(source, at)?;
            payload(source, to, place, budget, out)
        }
    }
}

/// So many elements, one behind the other.
fn elements(
    source: &mut impl Source,
    element: &Layout,
    count: u64,
    at: u64,
    budget: &mut Budget,
    out: &mut Vec<u8>,
) -> Result<(), Damage> {
    let length = count.saturating_mul(element.size);
    // All of them are there before the first is looked at.
    require(source, at, length)?;
    if element.is_flat || length == 0 {
        return flat(source, at, length, budget, out);
    }
    (0..count).try_for_each(|number| payload(source, element, at + number * element.size, budget, out))
}

fn flat(source: &mut impl Source, at: u64, length: u64, budget: &mut Budget, out: &mut Vec<u8>) -> Result<(), Damage> {
    if length == 0 {
        return Ok(());
    }
    budget.take(length)?;
    append(source, at, length, RECORD_MAX.saturating_sub(out.len()), out)
}
