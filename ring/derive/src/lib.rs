//! `#[derive(Value)]`: structs and enums of a program as values of the Hobbes data model, for the crate `hog-ring`.
//!
//! The macro sees names and types as they are written, and decides by them alone. What it cannot know, such as whether a
//! field's type can be logged or contains the type around it, the code that it makes lets the compiler find out.
//!
//! Refused, each in words: unions, enums without variants, types that name themselves in a field, and numbers of variants
//! that do not fit into 32 bits with a sign.

mod expand;
mod parts;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct or an enum a value that can be logged: implements `hog_ring::payload::Value`.
///
/// | in Rust | in the log | as JSON |
/// |---|---|---|
/// | `struct S { a: A, b: B }` | record `{a:A, b:B}` | `{"a":…,"b":…}` |
/// | `struct S(A, B)` | tuple `(A*B)` | `[…,…]` |
/// | `struct S(A)` | what `A` is | as `A` |
/// | `struct S` | `unit` | `null` |
/// | `enum E { X, Y = 7 }` | enumeration of their names and numbers, 4 bytes | `"Y"` |
/// | `enum E { X, Y(A), Z { a: A } }` | variant, its cases numbered by their place | `{"X":null}`, `{"Y":…}`, `{"Z":{"a":…}}` |
///
/// Each field must be a `Value`. Lifetimes and generic parameters are allowed; a type parameter must then be a `Value` too.
///
/// ```
/// use hog_ring::Value;
///
/// #[derive(Value)]
/// struct Order<'a> {
///     symbol: &'a str,
///     side: Side,
///     parts: Vec<Part<u64>>,
///     limit: Option<f64>,
/// }
///
/// #[derive(Value)]
/// enum Side {
///     Buy,
///     Sell,
/// }
///
/// #[derive(Value)]
/// struct Part<T> {
///     venue: String,
///     quantity: T,
/// }
/// ```
///
/// A field that cannot be logged is an error at that field:
///
/// ```compile_fail,E0277
/// #[derive(hog_ring::Value)]
/// struct Job {
///     handle: std::thread::JoinHandle<()>,
/// }
/// ```
///
/// A type that contains itself has no description that ends. The macro says so where a type names itself; if it contains
/// itself by way of another, the compiler finds a cycle of `DEPTH`:
///
/// ```compile_fail,E0391
/// #[derive(hog_ring::Value)]
/// struct Tree {
///     branches: Vec<Branch>,
/// }
///
/// #[derive(hog_ring::Value)]
/// enum Branch {
///     Leaf(u64),
///     Inner(Box<Tree>),
/// }
/// ```
///
/// A number that does not fit into 32 bits with a sign is an error where the enum stands:
///
/// ```compile_fail,E0080
/// #[derive(hog_ring::Value)]
/// #[repr(u64)]
/// enum Wide {
///     Far = 1 << 40,
/// }
/// ```
#[proc_macro_derive(Value)]
pub fn derive_value(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::value(&input)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}
