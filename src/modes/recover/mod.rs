//! Recovery: what earlier sessions left, and what is to become of it.

pub mod facts;
pub mod words;
