//! Completions for bash, zsh and fish, named as these shells look for them.

use clap::CommandFactory;
use clap_complete::{Shell, generate};
use hog::cli::Cli;
use std::collections::BTreeMap;

/// Every script by the name of its file.
#[must_use]
pub fn scripts() -> BTreeMap<&'static str, String> {
    [
        ("hog.bash", Shell::Bash),
        ("_hog", Shell::Zsh),
        ("hog.fish", Shell::Fish),
    ]
    .into_iter()
    .map(|(name, shell)| (name, script(shell)))
    .collect()
}

fn script(shell: Shell) -> String {
    let mut bytes = Vec::new();
    generate(shell, &mut Cli::command(), "hog", &mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_end().to_owned() + "\n"
}
