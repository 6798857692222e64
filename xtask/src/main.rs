//! `cargo xtask manual`: writes the manual pages and the completions anew.

use std::path::Path;
use std::process::ExitCode;
use xtask::generated::{self, Files};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments != ["manual"] {
        eprintln!(
            "usage: cargo xtask manual    writes man/ and scripts/completions/ from the command line's definition"
        );
        return ExitCode::from(2);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let written = Files::rendered(&root).and_then(|files| generated::write(&root, &files));
    match written {
        Ok(changed) => {
            println!("{changed} files changed");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
