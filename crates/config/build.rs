//! Embeds every file of the repository's `catalog/` into the crate, sorted by name.

use std::fmt::Write;
use std::path::PathBuf;

fn main() {
    let manifest = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"));
    let dir = manifest.join("../../catalog");
    println!("cargo::rerun-if-changed={}", dir.display());
    let mut names: Vec<String> = std::fs::read_dir(&dir)
        .expect("the repository has a catalog directory")
        .map(|entry| entry.expect("catalog can be listed").file_name().into_string().expect("names are UTF-8"))
        .filter(|name| name.ends_with(".toml") && !name.starts_with('.'))
        .collect();
    names.sort();
    let mut out = String::from("&[\n");
    for name in names {
        let path = dir.join(&name);
        println!("cargo::rerun-if-changed={}", path.display());
        let stem = name.trim_end_matches(".toml");
        writeln!(out, "    ({stem:?}, include_str!({:?})),", path.display().to_string()).expect("strings can grow");
    }
    out.push(']');
    let target = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("catalog.rs");
    std::fs::write(target, out).expect("OUT_DIR can be written");
}
