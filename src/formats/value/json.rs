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
        self.put(b"\"");
        for chunk in text.utf8_chunks() {
            self.escaped(chunk.valid().as_bytes());
            if !chunk.invalid().is_empty() {
                self.invalid_utf8 = true;
                self.put("\u{FFFD}".as_bytes());
            }
        }
        self.put(b"\"");
    }

    /// Copies runs of what stands for itself whole.
    fn escaped(&mut self, mut text: &[u8]) {
        while let Some(position) = text.iter().position(|byte| matches!(byte, 0..0x20 | b'"' | b'\\')) {
            self.put(&text[..position]);
            match text[position] {
                b'"' => self.put(br#"\""#),
                b'\\' => self.put(br"\\"),
                b'\n' => self.put(br"\n"),
                b'\r' => self.put(br"\r"),
                b'\t' => self.put(br"\t"),
                control => self.display(format_args!("\\u{control:04x}")),
            }
            text = &text[position + 1..];
        }
        self.put(text);
    }

    fn is_bare(&self) -> bool {
        self.bare && self.open == 0
    }
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
