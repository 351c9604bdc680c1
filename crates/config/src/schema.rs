//! The JSON schema of what people write (draft-07, which editors understand), from the same tables that read it.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{Schema, json_schema};
use serde_json::{Map, Value, json};

use crate::KeyPath;
use crate::model::ServerText;
pub use crate::read::{Hint, KeyInfo};

/// The schema of servers and roles as JSON text, ending in a newline. `docs/server.schema.json` is this text; the test
/// `the_schema_in_docs_is_fresh` writes it when run with `UPDATE=1`.
pub fn json() -> String {
    let generator = SchemaSettings::draft07().into_generator();
    let mut schema = generator.into_root_schema_for::<ServerText>();
    schema.insert("title".to_owned(), json!("A server or a role of a Regrow fleet"));
    let mut text = serde_json::to_string_pretty(&sorted(schema.as_value())).unwrap_or_default();
    text.push('\n');
    text
}

/// The same value with the keys of every object in order, whatever order serde_json was built to keep.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(&String, &Value)> = map.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            Value::Object(entries.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect())
        }
        Value::Array(values) => Value::Array(values.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

/// The schema of a table with a fixed set of keys.
pub(crate) fn table(doc: &str, keys: &[KeyInfo], properties: Vec<Schema>) -> Schema {
    let mut all = Map::new();
    for (key, schema) in keys.iter().zip(properties) {
        let mut value = schema.to_value();
        // Beside a `$ref`, draft-07 reads nothing; a description goes around it.
        if value.get("$ref").is_some() {
            value = json!({ "allOf": [value] });
        }
        if let Value::Object(object) = &mut value {
            object.insert("description".to_owned(), json!(key.doc.trim()));
        }
        all.insert(key.name.to_owned(), value);
    }
    let mut schema = json_schema!({
        "type": "object",
        "description": doc.trim(),
        "properties": all,
        "additionalProperties": false,
    });
    let required: Vec<&str> = keys.iter().filter(|k| k.required).map(|k| k.name).collect();
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    schema
}

/// Keys of every table, for completion and forms: `""` is the top, `services.*` a service.
pub fn keys() -> BTreeMap<&'static str, &'static [KeyInfo]> {
    tables().into_iter().map(|(path, keys, _)| (path, keys)).collect()
}

/// What holds where nothing is written, by the same paths as [`keys`]: JSON objects, null where it depends on more.
pub fn defaults() -> BTreeMap<&'static str, Value> {
    tables().into_iter().map(|(path, _, defaults)| (path, defaults())).collect()
}

type TableOf = (&'static str, &'static [KeyInfo], fn() -> Value);

fn tables() -> [TableOf; 12] {
    use crate::model::*;
    use crate::read::Table;
    fn of<T: Table>(path: &'static str) -> TableOf {
        (path, T::KEYS, T::defaults)
    }
    [
        of::<ServerText>(""),
        of::<System>("system"),
        of::<Limits>("system.limits"),
        of::<PackageText>("packages.*"),
        of::<Service>("services.*"),
        of::<User>("users.*"),
        of::<Group>("groups.*"),
        of::<FileText>("files.*"),
        of::<Network>("network"),
        of::<Timer>("timers.*"),
        of::<State>("state.*"),
        of::<CheckText>("checks.*"),
    ]
}

/// What the schema knows of a key of a server, a role or `regrow.toml`. Names that are free (of a package, a check)
/// match `*`.
pub fn known(key: &KeyPath) -> Option<&'static KeyInfo> {
    use crate::model::{Archive, Defaults};
    use crate::read::Table;
    let (name, parents) = key.0.split_last()?;
    let of_fleet = [("archives.*", Archive::KEYS), ("defaults", Defaults::KEYS)];
    let all = tables().into_iter().map(|(path, keys, _)| (path, keys)).chain(of_fleet);
    let (_, keys) = all.into_iter().find(|(path, _)| {
        let parts: Vec<&str> = path.split('.').filter(|part| !part.is_empty()).collect();
        parts.len() == parents.len() && parts.iter().zip(parents).all(|(part, own)| *part == "*" || part == own)
    })?;
    keys.iter().find(|info| info.name == name)
}

/// Whether the array at `key` is a set: merged element by element.
pub fn is_set(key: &KeyPath) -> bool {
    known(key).is_some_and(|info| info.set)
}

/// Whether the last part of `key` is a name of a person's choice, such as that of a package.
pub fn is_free_name(key: &KeyPath) -> bool {
    let [table, _] = key.0.as_slice() else { return false };
    table == "sysctl" || tables().iter().any(|(path, ..)| path.strip_suffix(".*") == Some(table))
}
