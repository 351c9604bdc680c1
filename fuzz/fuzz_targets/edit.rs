//! Any text and any edits: what must hold of edits holds. Input: a text, the byte 0xFF, decisions.
#![no_main]

#[path = "../../crates/config/tests/edits/driver.rs"]
#[allow(dead_code)]
mod driver;

use driver::{Bytes, Seen, check_reading, check_sequence};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|byte| *byte == 0xFF).unwrap_or(data.len());
    let Ok(text) = std::str::from_utf8(&data[..end]) else { return };
    if let Err(words) = check_reading(text) {
        panic!("{words}\ntext:\n{text}");
    }
    if toml::from_str::<toml::Table>(text).is_err() {
        return;
    }
    let mut bytes = Bytes::new(data.get(end + 1..).unwrap_or_default());
    let most = 1 + bytes.below(8);
    if let Err(words) = check_sequence(text, &mut bytes, most, &mut Seen::default()) {
        panic!("{words}");
    }
});
