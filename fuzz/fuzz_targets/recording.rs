#![no_main]

#[allow(dead_code)] // The other targets.
#[path = "../targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::recording::judge(bytes));
