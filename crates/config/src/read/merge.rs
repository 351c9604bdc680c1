//! Trees laid over each other: roles under servers, the parts of a split server beside each other.

use std::collections::BTreeMap;

use super::objects::{CHECK_KINDS, FILE_KINDS};
use super::syntax::{Item, Node, Sources, Value};
use crate::KeyPath;
use crate::diagnostic::Diagnostic;

/// Lays `over` on `under`: tables merge key by key, everything else is replaced by what lies over it.
pub(crate) fn lay_over(under: &mut Node, over: &Node) {
    lay(under, over, &mut Vec::new());
}

fn lay<'n>(under: &mut Node, over: &'n Node, path: &mut Vec<&'n str>) {
    let (Value::Table(below), Value::Table(above)) = (&mut under.value, &over.value) else {
        *under = over.clone();
        return;
    };
    drop_replaced_kind(below, above, path);
    under.at = over.at;
    for (key, item) in above {
        match below.get_mut(key) {
            Some(existing) => {
                path.push(key);
                lay(&mut existing.node, &item.node, path);
                path.pop();
                existing.key_at = item.key_at;
            }
            None => {
                below.insert(key.clone(), item.clone());
            }
        }
    }
}

/// An object that says anew what it is (a check's or a file's kind) drops what lay under it said about that.
fn drop_replaced_kind(below: &mut BTreeMap<String, Item>, above: &BTreeMap<String, Item>, path: &[&str]) {
    match path {
        ["checks", _] => {
            if let Some((chosen, _)) = CHECK_KINDS.iter().find(|(kind, _)| above.contains_key(*kind)) {
                for (kind, keys) in CHECK_KINDS.iter().filter(|(kind, _)| kind != chosen) {
                    if below.remove(*kind).is_some() {
                        for key in *keys {
                            below.remove(*key);
                        }
                    }
                }
            }
        }
        ["files", _] => {
            if let Some(chosen) = FILE_KINDS.iter().find(|kind| above.contains_key(**kind)) {
                let changed =
                    FILE_KINDS.iter().filter(|kind| *kind != chosen).any(|kind| below.remove(*kind).is_some());
                if changed && matches!(*chosen, "symlink" | "directory") {
                    below.remove("mode");
                }
            }
        }
        _ => {}
    }
}

/// Puts the parts of a split server beside each other. An object in two of them is reported; the first holds.
pub(crate) fn join(parts: Vec<Node>, sources: &Sources, diagnostics: &mut Vec<Diagnostic>) -> Option<Node> {
    let mut parts = parts.into_iter();
    let mut whole = parts.next()?;
    for part in parts {
        let (Value::Table(all), Value::Table(more)) = (&mut whole.value, part.value) else { continue };
        for (key, item) in more {
            let Some(existing) = all.get_mut(&key) else {
                all.insert(key, item);
                continue;
            };
            match (&mut existing.node.value, item.node.value) {
                (Value::Table(objects), Value::Table(new)) => {
                    for (name, object) in new {
                        match objects.get(&name) {
                            None => {
                                objects.insert(name, object);
                            }
                            Some(first) => {
                                let path = KeyPath(vec![key.clone(), name]);
                                diagnostics.push(duplicate(&path, first, &object, sources));
                            }
                        }
                    }
                }
                // Every part may say in which form it is.
                (_, _) if key == "schema" => {}
                (_, value) => {
                    let again = Item { key_at: item.key_at, node: Node { at: item.node.at, value } };
                    diagnostics.push(duplicate(&KeyPath(vec![key]), existing, &again, sources));
                }
            }
        }
    }
    Some(whole)
}

fn duplicate(path: &KeyPath, first: &Item, again: &Item, sources: &Sources) -> Diagnostic {
    let file = sources.path(first.key_at.file);
    let (line, _) = sources.line_column(first.key_at.file, first.key_at.start as usize);
    Diagnostic::error("duplicate-object", format!("`{path}` is written twice"))
        .at(sources, again.key_at)
        .label("the second time")
        .help(format!("it is first written at {file}:{line}; an object lives in exactly one file"))
}
