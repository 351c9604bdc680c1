//! For what no other module has words: "`x.y` 1 → 2".

use regrow_config::{KeyPath, Server};
use serde_json::Value;

/// The values that have words of their own; `*` stands for any name.
const TOLD: &[&[&str]] = &[
    &["name"],
    &["roles"],
    &["recommends"],
    &["architecture"],
    &["system", "hostname"],
    &["system", "timezone"],
    &["system", "locale"],
    &["system", "limits", "memory"],
    &["system", "limits", "tasks"],
    &["packages", "*"],
    &["packages", "*", "version"],
    &["packages", "*", "recommends"],
    &["services", "*"],
    &["services", "*", "enabled"],
    &["services", "*", "masked"],
    &["services", "*", "override"],
    &["timers", "*"],
    &["timers", "*", "on_calendar"],
    &["timers", "*", "command"],
    &["timers", "*", "user"],
    &["timers", "*", "persistent"],
    &["users", "*"],
    &["users", "*", "uid"],
    &["users", "*", "comment"],
    &["users", "*", "group"],
    &["users", "*", "groups"],
    &["users", "*", "ssh_keys"],
    &["users", "*", "shell"],
    &["users", "*", "home"],
    &["users", "*", "password_hash"],
    &["groups", "*"],
    &["groups", "*", "gid"],
    &["files", "*"],
    &["files", "*", "kind"],
    &["files", "*", "mode"],
    &["files", "*", "owner"],
    &["files", "*", "group"],
    &["root_files", "*"],
    &["root_files", "*", "content"],
    &["root_files", "*", "mode"],
    &["root_files", "*", "source"],
    &["network", "publish"],
    &["sysctl", "*"],
    &["state", "*"],
    &["state", "*", "paths"],
    &["state", "*", "engine"],
    &["state", "*", "exclude"],
    &["checks", "*"],
];

/// What differs and was not told yet.
pub(super) fn rest(old: &Server, new: &Server, words: &mut Vec<String>) {
    let value = |server: &Server| serde_json::to_value(server).unwrap_or_default();
    walk(&mut Vec::new(), &value(old), &value(new), words);
}

fn walk(at: &mut Vec<String>, old: &Value, new: &Value, words: &mut Vec<String>) {
    if old == new || TOLD.iter().any(|told| matches(told, at)) && !is_table(old, new, at) {
        return;
    }
    if let (Value::Object(old), Value::Object(new)) = (old, new) {
        for key in old.keys().chain(new.keys().filter(|k| !old.contains_key(*k))) {
            at.push(key.clone());
            walk(at, old.get(key).unwrap_or(&Value::Null), new.get(key).unwrap_or(&Value::Null), words);
            at.pop();
        }
        return;
    }
    words.push(format!("`{}` {} → {}", KeyPath(at.clone()), shown(old), shown(new)));
}

/// Whether an object is on both sides, and has values that are told one by one.
fn is_table(old: &Value, new: &Value, at: &[String]) -> bool {
    old.is_object()
        && new.is_object()
        && TOLD.iter().any(|told| told.len() == at.len() + 1 && matches(&told[..at.len()], at))
}

fn matches(told: &[&str], at: &[String]) -> bool {
    told.len() == at.len() && told.iter().zip(at).all(|(told, part)| *told == "*" || told == part)
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "not set".to_owned(),
        Value::String(text) => super::brief(text),
        other => super::brief(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_words_is_told_by_its_key_and_the_rest_is_not_told_twice() {
        let old = serde_json::json!({"services": {"a.b": {"enabled": true, "later": 1}}, "new_table": {"x": 1}});
        let new =
            serde_json::json!({"services": {"a.b": {"enabled": false, "later": 2}}, "new_table": {"x": 2, "y": "z"}});
        let mut words = Vec::new();
        walk(&mut Vec::new(), &old, &new, &mut words);
        words.sort();
        assert_eq!(words, ["`new_table.x` 1 → 2", "`new_table.y` not set → z", r#"`services."a.b".later` 1 → 2"#]);
    }
}
