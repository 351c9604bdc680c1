//! One server as forms and lists need it: its objects, each value with its control, help, unit, place and source.
//!
//! ```text
//! layers (roles, then the server's own files) ──► laid over each other ──► what holds, and from where
//!            │                                            │
//!            └── what lies under it (shadowed)            └── the tables of `model` say which keys there are (KeyInfo)
//! ```
//!
//! Nothing here fails: of a broken file everything that can be read is shown, and the broken place is listed. A value of
//! a shape that its control cannot hold is shown as the text it is ([`Control::Literal`]), never as a default.
//!
//! * [`objects`]: everything of one server.
//! * [`form`]: what a form sends back, as edits.
//! * [`paint`]: the parts of a text, for colouring it.

mod control;
mod extent;
pub mod form;
mod gather;
pub mod paint;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::model::Origin;
use crate::{Diagnostic, KeyPath};

pub use control::Control;
pub use extent::Extent;
pub use gather::objects;

/// Everything of one server.
#[derive(Debug, Clone, Serialize)]
pub struct Objects {
    /// The server.
    pub server: String,
    /// Whether the fleet has it.
    pub exists: bool,
    /// Its roles, in its order.
    pub roles: Vec<String>,
    /// Its objects by kind, in the order of the schema.
    pub groups: Vec<Group>,
    /// Keys of the top that are not known.
    pub unknown: Vec<Field>,
    /// Where files cannot be read.
    pub broken: Vec<Broken>,
    /// What is wrong and belongs to no object.
    pub diagnostics: Vec<Diagnostic>,
    /// Files of its `root/`: their absolute path in the image and where they are in the fleet.
    pub root_files: BTreeMap<String, String>,
    /// The text of every file that was read, by path.
    #[serde(skip)]
    pub texts: BTreeMap<Arc<str>, Arc<str>>,
}

/// The objects of one kind.
#[derive(Debug, Clone, Serialize)]
pub struct Group {
    /// The key of the kind: "users". Of the server's own plain keys: "server".
    pub kind: &'static str,
    /// In words: "Users".
    pub title: &'static str,
    /// What the kind is.
    pub help: &'static str,
    /// Whether there is exactly one, without a name.
    pub single: bool,
    /// The objects by name.
    pub objects: Vec<Object>,
}

/// One object.
#[derive(Debug, Clone, Serialize)]
pub struct Object {
    /// The key of its kind.
    pub kind: &'static str,
    /// Its name; empty if it is the only one of its kind.
    pub name: String,
    /// Its key; empty for the server's own plain keys.
    pub key: KeyPath,
    /// Where it is written, what lies over others first. None if nothing of it is written.
    pub places: Vec<Place>,
    /// Its known keys, in the order of the schema.
    pub fields: Vec<Field>,
    /// Its other keys.
    pub unknown: Vec<Field>,
    /// What is wrong with it, beyond its fields.
    pub diagnostics: Vec<Diagnostic>,
    /// The comment that belongs to it.
    pub note: Option<String>,
    /// What holds, in one canonical form: equal if and only if two objects mean the same text.
    #[serde(skip)]
    pub value: String,
}

impl Object {
    /// Whether anything of it or its fields is wrong.
    pub fn is_wrong(&self) -> bool {
        let wrong = |d: &Vec<Diagnostic>| d.iter().any(Diagnostic::is_error);
        wrong(&self.diagnostics) || self.fields.iter().chain(&self.unknown).any(|f| wrong(&f.diagnostics))
    }

    /// All its fields, unknown ones last.
    pub fn all_fields(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().chain(&self.unknown)
    }
}

/// One file that says something about an object.
#[derive(Debug, Clone, Serialize)]
pub struct Place {
    /// Whether a role says it, and which.
    pub role: Option<String>,
    /// Where its key is.
    pub origin: Origin,
    /// The lines that belong to it.
    pub extents: Vec<Extent>,
}

/// One value.
#[derive(Debug, Clone, Serialize)]
pub struct Field {
    /// Its whole key.
    pub key: KeyPath,
    /// Its key within the object: "limits.memory".
    pub name: String,
    /// The heading it stands under; empty if none. Of a check: the kind that it belongs to.
    pub group: &'static str,
    /// What it means.
    pub help: &'static str,
    /// How it is shown.
    pub control: Control,
    /// Its unit in words.
    pub unit: Option<&'static str>,
    /// A regular expression for the whole of it.
    pub pattern: Option<&'static str>,
    /// Whether the object is incomplete without it.
    pub required: bool,
    /// Whether it is a list whose order means nothing.
    pub set: bool,
    /// Whether a slip can lock people out.
    pub access: bool,
    /// The value as written.
    pub value: Option<String>,
    /// The value as its control shows it.
    pub shown: Option<String>,
    /// What holds if it is not written, as its control shows it.
    pub default: Option<String>,
    /// Where it comes from.
    pub from: From,
    /// What lies under it and does not hold: where, and the text.
    pub shadowed: Vec<(From, String)>,
    /// The comment that belongs to it.
    pub note: Option<String>,
    /// What is wrong with it.
    pub diagnostics: Vec<Diagnostic>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum From {
    /// It is not written.
    Default,
    /// A role says it.
    Role {
        /// The role.
        name: String,
        /// Its file.
        path: Arc<str>,
        /// Line of the key, from 1.
        line: usize,
    },
    /// The server says it.
    Server {
        /// The file.
        path: Arc<str>,
        /// Line of the key, from 1.
        line: usize,
    },
}

impl From {
    /// File and line; `None` for a default.
    pub fn place(&self) -> Option<(&Arc<str>, usize)> {
        match self {
            From::Default => None,
            From::Role { path, line, .. } | From::Server { path, line } => Some((path, *line)),
        }
    }

    /// The role, if one says it.
    pub fn role(&self) -> Option<&str> {
        match self {
            From::Role { name, .. } => Some(name),
            _ => None,
        }
    }
}

/// A place where a file cannot be read. The rest of it is shown as far as it could be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// The file.
    pub path: Arc<str>,
    /// Line from 1.
    pub line: usize,
    /// What is wrong, and what to do.
    pub message: String,
}

/// How an object differs between two texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Difference {
    /// Only here.
    Added,
    /// Other values.
    Changed,
    /// Only there.
    Removed,
}

impl Objects {
    /// An object by kind and name.
    pub fn find(&self, kind: &str, name: &str) -> Option<&Object> {
        self.group(kind)?.objects.iter().find(|o| o.name == name)
    }

    /// The objects of a kind.
    pub fn group(&self, kind: &str) -> Option<&Group> {
        self.groups.iter().find(|g| g.kind == kind)
    }

    /// Every object.
    pub fn all(&self) -> impl Iterator<Item = &Object> {
        self.groups.iter().flat_map(|g| &g.objects)
    }

    /// What differs from another text of the same server, by kind and name.
    pub fn differences(&self, other: &Objects) -> BTreeMap<(&'static str, String), Difference> {
        let index = |o: &Objects| -> BTreeMap<(&'static str, String), String> {
            o.all().map(|o| ((o.kind, o.name.clone()), o.value.clone())).collect()
        };
        let (here, mut there) = (index(self), index(other));
        let mut out = BTreeMap::new();
        for (key, value) in here {
            match there.remove(&key) {
                None => {
                    out.insert(key, Difference::Added);
                }
                Some(before) if before != value => {
                    out.insert(key, Difference::Changed);
                }
                Some(_) => {}
            }
        }
        out.extend(there.into_keys().map(|key| (key, Difference::Removed)));
        out
    }
}

#[cfg(test)]
mod form_tests;
#[cfg(test)]
mod tests;
