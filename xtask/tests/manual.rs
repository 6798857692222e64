//! The generated files in `man/` and `scripts/completions/` are what their sources say; a page or completion that says something else
//! is a bug. They are also shown to the programs that they are for, as far as these are installed.

#![allow(clippy::unwrap_used)] // a test: what fails is to be seen where it fails

use clap::CommandFactory;
use hog::cli::Cli;
use hog::exit::ExitStatus;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use xtask::generated::{self, Files};
use xtask::surroundings::{ALL_MODES, ENVIRONMENT, FILES};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn pages() -> Vec<(PathBuf, String)> {
    let files = Files::rendered(&root()).unwrap().0;
    files.into_iter().filter(|(path, _)| path.starts_with("man")).collect()
}

#[test]
fn the_manual_and_the_completions_are_what_their_sources_say() {
    let differences = Files::found(&root())
        .unwrap()
        .differences(&Files::rendered(&root()).unwrap());
    assert!(
        differences.is_empty(),
        "`cargo xtask manual` writes them anew:\n{}",
        differences.join("\n")
    );
}

#[test]
fn writing_removes_what_is_stale_and_leaves_nothing_to_do() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("man")).unwrap();
    fs::write(directory.path().join("man/hog-gone.1"), "gone").unwrap();
    let files = Files::rendered(&root()).unwrap();
    assert_eq!(generated::write(directory.path(), &files).unwrap(), files.0.len() + 1);
    assert_eq!(Files::found(directory.path()).unwrap(), files);
    assert_eq!(generated::write(directory.path(), &files).unwrap(), 0);
}

#[test]
fn every_mode_has_a_page_that_tells_every_exit_status() {
    let pages = pages();
    let modes = Cli::command();
    let names = modes
        .get_subcommands()
        .map(|mode| format!("man/hog-{}.1", mode.get_name()));
    for name in names.chain(["man/hog.1".to_owned()]) {
        let (_, page) = pages
            .iter()
            .find(|(path, _)| *path == Path::new(&name))
            .unwrap_or_else(|| panic!("{name} is missing"));
        let (_, statuses) = page
            .split_once(".SH \"EXIT STATUS\"\n")
            .unwrap_or_else(|| panic!("{name} has no EXIT STATUS"));
        for status in ExitStatus::ALL {
            assert!(
                statuses.contains(&format!("\\fB{}\\fR\n", status as u8)),
                "{name} does not tell of {status:?}"
            );
        }
    }
}

#[test]
fn files_and_variables_name_modes_that_there_are() {
    let command = Cli::command();
    let modes: BTreeSet<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    assert_eq!(
        modes,
        ALL_MODES.iter().copied().collect(),
        "modes of the command line (left) and of surroundings.rs"
    );
    for entry in FILES.iter().chain(ENVIRONMENT) {
        assert!(
            !entry.modes.is_empty() && entry.modes.iter().all(|mode| modes.contains(mode)),
            "{entry:?}"
        );
    }
}

#[test]
fn every_variable_that_the_sources_ask_for_is_in_the_manual() {
    let mut asked = BTreeSet::new();
    for directory in ["src", "ring/src", "hogstat/src"] {
        each_source(&root().join(directory), &mut |text| {
            for (_, rest) in text
                .match_indices("env::var")
                .map(|(at, found)| text.split_at(at + found.len()))
            {
                let argument = rest.trim_start_matches("_os").strip_prefix("(\"");
                asked.extend(argument.and_then(|rest| rest.split('"').next()).map(str::to_owned));
            }
        });
    }
    assert!(
        asked.contains("HOBBES_STORE_DIR"),
        "the search finds nothing any more: {asked:?}"
    );
    for of_tests in ["HOG_MUTANT", "HOG_PROVOKE", "HOG_EVERY_BIT", "HOG_LOOM_RECORDS"] {
        asked.remove(of_tests); // no program that is released asks for it
    }
    for name in asked {
        assert!(
            ENVIRONMENT.iter().any(|entry| entry.name == name),
            "{name} is not in xtask/src/surroundings.rs"
        );
    }
}

fn each_source(directory: &Path, look: &mut dyn FnMut(&str)) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            each_source(&path, look);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            look(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn man_shows_every_page_without_a_warning() {
    for (name, _) in pages() {
        let Some(shown) = man(&name) else { return };
        assert_eq!(String::from_utf8_lossy(&shown.stderr), "", "{}", name.display());
    }
}

#[test]
fn mandoc_finds_no_fault_in_a_page() {
    for (name, _) in pages() {
        let Some(linted) = output(
            Command::new("mandoc")
                .args(["-T", "lint", "-W", "warning"])
                .arg(root().join(&name)),
        ) else {
            return;
        };
        let words = String::from_utf8_lossy(&linted.stdout).into_owned();
        // A page without a date is the same whenever it is made.
        let faults: Vec<&str> = words.lines().filter(|line| !line.contains("missing date")).collect();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}

#[test]
fn the_page_of_the_formats_shows_every_word_of_its_source() {
    let Some(shown) = man(Path::new("man/hog-formats.5")) else {
        return;
    };
    let shown = String::from_utf8_lossy(&shown.stdout).to_lowercase();
    let source = fs::read_to_string(root().join("docs/FORMATS.md"))
        .unwrap()
        .to_lowercase();
    let words = |text: &str| -> BTreeSet<String> {
        text.split(|c: char| !c.is_ascii_alphanumeric())
            .map(str::to_owned)
            .collect()
    };
    let (shown, wanted) = (words(&shown), words(&source));
    let missing: Vec<&String> = wanted.difference(&shown).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn bash_completes_modes_and_flags() {
    let script = root().join("scripts/completions/hog.bash");
    let ask = |words: &str, at: usize| {
        let program = format!(
            "source '{}' && complete -p hog >/dev/null && COMP_WORDS=({words}) COMP_CWORD={at} && _hog hog \"${{COMP_WORDS[{at}]}}\" x; echo \"${{COMPREPLY[@]}}\"",
            script.display()
        );
        output(Command::new("bash").args(["--norc", "-c", &program]))
    };
    let (Some(mode), Some(flag)) = (ask("hog batchs", 1), ask("hog batchsend --drain", 2)) else {
        return;
    };
    assert_eq!(said(&mode), "batchsend\n");
    assert_eq!(said(&flag), "--drain-and-exit\n");
}

#[test]
fn zsh_loads_its_completion() {
    let program = format!(
        "fpath=('{}' $fpath); autoload -Uz compinit; compinit -u -D; print ${{_comps[hog]}}; autoload +X _hog",
        root().join("scripts/completions").display()
    );
    let Some(loaded) = output(Command::new("zsh").args(["-f", "-c", &program])) else {
        return;
    };
    assert_eq!(said(&loaded), "_hog\n");
}

#[test]
fn fish_completes_modes_and_flags() {
    let program = format!(
        "source '{}'; complete -C 'hog batchs'; complete -C 'hog batchsend --drain'",
        root().join("scripts/completions/hog.fish").display()
    );
    let home = tempfile::tempdir().unwrap(); // fish writes there
    let Some(loaded) = output(
        Command::new("fish")
            .env("HOME", home.path())
            .args(["--no-config", "-c", &program]),
    ) else {
        return;
    };
    let words = said(&loaded);
    let completed: Vec<&str> = words.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(completed, ["batchsend", "--drain-and-exit"]);
}

/// What `man` makes of a page, on lines long enough that few words are broken.
fn man(page: &Path) -> Option<Output> {
    let mut command = Command::new("man");
    command
        .args(["--local-file", "--warnings", "--no-hyphenation"])
        .arg(root().join(page));
    let shown = output(
        command
            .env("MANWIDTH", "200")
            .env("LC_ALL", "C.UTF-8")
            .env("MANPAGER", "cat"),
    )?;
    if String::from_utf8_lossy(&shown.stdout).contains("NAME") {
        Some(shown)
    } else {
        eprintln!("skipped: `man` does not show pages here");
        None
    }
}

/// What a program says; none, with a word on stderr, where it is not installed.
fn output(command: &mut Command) -> Option<Output> {
    match command.output() {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("skipped: {}: {error}", command.get_program().display());
            None
        }
    }
}

/// The standard output of a run that went well and had nothing on standard error.
fn said(output: &Output) -> String {
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}
