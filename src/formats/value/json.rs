//! JSON text, written as a payload is walked.

use std::fmt::Display;
use std::io::Write;

use super::Outcome;
use super::walk::Sink;

/// The first microsecond of the year 0: RFC 3339 has no earlier years. (That it has no years above 9999 either, jiff
/// sees to.)
const YEAR_ZERO_MICROS: i64 = -62_167_219_200_000_000;

pub(super) struct Json<'o> {
    out: &'o mut Vec<u8>,
    /// How long `out` was before.
    start: usize,
    /// How many lists and objects are open.
    open: usize,
    /// Whether a value that is a string and nothing else goes without its quotes and escapes.
    bare: bool,
    invalid_utf8: bool,
}

impl<'o> Json<'o> {
    /// Appends JSON to `out`.
    pub(super) fn new(out: &'o mut Vec<u8>) -> Self {
        Self {
            start: out.len(),
            out,
            open: 0,
            bare: false,
            invalid_utf8: false,
        }
    }

    /// The same, but a value that is only a text is appended as it is, whether or not it is UTF-8.
    pub(super) fn bare(out: &'o mut Vec<u8>) -> Self {
        Self {
            bare: true,
            ..Self::new(out)
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        Outcome {
            invalid_utf8: self.invalid_utf8,
        }
    }

    /// Takes back all that was appended.
    pub(super) fn undo(self) {
        self.out.truncate(self.start);
    }

    fn put(&mut self, text: &[u8]) {
        self.out.extend_from_slice(text);
    }

    fn display(&mut self, value: impl Display) {
        // Writing to memory cannot fail.
        let _ = write!(self.out, "{value}");
    }

    fn comma(&mut self, first: bool) {
        if !first {
            self.put(b",");
        }
    }

    fn quoted(&mut self, text: &[u8]) {
        self.invalid_utf8 |= !quote(text, self.out);
    }

    fn is_bare(&self) -> bool {
        self.bare && self.open == 0
    }
}

/// Appends `text` as a JSON string; says whether it was UTF-8. What is not is replaced.
pub(super) fn quote(text: &[u8], out: &mut Vec<u8>) -> bool {
    out.push(b'"');
    // Its judgement of ASCII is several times as fast as going from chunk to chunk.
    let is_utf8 = std::str::from_utf8(text).is_ok();
    if is_utf8 {
        escape(text, out);
    } else {
        for chunk in text.utf8_chunks() {
            escape(chunk.valid().as_bytes(), out);
            if !chunk.invalid().is_empty() {
                out.extend_from_slice("\u{FFFD}".as_bytes());
            }
        }
    }
    out.push(b'"');
    is_utf8
}

/// Copies runs of what stands for itself whole.
fn escape(mut text: &[u8], out: &mut Vec<u8>) {
    while let Some(position) = first_to_escape(text) {
        out.extend_from_slice(&text[..position]);
        match text[position] {
            b'"' => out.extend_from_slice(br#"\""#),
            b'\\' => out.extend_from_slice(br"\\"),
            b'\n' => out.extend_from_slice(br"\n"),
            b'\r' => out.extend_from_slice(br"\r"),
            b'\t' => out.extend_from_slice(br"\t"),
            // Writing to memory cannot fail.
            control => drop(write!(out, "\\u{control:04x}")),
        }
        text = &text[position + 1..];
    }
    out.extend_from_slice(text);
}

/// Where the first byte is that does not stand for itself. Most text has none, and is looked through a block at a time, without a branch
/// for each byte, so that the compiler takes a whole block in few instructions.
fn first_to_escape(text: &[u8]) -> Option<usize> {
    const BLOCK: usize = 32;
    let is_special = |byte: &u8| (*byte < 0x20) | (*byte == b'"') | (*byte == b'\\');
    let (blocks, _) = text.as_chunks::<BLOCK>();
    let is_plain = |block: &&[u8; BLOCK]| !block.iter().fold(false, |any, byte| any | is_special(byte));
    let plain = blocks.iter().take_while(is_plain).count() * BLOCK;
    text[plain..]
        .iter()
        .position(is_special)
        .map(|position| plain + position)
}

impl Sink for Json<'_> {
    fn unit(&mut self) {
        self.put(b"null");
    }

    fn bool(&mut self, truth: bool) {
        self.put(if truth { b"true" } else { b"false" });
    }

    fn integer(&mut self, number: impl Display) {
        self.display(number);
    }

    fn float(&mut self, number: f32) {
        if number.is_finite() {
            self.display(format_args!("{number:?}"));
        } else {
            self.unit();
        }
    }

    fn double(&mut self, number: f64) {
        if number.is_finite() {
            self.display(format_args!("{number:?}"));
        } else {
            self.unit();
        }
    }

    fn text(&mut self, text: &[u8]) {
        if self.is_bare() {
            self.put(text);
        } else {
            self.quoted(text);
        }
    }

    fn datetime(&mut self, micros: i64) {
        let quote: &[u8] = if self.is_bare() { b"" } else { b"\"" };
        match jiff::Timestamp::from_microsecond(micros) {
            Ok(time) if micros >= YEAR_ZERO_MICROS => {
                self.put(quote);
                self.display(format_args!("{time:.6}"));
                self.put(quote);
            }
            _ => self.integer(micros),
        }
    }

    fn open_list(&mut self) {
        self.open += 1;
        self.put(b"[");
    }

    fn item(&mut self, first: bool) {
        self.comma(first);
    }

    fn close_list(&mut self) {
        self.open -= 1;
        self.put(b"]");
    }

    fn open_object(&mut self) {
        self.open += 1;
        self.put(b"{");
    }

    fn key(&mut self, first: bool, name: &str) {
        self.comma(first);
        self.quoted(name.as_bytes());
        self.put(b":");
    }

    fn close_object(&mut self) {
        self.open -= 1;
        self.put(b"}");
    }

    fn written(&self) -> usize {
        self.out.len() - self.start
    }
}
