//! What a process asks of the kernel for itself.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the number of files that may be open to what the operator allows at all: rings, segments and connections each take some, and the default
/// is meant for programs that use select(2).
pub fn raise_open_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: maximum,
                maximum,
            },
        ); // then the old limit stands
    }
}
