//! Routes: in which order the spools of a group are shipped to a destination. Decisions only, no IO.
//!
//! A group's runs may have spooled into several directories, in turn. What they spooled is one order of records, cut into *legs*: a leg is what consecutive
//! runs put into one spool. A destination gets them one after the other, because a later leg may go on with streams of an earlier one. The last
//! leg is that of the spool that is appended to, and has no end.

use uuid::Uuid;

/// A part of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leg {
    /// The spool.
    pub spool: Uuid,
    /// The last run whose segments are part of it; `None` for the leg that has no end.
    pub up_to: Option<u64>,
}

/// The legs to `current`, the spool that is appended to. `runs` are the earlier runs of the group, oldest first, as spool and number; those of
/// spools that are not in `here` are passed over.
#[must_use]
pub fn legs(runs: &[(Uuid, u64)], here: &[Uuid], current: Uuid) -> Vec<Leg> {
    let mut legs: Vec<Leg> = Vec::new();
    for (spool, run) in runs
        .iter()
        .filter(|(spool, _)| *spool == current || here.contains(spool))
    {
        match legs.last_mut() {
            Some(last) if last.spool == *spool => last.up_to = last.up_to.max(Some(*run)),
            _ => legs.push(Leg {
                spool: *spool,
                up_to: Some(*run),
            }),
        }
    }
    if legs.last().is_some_and(|last| last.spool == current) {
        legs.pop();
    }
    // What runs spooled that the database does not know goes with the last leg of their spool.
    for spool in here {
        if let Some(last) = legs.iter_mut().rev().find(|leg| leg.spool == *spool) {
            last.up_to = Some(u64::MAX);
        }
    }
    legs.push(Leg {
        spool: current,
        up_to: None,
    });
    legs
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Uuid = Uuid::from_u128(1);
    const B: Uuid = Uuid::from_u128(2);
    const C: Uuid = Uuid::from_u128(3);

    fn route(runs: &[(Uuid, u64)], here: &[Uuid], current: Uuid) -> Vec<(Uuid, Option<u64>)> {
        let legs = legs(runs, here, current).into_iter();
        legs.map(|leg| (leg.spool, leg.up_to)).collect()
    }

    #[test]
    fn one_spool_is_one_leg_without_end() {
        assert_eq!(route(&[], &[], A), [(A, None)]);
        assert_eq!(route(&[(A, 1), (A, 2)], &[], A), [(A, None)]);
    }

    #[test]
    fn spools_that_were_used_in_turn_are_shipped_in_turn() {
        let runs = [(A, 1), (A, 2), (B, 1), (A, 3), (C, 1)];
        let expected = [(A, Some(2)), (B, Some(u64::MAX)), (A, Some(u64::MAX)), (C, None)];
        assert_eq!(route(&runs, &[A, B], C), expected);
        assert_eq!(
            route(&runs[..3], &[B], A),
            [(A, Some(2)), (B, Some(u64::MAX)), (A, None)]
        );
    }

    #[test]
    fn a_spool_that_is_not_here_parts_nothing() {
        assert_eq!(route(&[(A, 1), (B, 1), (A, 2)], &[], A), [(A, None)]);
    }
}
