//! What C hands over, as references: null is answered, everything else is taken on the caller's word.
//!
//! The functions here are `unsafe` because of that word, and the only ones that turn a pointer into a reference. The
//! lifetimes they give are the caller's to choose; all callers choose that of the call they are in.

use crate::outcome::{Outcome, argument};
use std::ffi::{CStr, c_char, c_void};

/// What `pointer` points at.
///
/// # Safety
/// It is null, or points at a `T` that nobody changes during `'a`.
pub(crate) unsafe fn shared<'a, T>(pointer: *const T, what: &str) -> Outcome<&'a T> {
    // SAFETY: the caller's word; null is seen to here.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(what))
}

/// What `pointer` points at, for this call alone.
///
/// # Safety
/// It is null, or points at a `T` that nobody else uses during `'a`.
pub(crate) unsafe fn exclusive<'a, T>(pointer: *mut T, what: &str) -> Outcome<&'a mut T> {
    // SAFETY: the caller's word; null is seen to here.
    unsafe { pointer.as_mut() }.ok_or_else(|| null(what))
}

/// `count` items. Nothing is looked at when there are none, so the pointer may be null then.
///
/// # Safety
/// `pointer` is null, or points at so many `T` that nobody changes during `'a`.
pub(crate) unsafe fn items<'a, T>(pointer: *const T, count: usize, what: &str) -> Outcome<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    if pointer.is_null() {
        return Err(null(what));
    }
    if !pointer.is_aligned()
        || count
            .checked_mul(size_of::<T>())
            .is_none_or(|bytes| bytes > isize::MAX.cast_unsigned())
    {
        return Err(argument(format!("{what}: {count} items cannot stand there")));
    }
    // SAFETY: the caller's word; that it is not null, is aligned and spans no more than memory can hold was seen to here.
    Ok(unsafe { std::slice::from_raw_parts(pointer, count) })
}

/// `length` bytes.
///
/// # Safety
/// As [`items`].
pub(crate) unsafe fn bytes<'a>(pointer: *const c_void, length: usize, what: &str) -> Outcome<&'a [u8]> {
    // SAFETY: the caller's word.
    unsafe { items(pointer.cast(), length, what) }
}

/// A text that ends with NUL.
///
/// # Safety
/// `pointer` is null, or points at a text that ends with NUL and that nobody changes during `'a`.
pub(crate) unsafe fn text<'a>(pointer: *const c_char, what: &str) -> Outcome<&'a str> {
    // SAFETY: the caller's word.
    match unsafe { text_or_null(pointer, what) }? {
        Some(text) => Ok(text),
        None => Err(null(what)),
    }
}

/// As [`text`], where null stands for none.
///
/// # Safety
/// As [`text`].
pub(crate) unsafe fn text_or_null<'a>(pointer: *const c_char, what: &str) -> Outcome<Option<&'a str>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's word; null is seen to here.
    let text = unsafe { CStr::from_ptr(pointer) }.to_str();
    text.map(Some).map_err(|_| argument(format!("{what} is not UTF-8")))
}

/// Where a pointer goes that a call gives out: seen to before the call does anything, and NULL until it has succeeded.
pub(crate) struct Place<'a, T>(&'a mut *mut T);

impl<T> Place<'_, T> {
    /// # Safety
    /// `out` is null or points at a place for a pointer.
    pub(crate) unsafe fn at(out: *mut *mut T) -> Outcome<Self> {
        // SAFETY: the caller's word.
        let place = unsafe { exclusive(out, "out") }?;
        *place = std::ptr::null_mut();
        Ok(Self(place))
    }

    /// Moves `value` to the heap, and its address to the place.
    pub(crate) fn give(self, value: T) {
        *self.0 = Box::into_raw(Box::new(value));
    }
}

/// Frees what [`Place::give`] gave. Null is nothing.
///
/// # Safety
/// `pointer` is null, or came from [`Place::give`] and is used no more.
pub(crate) unsafe fn take<T>(pointer: *mut T) {
    if !pointer.is_null() {
        // SAFETY: the caller's word: it came from `Box::into_raw`, and only once gets here.
        drop(unsafe { Box::from_raw(pointer) });
    }
}

fn null(what: &str) -> crate::outcome::Failure {
    argument(format!("{what} is null"))
}
