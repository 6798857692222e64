//! Identities: who wrote, who owns, which file. Each is a UUID with a type of its own, so that a stream is never
//! taken for a sender.

use std::fmt;
use uuid::Uuid;

fn new_uuid() -> Uuid {
    #[cfg(feature = "simulation")]
    if let Some(uuid) = hog_ring::simulation::random_uuid() {
        return uuid;
    }
    Uuid::new_v4()
}

macro_rules! identity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The identity that means "none": sixteen zero bytes.
            pub const NIL: Self = Self(Uuid::nil());

            /// A new identity that nobody else has.
            #[must_use]
            pub fn random() -> Self {
                Self(new_uuid())
            }

            /// Its bytes, as in every format.
            #[must_use]
            pub fn bytes(&self) -> [u8; 16] {
                *self.0.as_bytes()
            }

            /// From its bytes.
            #[must_use]
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

identity!(
    /// All that one ring ever carried: the ring's uuid.
    StreamId
);
identity!(
    /// A segment log's owner: a sender's spool or a receiver's archive.
    OwnerId
);
identity!(
    /// One segment file; the salt of its frames.
    SegmentId
);
