//! Statements, as a C program defines them: once for each call site.

use crate::outcome::{Outcome, call};
use crate::pointer::{self, Place};
use crate::value::{hog_field, type_of};
use hog_ring::RuntimeStatement;
use hog_ring::payload::type_of_arguments;
use hog_ring::statement::{Definition, flags};
use std::ffi::{CStr, c_char, c_int};

/// For the flags of a statement: its records are meant to be read as text, by the format.
pub const HOG_HLOG: u64 = 1;

const _: () = assert!(HOG_HLOG == flags::HLOG);

/// A call site that logs. Any number of threads may use one at the same time.
pub struct hog_statement {
    pub(crate) statement: RuntimeStatement,
    /// The kind of each field, in order.
    pub(crate) kinds: Box<[u32]>,
}

/// Defines a statement. Do it once for each call site, and keep it: a statement that is freed leaves its number behind.
///
/// In `format`, $0, $1 and so on stand for the fields in order, $name for a named one, $$ for a dollar sign. `flags` is
/// HOG_HLOG or 0. `file` may be NULL. If the call fails, `*out` is NULL. The macro HOG_STATEMENT fills in what the compiler knows.
///
/// # Safety
/// All texts end with NUL; `fields` points at `count` fields; `out` is where the statement's pointer goes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hog_statement_define(
    name: *const c_char,
    format: *const c_char,
    flags: u64,
    file: *const c_char,
    line: u32,
    fields: *const hog_field,
    count: usize,
    out: *mut *mut hog_statement,
) -> c_int {
    call(|| {
        // SAFETY: the function's own contract, for each of these.
        let place = unsafe { Place::at(out) }?;
        // SAFETY: as before.
        let (name, format) = unsafe { (pointer::text(name, "name")?, pointer::text(format, "format")?) };
        // SAFETY: as before. File names need not be UTF-8.
        let file = unsafe { file.as_ref().map(|file| CStr::from_ptr(file).to_string_lossy()) };
        // SAFETY: as before.
        let fields = unsafe { pointer::items(fields, count, "fields") }?;
        let mut names = Vec::with_capacity(count);
        let mut types = Vec::with_capacity(count);
        for field in fields {
            // SAFETY: as before.
            let name = unsafe { pointer::text_or_null(field.name, "name of a field") }?;
            names.push(name.unwrap_or_default());
            types.push(type_of(field.kind)?);
        }
        let statement = RuntimeStatement::new(Definition {
            id: 0,
            name: name.to_owned(),
            flags,
            format: format.to_owned(),
            file: file.unwrap_or_default().into_owned(),
            line,
            payload_type: type_of_arguments(types, &names),
        })?;
        let kinds = fields.iter().map(|field| field.kind).collect();
        place.give(hog_statement { statement, kinds });
        Ok(())
    })
}

/// Frees a statement. What was logged by it stays readable. NULL is nothing.
///
/// # Safety
/// `statement` is NULL or came from hog_statement_define, and is used no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hog_statement_free(statement: *mut hog_statement) {
    call(|| -> Outcome {
        // SAFETY: the function's own contract.
        unsafe { pointer::take(statement) };
        Ok(())
    });
}
