//! A record as one line of JSON: the contract in docs/JSON.md.
//!
//! Lines are put together by hand, because a value is JSON text already when it comes: a serializer would have to parse it
//! again. Tests read what is printed into structures that know no other fields.

use crate::formats::value::{self, ValueError};
use crate::modes::archive_reader::{Record, StreamInfo};
use crate::os::clock;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hog_ring::statement::flags;
use std::io::{self, Write};

const NS_PER_SECOND: u64 = 1_000_000_000;

/// Makes lines.
#[derive(Default)]
pub(in crate::modes) struct JsonLines {
    /// A record's text before it goes into the line.
    text: Vec<u8>,
    times: Times,
}

impl JsonLines {
    /// Appends the line of a record to `line`, which is empty. When the payload is no value of its type, value and text are
    /// null.
    pub(in crate::modes) fn write(
        &mut self,
        stream: &StreamInfo,
        record: &Record<'_>,
        line: &mut Vec<u8>,
    ) -> io::Result<Result<(), ValueError>> {
        let Record {
            position,
            transaction,
            time,
            definition,
            payload,
            ..
        } = *record;
        // Names of groups, uuids and times need no escapes.
        write!(
            line,
            r#"{{"group":"{}","stream":"{}","position":{position},"time":"#,
            stream.group, stream.id
        )?;
        match time {
            Some(ns) => self.times.write(ns, line)?,
            None => line.extend_from_slice(b"null"),
        }
        if let Some(transaction) = transaction {
            write!(line, r#","transaction":{transaction}"#)?;
        }
        line.extend_from_slice(br#","statement":"#);
        serde_json::to_writer(&mut *line, &definition.name)?;
        line.extend_from_slice(br#","value":"#);
        let written = self.value_and_text(record, line);
        if written.is_err() {
            line.extend_from_slice(br#"null,"text":null"#);
        }
        if definition.flags & flags::CONTINUED != 0 {
            line.extend_from_slice(br#","continued":true"#);
        }
        if !matches!(written, Ok(true)) {
            write!(line, r#","bytes":"{}""#, STANDARD.encode(payload))?;
        }
        line.extend_from_slice(b"}\n");
        Ok(written.map(drop))
    }

    /// Appends the value and the member `text` to the line; says whether they hold all of the payload. On an error the
    /// line is as before.
    fn value_and_text(&mut self, record: &Record<'_>, line: &mut Vec<u8>) -> Result<bool, ValueError> {
        let before = line.len();
        let outcome = value::to_json(&record.definition.payload_type, record.payload, line)?;
        self.text.clear();
        value::format_text(record.definition, record.payload, &mut self.text).inspect_err(|_| line.truncate(before))?;
        line.extend_from_slice(br#","text":"#);
        value::quote(&self.text, line);
        Ok(!outcome.invalid_utf8)
    }
}

/// Times as RFC 3339 in UTC with nanoseconds, as [`clock::rfc3339`] makes them. Most records come within the second of the one before.
#[derive(Default)]
struct Times {
    /// A second, and how it is written up to its point.
    last: Option<(u64, String)>,
}

impl Times {
    fn write(&mut self, ns: u64, line: &mut Vec<u8>) -> io::Result<()> {
        let (second, part) = (ns / NS_PER_SECOND, ns % NS_PER_SECOND);
        if self.last.as_ref().is_none_or(|(last, _)| *last != second) {
            let whole = clock::rfc3339(second * NS_PER_SECOND);
            let Some((written, _)) = whole.split_once('.') else {
                return write!(line, r#""{}""#, clock::rfc3339(ns)); // beyond what has a date
            };
            self.last = Some((second, written.to_owned()));
        }
        let written = self.last.as_ref().map_or("", |(_, written)| written);
        write!(line, r#""{written}.{part:09}Z""#)
    }
}
