//! The manual pages: one for hog, one for each mode, and `hog-formats` of section 5.

use crate::markdown::{self, Unsupported};
use crate::surroundings::{ALL_MODES, ENVIRONMENT, Entry, FILES};
use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use hog::cli::Cli;
use hog::exit::ExitStatus;
use std::collections::BTreeMap;

/// Defines the apostrophe. Each section of `clap_mangen` comes with it; a page needs it once.
const PREAMBLE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

/// The page of the formats, without its section.
const FORMATS: &str = "hog-formats";

/// Every page of section 1, by the name of its file.
#[must_use]
pub fn of_modes() -> BTreeMap<String, String> {
    let mut hog = Cli::command().disable_help_subcommand(true);
    hog.build(); // gives the modes their full names and the global flags
    let modes: Vec<Command> = hog
        .get_subcommands()
        .filter(|mode| !mode.is_hide_set())
        .cloned()
        .collect();
    let commands: Vec<Command> = std::iter::once(hog)
        .chain(modes)
        .chain([hog::cli::classic_command()])
        .collect();
    let names: Vec<String> = commands.iter().map(page_name).collect();
    commands
        .iter()
        .map(|command| (format!("{}.1", page_name(command)), of_mode(command, &names)))
        .collect()
}

/// The page of the formats, from the text of `docs/FORMATS.md`.
///
/// # Errors
/// The text has something that a manual page cannot show.
pub fn of_formats(source: &str) -> Result<String, Unsupported> {
    let mut name = section("NAME");
    name.text([roman(format!(
        "{FORMATS} - every byte that hog writes to shared memory, to disk and to sockets"
    ))]);
    name.control("SH", ["DESCRIPTION"]);
    let body = markdown::to_roff(source)?.to_roff().replacen(".PP\n", "", 1); // the section has just begun
    let mut others = section("SEE ALSO");
    others.text([bold("hog"), roman("(1)")]);
    // `tbl` is asked for by the first line.
    Ok(ascii(&format!(
        "'\\\" t\n{}{}{body}{}",
        title(FORMATS, 5),
        name.to_roff(),
        others.to_roff()
    )))
}

fn page_name(command: &Command) -> String {
    command.get_display_name().unwrap_or(command.get_name()).to_owned()
}

fn of_mode(command: &Command, names: &[String]) -> String {
    let name = page_name(command);
    let usage = command.clone().render_usage().to_string();
    let synopsis = usage.trim_start_matches("Usage:").trim().to_owned();
    let man = Man::new(command.clone().override_usage(synopsis));
    let mut bytes = Vec::new();
    // Writing to memory does not fail.
    let _ = man
        .render_name_section(&mut bytes)
        .and_then(|()| man.render_synopsis_section(&mut bytes))
        .and_then(|()| man.render_description_section(&mut bytes))
        .and_then(|()| man.render_options_section(&mut bytes))
        .and_then(|()| {
            if command.has_subcommands() {
                man.render_subcommands_section(&mut bytes)
            } else {
                Ok(())
            }
        });
    let sections = String::from_utf8_lossy(&bytes)
        .replace(PREAMBLE, "")
        .replace("\n\n", "\n.IP\n");
    let mode = command.get_name();
    let mut page = title(&name, 1) + &sections;
    page.push_str(&exit_statuses().to_roff());
    page.push_str(&listed("FILES", FILES, mode).to_roff());
    page.push_str(&listed("ENVIRONMENT", ENVIRONMENT, mode).to_roff());
    page.push_str(&see_also(&name, names).to_roff());
    ascii(&page)
}

/// The title line. It is written here because `Man` does not quote an empty date, which shifts all behind it.
fn title(name: &str, number: u8) -> String {
    let manual = if number == 1 { "User Commands" } else { "File Formats" };
    format!(
        "{PREAMBLE}.TH {name} {number} \"\" \"hog {}\" \"{manual}\"\n",
        env!("CARGO_PKG_VERSION")
    )
}

fn section(heading: &str) -> Roff {
    let mut roff = Roff::default();
    roff.control("SH", [heading]);
    roff
}

fn exit_statuses() -> Roff {
    let mut roff = section("EXIT STATUS");
    for status in ExitStatus::ALL {
        roff.control("TP", ["4"]);
        roff.text([bold((status as u8).to_string())]);
        roff.text([roman(status.meaning())]);
    }
    roff
}

/// The entries that matter to `mode`; all, on the page of hog itself.
fn listed(heading: &str, entries: &[Entry], mode: &str) -> Roff {
    let is_mode = ALL_MODES.contains(&mode);
    let mut roff = Roff::default();
    for entry in entries.iter().filter(|entry| !is_mode || entry.modes.contains(&mode)) {
        roff.control("TP", ["4"]);
        roff.text([bold(entry.name)]);
        roff.text(markdown::inline(entry.words));
    }
    if roff.to_roff().is_empty() {
        roff
    } else {
        [section(heading), roff].into_iter().collect()
    }
}

fn see_also(own: &str, names: &[String]) -> Roff {
    let mut roff = section("SEE ALSO");
    for name in names.iter().filter(|name| *name != own) {
        roff.text([bold(name.as_str()), roman("(1),")]);
    }
    roff.text([bold(FORMATS), roman("(5)")]);
    roff
}

/// `page` with every character outside ASCII as an escape, so that it shows alike whatever reads it.
fn ascii(page: &str) -> String {
    let escaped = |character: char| {
        if character.is_ascii() {
            character.to_string()
        } else {
            format!("\\[u{:04X}]", u32::from(character))
        }
    };
    page.chars().map(escaped).collect()
}
