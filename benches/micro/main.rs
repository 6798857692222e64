//! Single steps, each alone and in a warm cache: `just micro [FILTER]`.
//!
//! They show what a change to one function did. What hog takes as a whole, and beside what the machine could do, is the other benchmark's to say
//! (`benches/pipeline`). Only what the crates offer to all is called here.

mod formats;
mod ring;
mod spool;

fn main() {
    divan::main();
}
