//! The README as what is typed from it.

use clap::Parser;
use hog::cli::Cli;
use std::process::Command;

const README: &str = include_str!("../../README.md");

/// A fenced block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// What follows the fence: `sh`, `text`, `c`, or `rust` with its attributes.
    pub(crate) language: &'static str,
    pub(crate) text: &'static str,
}

/// The blocks of the section that is called so, in order; without a name, of all.
pub(crate) fn blocks(section: Option<&str>) -> Vec<Block> {
    let text = match section {
        None => README,
        Some(name) => {
            let (_, rest) = README.split_once(&format!("\n## {name}\n")).unwrap();
            rest.split_once("\n## ").map_or(rest, |(section, _)| section)
        }
    };
    let fenced = text.split("\n```").skip(1).step_by(2);
    fenced
        .map(|block| {
            let (language, text) = block.split_once('\n').unwrap();
            Block { language, text }
        })
        .collect()
}

/// The words of `line` from `hog ` on, as a shell reads them.
fn command_line(line: &str) -> Option<Vec<String>> {
    let is_begin = |at: &usize| {
        ["", "sudo ", "| "]
            .iter()
            .any(|before| line[..*at].ends_with(before) && (*at == 0 || !before.is_empty()))
    };
    let at = line.match_indices("hog ").map(|(at, _)| at).find(is_begin)?;
    let printed = Command::new("sh")
        .args([
            "-c",
            &format!("hog() {{ printf '%s\\0' hog \"$@\"; }}\n{}", &line[at..]),
        ])
        .output()
        .unwrap();
    let words = String::from_utf8(printed.stdout).unwrap();
    Some(words.split_terminator('\0').map(str::to_owned).collect())
}

#[test]
fn every_command_of_the_readme_is_one_that_hog_understands() {
    let mut understood = 0;
    for block in blocks(None).iter().filter(|block| block.language == "sh") {
        for line in block.text.lines() {
            let Some(words) = command_line(line) else { continue };
            match Cli::try_parse_from(&words) {
                Ok(_) => understood += 1,
                Err(error) => panic!("{line}: {error}"),
            }
        }
    }
    assert!(understood >= 15, "only {understood} were found");
}
