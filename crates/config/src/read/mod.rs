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
pub(crate) use objects::{CHECK_KINDS, CheckRule, EngineRule, PackageRule, PublishRule, SchemaVersion};
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
    /// What a form needs to know to show such a value.
    const HINT: Hint = Hint::Any;
}

/// What a form needs to know to show a value. A value of another shape than the hint says is shown as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// true or false.
    Switch,
    /// One of a fixed set of words.
    Choice(&'static [&'static str]),
    /// A whole number, both bounds included; the unit in words, empty if it has none.
    Number {
        /// The least.
        min: i64,
        /// The most.
        max: i64,
        /// "seconds".
        unit: &'static str,
    },
    /// A number of bytes: an integer, or text such as "512M".
    Size,
    /// One line of text; its form as a regular expression where that is simple.
    Line(Option<&'static str>),
    /// Text of any number of lines.
    Lines,
    /// Permission bits in octal as text.
    Mode,
    /// Text of one line, a whole number, or true and false.
    Scalar,
    /// An array of such values.
    List(&'static Hint),
    /// A table with keys of its own, or a map of named objects.
    Table,
    /// Anything else.
    Any,
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
    /// How a form shows it.
    pub hint: Hint,
    /// Whether it is an array whose order means nothing, so that it merges element by element.
    pub set: bool,
    /// Whether a slip here can lock people out: such a change asks for a person's eye.
    pub access: bool,
}

/// A table with a fixed set of keys.
pub(crate) trait Table: Rule {
    /// Its keys in the order of declaration, which is the order for new keys.
    const KEYS: &'static [KeyInfo];
    /// The values that hold where nothing is written, as JSON; null where that depends on something else.
    fn defaults() -> serde_json::Value;
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
/// A field is `name: Type as Rule = default`. Marks before it: `[required]` reports its absence; `[set]` is an array
/// whose order means nothing; `[access]` is what lets people in. The doc comments become the descriptions of the schema
/// and the help of the forms.
macro_rules! table {
    (
        $(#[doc = $doc:literal])+
        pub struct $name:ident {
            $(
                $(#[doc = $field_doc:literal])+
                $([$($mark:ident)+])? $field:ident : $ty:ty as $rule:ty $(= $default:expr)?
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
                    required: $crate::read::marked!(required: $($($mark)+)?),
                    hint: <$rule as $crate::read::Rule>::HINT,
                    set: $crate::read::marked!(set: $($($mark)+)?),
                    access: $crate::read::marked!(access: $($($mark)+)?),
                }
            ),*];

            fn defaults() -> serde_json::Value {
                serde_json::to_value($name::default()).unwrap_or_default()
            }
        }

        impl $crate::read::Rule for $name {
            type Out = $name;

            const HINT: $crate::read::Hint = $crate::read::Hint::Table;

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

/// Whether a mark is among those of a field.
macro_rules! marked {
    ($mark:ident:) => {
        false
    };
    (required: required $($rest:ident)*) => {
        true
    };
    (set: set $($rest:ident)*) => {
        true
    };
    (access: access $($rest:ident)*) => {
        true
    };
    ($mark:ident: $other:ident $($rest:ident)*) => {
        $crate::read::marked!($mark: $($rest)*)
    };
}

pub(crate) use {marked, or_default, table};
