//! Any base and two sides of it: what must hold of merges holds. Input: a text, the byte 0xFF, then either two more
//! texts set apart by 0xFF, or (after a byte 0) decisions for the edits that make the two sides.
#![no_main]

#[path = "../../crates/config/tests/edits/driver.rs"]
#[allow(dead_code)]
mod driver;

use driver::{Bytes, Seen, check_merge, check_sequence};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(2, |byte| *byte == 0xFF);
    let Ok(base) = std::str::from_utf8(parts.next().unwrap_or_default()) else { return };
    if toml::from_str::<toml::Table>(base).is_err() {
        return;
    }
    let rest = parts.next().unwrap_or_default();
    let (ours, theirs) = match rest.split_first() {
        Some((0, decisions)) => {
            let mut bytes = Bytes::new(decisions);
            let mut side = || {
                let most = 1 + bytes.below(5);
                check_sequence(base, &mut bytes, most, &mut Seen::default()).unwrap_or_else(|words| panic!("{words}"))
            };
            (side(), side())
        }
        _ => {
            let mut sides = rest.splitn(2, |byte| *byte == 0xFF).map(std::str::from_utf8);
            let (Some(Ok(ours)), Some(Ok(theirs))) = (sides.next(), sides.next()) else { return };
            (ours.to_owned(), theirs.to_owned())
        }
    };
    if let Err(words) = check_merge(base, &ours, &theirs) {
        panic!("{words}");
    }
});
