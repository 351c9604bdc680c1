//! Properties of edits and merges over the fixture files: texts as administrators write them.
//!
//! Ordinary runs do some hundred sequences; `REGROW_TEST_ALL=1` does 10,000, `REGROW_EDIT_SEQUENCES=N` does N.
//! A failure names its seed; `REGROW_EDIT_SEED=S` runs that one alone.

#![allow(clippy::print_stdout, reason = "a run says how much it did")]

mod driver;
mod shapes;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use driver::{Bytes, Seen, check_merge, check_reading, check_sequence};

/// The fixtures by name, sorted.
fn fixtures() -> Vec<(String, String)> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut out: Vec<(String, String)> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, String::from_utf8(std::fs::read(&path).unwrap()).unwrap())
        })
        .collect();
    out.sort();
    out
}

fn count(ordinary: usize) -> usize {
    match std::env::var("REGROW_EDIT_SEQUENCES") {
        Ok(n) => n.parse().expect("REGROW_EDIT_SEQUENCES is a number"),
        Err(_) if std::env::var_os("REGROW_TEST_ALL").is_some() => 10_000,
        Err(_) => ordinary,
    }
}

/// Bytes that look random and are the same for the same seed (splitmix64).
fn random(seed: usize, length: usize) -> Vec<u8> {
    let mut state = (seed as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66;
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        out.extend_from_slice(&(z ^ (z >> 31)).to_le_bytes());
    }
    out
}

/// Runs `one` for seeds below `count` on all cores; reports the failure with the lowest seed.
fn for_seeds(count: usize, one: impl Fn(usize) -> Result<(), String> + Sync) {
    if let Some(seed) = std::env::var("REGROW_EDIT_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return one(seed).unwrap_or_else(|words| panic!("seed {seed}: {words}"));
    }
    let next = AtomicUsize::new(0);
    let failed: Mutex<Option<(usize, String)>> = Mutex::new(None);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= count || failed.lock().unwrap().is_some() {
                break;
            }
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| one(seed)));
            let words = match outcome {
                Ok(Ok(())) => continue,
                Ok(Err(words)) => words,
                Err(_) => "it panicked".to_owned(),
            };
            let mut failed = failed.lock().unwrap();
            if failed.as_ref().is_none_or(|(first, _)| seed < *first) {
                *failed = Some((seed, words));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    if let Some((seed, words)) = failed.into_inner().unwrap() {
        panic!("seed {seed}: {words}");
    }
}

#[test]
fn any_sequence_of_edits_and_its_inverse_restores_every_byte() {
    let fixtures = fixtures();
    let total = Mutex::new(Seen::default());
    let sequences = count(400);
    let started = std::time::Instant::now();
    for_seeds(sequences, |seed| {
        let (name, text) = &fixtures[seed % fixtures.len()];
        let bytes = random(seed, 400);
        let mut bytes = Bytes::new(&bytes);
        let most = 1 + bytes.below(12);
        let mut seen = Seen::default();
        check_sequence(text, &mut bytes, most, &mut seen).map_err(|words| format!("{name}: {words}"))?;
        let mut total = total.lock().unwrap();
        total.edits += seen.edits;
        total.refused += seen.refused;
        total.not_certified.extend(seen.not_certified.into_iter().map(|words| format!("{name}: {words}")));
        Ok(())
    });
    let total = total.into_inner().unwrap();
    println!(
        "{sequences} sequences over {} files: {} edits made, {} refused in words, {} not certified, {:.1} s",
        fixtures.len(),
        total.edits,
        total.refused,
        total.not_certified.len(),
        started.elapsed().as_secs_f64()
    );
    // A refusal by the certificate changes nothing, but it means that the edit could be made better.
    assert!(
        total.not_certified.is_empty(),
        "{}",
        total.not_certified[..total.not_certified.len().min(3)].join("\n----\n")
    );
}

#[test]
fn any_two_sequences_of_edits_merge_by_key() {
    let fixtures = fixtures();
    let conflicts = AtomicUsize::new(0);
    let merges = count(400);
    let started = std::time::Instant::now();
    for_seeds(merges, |seed| {
        let (name, base) = &fixtures[seed % fixtures.len()];
        let bytes = random(seed ^ 0x0123_4567, 600);
        let mut bytes = Bytes::new(&bytes);
        let side = |bytes: &mut Bytes<'_>| {
            let most = 1 + bytes.below(5);
            check_sequence(base, bytes, most, &mut Seen::default())
        };
        let (ours, theirs) = (side(&mut bytes)?, side(&mut bytes)?);
        let found = check_merge(base, &ours, &theirs).map_err(|words| format!("{name}: {words}"))?;
        conflicts.fetch_add(found, Ordering::Relaxed);
        Ok(())
    });
    println!("{merges} merges, {} conflicts, {:.1} s", conflicts.into_inner(), started.elapsed().as_secs_f64());
}

#[test]
fn reading_changes_nothing_and_takes_every_fixture() {
    let fixtures = fixtures();
    assert!(fixtures.len() >= 60, "{} fixtures", fixtures.len());
    for (name, text) in &fixtures {
        check_reading(text).unwrap_or_else(|words| panic!("{name}: {words}"));
        let parsed = toml::from_str::<toml::Table>(text);
        assert!(parsed.is_ok(), "{name}: {}", parsed.unwrap_err());
    }
}

#[test]
fn broken_texts_show_what_can_be_read() {
    for (name, text) in fixtures() {
        for seed in 0..20 {
            let at = random(seed, 8).iter().fold(0usize, |n, b| n * 31 + usize::from(*b)) % (text.len() + 1);
            let Some((head, tail)) = text.split_at_checked(at) else { continue };
            for broken in [
                format!("{head}\n[\n{tail}"),
                format!("{head} = = {tail}"),
                format!("{head}\"\"\"{tail}"),
                head.to_owned(),
            ] {
                check_reading(&broken).unwrap_or_else(|words| panic!("{name}: {words}\n{broken}"));
            }
        }
    }
}
