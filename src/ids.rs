//! Identities: who wrote, who owns, which file. Each is a UUID with a type of its own, so that a stream is never
//! taken for a sender.

use std::fmt;
use uuid::Uuid;

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
                Self(Uuid::new_v4())
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
