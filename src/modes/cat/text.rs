//! A record as one line for people: time, group, statement, and the format string filled in.
//!
//! Whatever a record holds, it is one line of text and nothing else: control characters, bytes that are not UTF-8, and
//! characters that end lines or turn the direction of writing are escaped, so that a log can neither forge a second line
//! nor drive the terminal it is shown on. Backslashes stay as they are, so this cannot be undone; JSON is for programs.

use crate::formats::value;
use crate::modes::archive_reader::{Record, StreamInfo};
use anstyle::{AnsiColor, Style};
use jiff::tz::TimeZone;
use std::io::{self, Write};

const TIME: Style = Style::new().dimmed();
const GROUP: Style = AnsiColor::Cyan.on_default();
const STATEMENT: Style = Style::new().bold();

const NS_PER_SECOND: u64 = 1_000_000_000;

/// Makes lines.
pub(super) struct TextLines {
    colours: bool,
    times: LocalTimes,
    /// A record's text before it is escaped.
    text: Vec<u8>,
}

impl TextLines {
    /// Lines with times of `zone`.
    pub(super) fn new(colours: bool, zone: TimeZone) -> Self {
        Self {
            colours,
            times: LocalTimes::new(zone),
            text: Vec::new(),
        }
    }

    /// Appends the line of a record to `line`. When the payload is no value of its type, the line says so, and so does the
    /// error.
    pub(super) fn write(
        &mut self,
        stream: &StreamInfo,
        record: &Record<'_>,
        line: &mut Vec<u8>,
    ) -> Result<(), value::ValueError> {
        let Record {
            time,
            drained,
            definition,
            payload,
            ..
        } = *record;
        self.styled(TIME, line, |this, line| match (time, drained) {
            (Some(time), _) => this.times.write(time, line),
            (None, 0) => line.push(b'-'),
            (None, drained) => {
                line.push(b'~');
                this.times.write(drained, line);
            }
        });
        line.push(b' ');
        self.styled(GROUP, line, |_, line| line.extend_from_slice(stream.group.as_bytes()));
        line.push(b' ');
        let name = if definition.name.is_empty() {
            "-"
        } else {
            &definition.name
        };
        self.styled(STATEMENT, line, |_, line| escape(name.as_bytes(), line));
        line.push(b' ');
        self.text.clear();
        let written = value::format_text(definition, payload, &mut self.text);
        match written {
            Ok(()) => escape(&self.text, line),
            Err(_) => put(line, format_args!("({} bytes that are no value)", payload.len())),
        }
        line.push(b'\n');
        written
    }

    fn styled(&mut self, style: Style, line: &mut Vec<u8>, write: impl FnOnce(&mut Self, &mut Vec<u8>)) {
        if !self.colours {
            return write(self, line);
        }
        put(line, format_args!("{style}"));
        write(self, line);
        put(line, format_args!("{style:#}"));
    }
}

/// Times as RFC 3339 in local time with microseconds. Most records come within the second of the one before.
struct LocalTimes {
    zone: TimeZone,
    second: Option<u64>,
    date_and_time: String,
    offset: String,
}

impl LocalTimes {
    fn new(zone: TimeZone) -> Self {
        Self {
            zone,
            second: None,
            date_and_time: String::new(),
            offset: String::new(),
        }
    }

    fn write(&mut self, ns: u64, line: &mut Vec<u8>) {
        let second = ns / NS_PER_SECOND;
        if self.second != Some(second) {
            let since = jiff::SignedDuration::from_nanos_i128(i128::from(ns));
            let Ok(time) = jiff::Timestamp::from_duration(since) else {
                return put(line, format_args!("{ns}"));
            };
            let local = time.to_zoned(self.zone.clone());
            self.date_and_time = local.strftime("%Y-%m-%dT%H:%M:%S").to_string();
            self.offset = local.strftime("%:z").to_string();
            self.second = Some(second);
        }
        let micros = ns % NS_PER_SECOND / 1000;
        put(line, format_args!("{}.{micros:06}{}", self.date_and_time, self.offset));
    }
}

/// Appends `text` in printable characters alone.
fn escape(text: &[u8], line: &mut Vec<u8>) {
    let is_plain = |byte: &u8| matches!(byte, 0x20..0x7f);
    if text.iter().all(is_plain) {
        return line.extend_from_slice(text);
    }
    for chunk in text.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(at) = rest.find(must_be_escaped) {
            line.extend_from_slice(&rest.as_bytes()[..at]);
            let mut characters = rest[at..].chars();
            if let Some(character) = characters.next() {
                // As in Rust: \n, \t, \u{1b}.
                put(line, format_args!("{}", character.escape_default()));
            }
            rest = characters.as_str();
        }
        line.extend_from_slice(rest.as_bytes());
        for byte in chunk.invalid() {
            put(line, format_args!("\\x{byte:02x}"));
        }
    }
}

fn must_be_escaped(character: char) -> bool {
    character.is_control()
        || matches!(character,
            // End lines, mark or turn the direction of writing.
            '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Writing to memory cannot fail.
fn put(line: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    let _: io::Result<()> = line.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::Offset;
    use proptest::prelude::*;

    fn escaped(text: &[u8]) -> String {
        let mut line = Vec::new();
        escape(text, &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn what_could_drive_a_terminal_is_escaped_and_the_rest_stays() {
        assert_eq!(escaped(b"plain \\n \"text\""), "plain \\n \"text\"");
        assert_eq!(escaped("größer 日本 🐗".as_bytes()), "größer 日本 🐗");
        assert_eq!(escaped(b"a\r\nb\tc\0"), "a\\r\\nb\\tc\\u{0}");
        assert_eq!(
            escaped(b"\x1b[31mred\x1b[0m\x07\x7f"),
            "\\u{1b}[31mred\\u{1b}[0m\\u{7}\\u{7f}"
        );
        assert_eq!(
            escaped("\u{9b}31m\u{202e}x\u{2028}".as_bytes()),
            "\\u{9b}31m\\u{202e}x\\u{2028}"
        );
        assert_eq!(escaped(b"a\xffb\xe2\x82"), "a\\xffb\\xe2\\x82");
    }

    #[test]
    fn times_are_local_with_microseconds() {
        let mut times = LocalTimes::new(TimeZone::fixed(Offset::constant(-3)));
        let mut line = Vec::new();
        for ns in [1_700_000_000_000_001_999, 1_700_000_000_999_999_999, 0, u64::MAX] {
            times.write(ns, &mut line);
            line.push(b' ');
        }
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "2023-11-14T19:13:20.000001-03:00 2023-11-14T19:13:20.999999-03:00 1969-12-31T21:00:00.000000-03:00 \
             2554-07-21T20:34:33.709551-03:00 "
        );
    }

    proptest! {
        #[test]
        fn whatever_is_escaped_is_one_printable_line(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(!escaped(&text).contains(must_be_escaped));
        }
    }
}
