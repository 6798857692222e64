//! Whom a destination names: a receiver of ours, one of the original system, or one of either kind, which is found out.
//!
//! Our HELLO would be read as a length by an original receiver, so it never goes to a peer that may be one. Whoever is asked begins as an original sender does, with a
//! comment in the gzip header of its init, which an original passes over. Only a receiver of ours answers it with another byte, and both go on in our protocol.
//!
//! What is found out is held only as long as a connection: each next one asks again, in the words of whom it was before. So a host may be given to another kind of
//! receiver at any time. To an original that was asked on a connection without records, that connection is one of a program that logged nothing.

use super::classic::Went;
use super::routes::Plan;
use super::shipper::Call;
use crate::modes::supervise::Post;
use std::sync::Arc;
use std::time::Duration;

/// What destinations begin with that are receivers of the original.
const ORIGINAL: &str = "hobbes://";

/// What destinations begin with that may be either.
const EITHER: &str = "either://";

/// A receiver that turns into the other kind again and again is not asked more often.
const PAUSE: Duration = Duration::from_millis(100);

/// Whom a destination names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A receiver of ours.
    Ours,
    /// A receiver of the original.
    Original,
    /// One of them.
    Either,
}

/// Whom `destination` names.
#[must_use]
pub fn of(destination: &str) -> Peer {
    if destination.starts_with(ORIGINAL) {
        Peer::Original
    } else if destination.starts_with(EITHER) {
        Peer::Either
    } else {
        Peer::Ours
    }
}

/// `HOST:PORT` of `destination`.
#[must_use]
pub fn address_of(destination: &str) -> &str {
    let prefixes = [ORIGINAL, EITHER];
    let mut addresses = prefixes.iter().filter_map(|prefix| destination.strip_prefix(prefix));
    addresses.next().unwrap_or(destination)
}

/// Ships to whoever is there, until all is brought or it is time to stop.
///
/// # Errors
/// When a context cannot be made, or what is on its way cannot be read from the disk.
pub(super) fn ship_to_either(plan: &Plan, post: &Post, call: &Arc<Call>) -> Result<(), String> {
    while !post.stop.is_set() {
        let route = plan.route(post, call);
        route.run()?;
        if !route.met_an_original() || plan.ship_to_original(post)? == Went::Over {
            break;
        }
        let _ = post.stop.wait(PAUSE);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_front_says_whom_a_destination_names() {
        assert_eq!((of("a:1"), address_of("a:1")), (Peer::Ours, "a:1"));
        assert_eq!(
            (of("hobbes://a:1"), address_of("hobbes://a:1")),
            (Peer::Original, "a:1")
        );
        assert_eq!((of("either://a:1"), address_of("either://a:1")), (Peer::Either, "a:1"));
    }
}
