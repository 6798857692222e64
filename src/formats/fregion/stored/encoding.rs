//! The types that only files have: references, series, and what `log`, `transactions` and `statements` consist of.
//!
//! A series is `fseq` applied to the type of its elements and their number in a batch. What `fseq` stands for is written out each time, as the original
//! does, though readers go by its name: a reference to a list of nodes, each with a reference to a batch.

use super::{REFERENCE_BYTES, STATEMENT_BYTES, Stored};
use bytes::BufMut;
use hog_ring::types::{Case, Field, NO_OFFSET, Type};

/// The place of something of type `to`.
#[must_use]
pub fn reference_to(to: Type) -> Type {
    let place = Type::Abstraction {
        parameters: vec!["x".to_owned()],
        body: Box::new(Type::long()),
    };
    Type::Application {
        function: Box::new(Type::alias("fileref", place)),
        arguments: vec![to],
    }
}

/// The type of the elements of `log`: a case for each statement, by name and number, which refers to a slot of its series.
#[must_use]
pub fn log_type<'s>(statements: impl IntoIterator<Item = (&'s str, u32, &'s Stored)>) -> Type {
    let case = |(name, id, stored): (&str, u32, &Stored)| Case {
        name: name.to_owned(),
        id,
        holds: reference_to(stored.ty.clone()),
    };
    Type::Variant(statements.into_iter().map(case).collect())
}

/// The type of the elements of `transactions`: a time, and entries as those of `log`, whose type is `log`.
#[must_use]
pub fn transactions_type(log: Type) -> Type {
    record([
        ("time", 0, Type::datetime()),
        ("entries", REFERENCE_BYTES, reference_to(Type::array(log))),
    ])
}

/// The type of the array `statements`.
#[must_use]
pub fn statements_type() -> Type {
    let text = || reference_to(Type::text());
    Type::array(record([
        ("name", 0, text()),
        ("flags", 8, Type::long()),
        ("display", 16, text()),
        ("file", 24, text()),
        ("line", STATEMENT_BYTES - 8, Type::long()),
    ]))
}

fn record<const N: usize>(fields: [(&str, u64, Type); N]) -> Type {
    let field = |(name, offset, holds): (&str, u64, Type)| Field {
        name: name.to_owned(),
        offset: i32::try_from(offset).unwrap_or(NO_OFFSET),
        holds,
    };
    Type::Record(fields.into_iter().map(field).collect())
}

/// The encoded type of a series of `element`, so many in a batch.
#[must_use]
pub fn series_type(element: &Type, batch_records: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_application(&mut out, put_fseq, 2, |out| {
        element.encode(out);
        Type::Number(batch_records).encode(out);
    });
    out
}

/// `fseq`, which is `\t c. fileref(^x. (() + (fileref(carray t c) * fileref x)))`.
fn put_fseq(out: &mut Vec<u8>) {
    put_generic(out, "fseq", &["t", "c"], |out| {
        put_reference(out, |out| {
            out.put_u32_le(RECURSIVE);
            put_text(out, "x");
            put_head(out, VARIANT, 2);
            put_case(out, ".f0", 0);
            Type::unit().encode(out);
            put_case(out, ".f1", 1);
            put_head(out, RECORD, 2);
            put_field(out, ".f0");
            put_reference(out, |out| put_application(out, put_carray, 2, put_t_c));
            put_field(out, ".f1");
            put_reference(out, |out| Type::Variable("x".to_owned()).encode(out));
        });
    });
}

/// `carray`, which is `\t c. {avail: long, buffer: [:t|c:]}`: a batch.
fn put_carray(out: &mut Vec<u8>) {
    put_generic(out, "carray", &["t", "c"], |out| {
        put_head(out, RECORD, 2);
        put_field(out, "avail");
        Type::long().encode(out);
        put_field(out, "buffer");
        out.put_u32_le(FIXED_ARRAY);
        put_t_c(out);
    });
}

fn put_t_c(out: &mut Vec<u8>) {
    Type::Variable("t".to_owned()).encode(out);
    Type::Variable("c".to_owned()).encode(out);
}

// Constructors that types of payloads do not have, or have in another form.
const FIXED_ARRAY: u32 = 4;
const VARIANT: u32 = 6;
const RECORD: u32 = 7;
const APPLICATION: u32 = 12;
const RECURSIVE: u32 = 13;
const ABSTRACTION: u32 = 15;

fn put_reference(out: &mut Vec<u8>, to: impl FnOnce(&mut Vec<u8>)) {
    let fileref = |out: &mut Vec<u8>| put_generic(out, "fileref", &["x"], |out| Type::long().encode(out));
    put_application(out, fileref, 1, to);
}

fn put_application(
    out: &mut Vec<u8>,
    function: impl FnOnce(&mut Vec<u8>),
    arguments: u64,
    put_arguments: impl FnOnce(&mut Vec<u8>),
) {
    out.put_u32_le(APPLICATION);
    function(out);
    out.put_u64_le(arguments);
    put_arguments(out);
}

/// A named generic type and what it stands for.
fn put_generic(out: &mut Vec<u8>, name: &str, parameters: &[&str], body: impl FnOnce(&mut Vec<u8>)) {
    out.put_u32_le(0); // a primitive
    put_text(out, name);
    out.put_u8(1); // with a representation
    put_head(out, ABSTRACTION, parameters.len() as u64);
    parameters.iter().for_each(|parameter| put_text(out, parameter));
    body(out);
}

fn put_head(out: &mut Vec<u8>, constructor: u32, parts: u64) {
    out.put_u32_le(constructor);
    out.put_u64_le(parts);
}

fn put_case(out: &mut Vec<u8>, name: &str, id: u32) {
    put_text(out, name);
    out.put_u32_le(id);
}

fn put_field(out: &mut Vec<u8>, name: &str) {
    put_text(out, name);
    out.put_i32_le(NO_OFFSET);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.put_u64_le(text.len() as u64);
    out.put_slice(text.as_bytes());
}
