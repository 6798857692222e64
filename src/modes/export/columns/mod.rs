//! Tables in Parquet and Arrow: payloads go straight into columns, with no text between.
//!
//! A statement's type becomes a [`shape`] once: what kind of column each part of it is. A payload is first held against its shape, so that nothing of one that is
//! no value gets into any column; then its values are appended. What columns cannot say is in the column `bytes`, as the whole payload.

pub(super) mod arrow;
mod batch;
mod column;
mod measure;
pub(super) mod parquet;
mod schema;
mod shape;

#[cfg(test)]
mod tests;
