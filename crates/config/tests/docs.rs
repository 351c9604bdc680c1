//! The documents that are made from the code, or must keep step with it.

use std::path::PathBuf;

use regrow_config::{Archive, codes, example, schema};

fn docs(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

#[test]
fn the_schema_in_docs_is_fresh() {
    let path = docs("server.schema.json");
    let fresh = schema::json();
    if std::env::var_os("UPDATE").is_some() {
        regrow_host::fs::write_atomic(&path, fresh.as_bytes()).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == fresh, "docs/server.schema.json is stale: UPDATE=1 cargo test -p regrow-config --test docs");
}

#[test]
fn the_schema_takes_the_example_and_refuses_what_the_reader_refuses() {
    let schema: serde_json::Value = serde_json::from_str(&schema::json()).unwrap();
    let validator = jsonschema::options().with_draft(jsonschema::Draft::Draft7).build(&schema).unwrap();
    let json = |text: &str| serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap();
    let archive = Archive { mirror: "http://m.test".into(), suites: vec!["trixie".into()], ..Archive::default() };
    for source in example::files(&[("debian".to_owned(), archive)].into()) {
        if source.path.starts_with("roles/") || source.path.ends_with("server.toml") {
            let errors: Vec<String> = validator.iter_errors(&json(&source.text)).map(|e| e.to_string()).collect();
            assert!(errors.is_empty(), "{}: {errors:#?}", source.path);
        }
    }
    for bad in [
        "[system]\nhostnam = \"x\"\n",
        "[checks.a]\nport = 0\n",
        "[files.\"relative\"]\ncontent = \"\"\n",
        "[files.\"/a\"]\nmode = 644\n",
        "[state.a]\nengine = \"files\"\n",
        "[network]\npublish = [\"80\"]\n",
        "schema = 2\n",
    ] {
        assert!(!validator.is_valid(&json(bad)), "{bad}");
    }
}

#[test]
fn every_code_has_its_paragraph_and_no_other() {
    let text = std::fs::read_to_string(docs("diagnostics.md")).unwrap();
    let described: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let known: Vec<&str> = codes::CODES.iter().map(|code| code.name).collect();
    assert_eq!(described, known, "docs/diagnostics.md has one heading per code, sorted");
    for section in text.split("\n## ").skip(1) {
        let (name, words) = section.split_once('\n').unwrap();
        assert!(words.trim().len() > 40, "{name} is explained");
    }
}
