//! From trees with spans to typed tables, all mistakes reported on the way.
//!
//! A [`Rule`] reads one value. `table!` turns the declaration of a struct into the struct, its rule, its list of known
//! keys and its JSON schema, so that the four cannot disagree. A rule that meets a mistake reports it and returns
//! `None`; its caller goes on with the default, so that one mistake never hides another.

mod cx;
mod key_rules;
pub(crate) mod merge;
pub(crate) mod near;
mod objects;
pub(crate) mod rules;
pub(crate) mod syntax;

pub(crate) use cx::{Cx, Report};
pub(crate) use objects::{CheckRule, EngineRule, PackageRule, PublishRule, SchemaVersion};
use schemars::{Schema, SchemaGenerator};
pub(crate) use syntax::{At, Node, Sources, Value};

/// Reads one value of the text.
pub(crate) trait Rule {
    /// What comes out.
    type Out;
    /// Reads `node`; a mistake is reported to `cx` and gives `None`.
    fn read(node: &Node, cx: &mut Cx<'_>) -> Option<Self::Out>;
    /// The JSON schema of what is accepted.
    fn schema(generator: &mut SchemaGenerator) -> Schema;
}

/// One key of a table, for forms and completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyInfo {
    /// The key.
    pub name: &'static str,
    /// What it means (the doc comment of the field).
    pub doc: &'static str,
    /// Whether the table is incomplete without it.
    pub required: bool,
}

/// A table with a fixed set of keys.
pub(crate) trait Table: Rule {
    /// Its keys in the order of declaration, which is the order for new keys.
    const KEYS: &'static [KeyInfo];
}

/// The key of a field: raw identifiers without their mark.
pub(crate) const fn key_name(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', ..] => field.split_at(2).1,
        _ => field,
    }
}

/// Declares a table: struct, default, reader, known keys and schema at once.
///
/// A field is `name: Type as Rule = default`; `[required]` before it reports its absence. The doc comments become the
/// descriptions of the schema.
macro_rules! table {
    (
        $(#[doc = $doc:literal])+
        pub struct $name:ident {
            $(
                $(#[doc = $field_doc:literal])+
                $([$required:ident])? $field:ident : $ty:ty as $rule:ty $(= $default:expr)?
            ),* $(,)?
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        pub struct $name {
            $(
                $(#[doc = $field_doc])+
                pub $field: $ty,
            )*
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $crate::read::or_default!($($default)?)),* }
            }
        }

        impl $crate::read::Table for $name {
            const KEYS: &'static [$crate::read::KeyInfo] = &[$(
                $crate::read::KeyInfo {
                    name: $crate::read::key_name(stringify!($field)),
                    doc: concat!($($field_doc),+),
                    required: $crate::read::is_required!($($required)?),
                }
            ),*];
        }

        impl $crate::read::Rule for $name {
            type Out = $name;

            fn read(node: &$crate::read::Node, cx: &mut $crate::read::Cx<'_>) -> Option<$name> {
                let table = cx.fixed_table(node, <$name as $crate::read::Table>::KEYS)?;
                let mut out = $name::default();
                $(
                    let key = $crate::read::key_name(stringify!($field));
                    if let Some(value) = cx.key::<$rule>(table, key) {
                        out.$field = value.into();
                    }
                )*
                Some(out)
            }

            fn schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                generator.subschema_for::<$name>()
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).trim_end_matches("Text").into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let properties = vec![$(<$rule as $crate::read::Rule>::schema(generator)),*];
                $crate::schema::table(concat!($($doc),+), <$name as $crate::read::Table>::KEYS, properties)
            }
        }
    };
}

macro_rules! or_default {
    () => {
        Default::default()
    };
    ($default:expr) => {
        $default
    };
}

macro_rules! is_required {
    () => {
        false
    };
    (required) => {
        true
    };
}

pub(crate) use {is_required, or_default, table};
