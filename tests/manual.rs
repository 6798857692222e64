//! The manual in `man/` is rendered from the command line's definition and from the exit statuses; a page that says
//! something else is a bug.
//!
//! With `HOG_UPDATE_MAN` set, the pages are written instead of compared: that is what `just man` does.

#![allow(clippy::unwrap_used)] // a test: what fails is to be seen where it fails

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use hog::cli::Cli;
use hog::exit::ExitStatus;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Defines the apostrophe. Each section comes with it; a page needs it once.
const PREAMBLE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

#[test]
fn the_manual_is_what_the_command_line_says() {
    let (rendered, directory) = (pages(), directory());
    if std::env::var_os("HOG_UPDATE_MAN").is_some() {
        write_to(&directory, &rendered);
    }
    let found = pages_in(&directory);
    let names = |pages: &BTreeMap<String, String>| pages.keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        names(&found),
        names(&rendered),
        "pages in man/ (left) and as rendered: `just man` regenerates them"
    );
    for (name, page) in &rendered {
        if let Some((line, (had, wanted))) = first_difference(&found[name], page) {
            panic!("man/{name} is out of date: `just man` regenerates it\n  line {line}: {had}\n  wanted: {wanted}");
        }
    }
}

#[test]
fn every_page_tells_every_exit_status() {
    for (name, page) in pages() {
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
fn every_mode_has_a_page() {
    let pages = pages();
    for mode in Cli::command().get_subcommands() {
        assert!(
            pages.contains_key(&format!("hog-{}.1", mode.get_name())),
            "{} has no page",
            mode.get_name()
        );
    }
    assert!(pages.contains_key("hog.1"));
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("man")
}

/// Every page by the name of its file.
fn pages() -> BTreeMap<String, String> {
    let mut hog = Cli::command().disable_help_subcommand(true);
    hog.build(); // gives the modes their full names and the global flags
    let modes: Vec<Command> = hog
        .get_subcommands()
        .filter(|mode| !mode.is_hide_set())
        .cloned()
        .collect();
    let names: Vec<String> = [&hog].into_iter().chain(&modes).map(page_name).collect();
    modes
        .iter()
        .chain([&hog])
        .map(|command| (format!("{}.1", page_name(command)), page(command, &names)))
        .collect()
}

fn page_name(command: &Command) -> String {
    command.get_display_name().unwrap_or(command.get_name()).to_owned()
}

fn page(command: &Command, names: &[String]) -> String {
    let name = page_name(command);
    let man = Man::new(command.clone());
    let mut out = Vec::new();
    man.render_name_section(&mut out).unwrap();
    man.render_synopsis_section(&mut out).unwrap();
    man.render_description_section(&mut out).unwrap();
    man.render_options_section(&mut out).unwrap();
    if command.has_subcommands() {
        man.render_subcommands_section(&mut out).unwrap();
    }
    let sections = String::from_utf8(out).unwrap().replace(PREAMBLE, "");
    let (statuses, others) = (exit_statuses().to_roff(), see_also(&name, names).to_roff());
    // The title is written here because `Man` does not quote an empty date, which shifts all behind it.
    let version = command.get_version().unwrap_or_default();
    format!("{PREAMBLE}.TH {name} 1 \"\" \"hog {version}\" \"User Commands\"\n{sections}{statuses}{others}")
}

fn exit_statuses() -> Roff {
    let mut section = Roff::default();
    section.control("SH", ["EXIT STATUS"]);
    for status in ExitStatus::ALL {
        section.control("TP", ["4"]);
        section.text([bold((status as u8).to_string())]);
        section.text([roman(status.meaning())]);
    }
    section
}

fn see_also(own: &str, names: &[String]) -> Roff {
    let others: Vec<&String> = names.iter().filter(|name| *name != own).collect();
    let mut section = Roff::default();
    section.control("SH", ["SEE ALSO"]);
    for (place, name) in others.iter().enumerate() {
        let comma = if place + 1 == others.len() { "" } else { "," };
        section.text([bold(name.as_str()), roman(format!("(1){comma}"))]);
    }
    section
}

fn write_to(directory: &Path, pages: &BTreeMap<String, String>) {
    fs::create_dir_all(directory).unwrap();
    for stale in pages_in(directory).keys().filter(|name| !pages.contains_key(*name)) {
        fs::remove_file(directory.join(stale)).unwrap();
    }
    for (name, page) in pages {
        fs::write(directory.join(name), page).unwrap();
    }
}

/// The pages that `directory` holds; other files are not looked at.
fn pages_in(directory: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let pages = names.filter(|name| name.ends_with(".1"));
    pages
        .map(|name| (name.clone(), fs::read_to_string(directory.join(&name)).unwrap()))
        .collect()
}

/// The number of the first line that differs, and that line of both.
fn first_difference<'a>(one: &'a str, other: &'a str) -> Option<(usize, (&'a str, &'a str))> {
    if one == other {
        return None;
    }
    let ends = std::iter::once("(the end)");
    let lines = one.lines().chain(ends.clone()).zip(other.lines().chain(ends));
    Some(
        (1..)
            .zip(lines)
            .find(|(_, (this, that))| this != that)
            .unwrap_or((0, ("line ends", "line ends"))),
    )
}
