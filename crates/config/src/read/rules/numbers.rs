//! Numbers: ports, times, sizes, modes.

use schemars::{Schema, SchemaGenerator, json_schema};

use super::words;
use crate::read::key_rules::integer;
use crate::read::{Cx, Hint, Node, Report, Rule, Value};

macro_rules! numbers {
    ($($(#[doc = $doc:literal])+ $name:ident -> $out:ty, $min:literal..=$max:literal, $wanted:literal $(, $unit:literal)?;)*) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy)]
        pub(crate) struct $name;

        impl Rule for $name {
            type Out = $out;

            fn read(node: &Node, cx: &mut Cx<'_>) -> Option<$out> {
                integer(node, cx, ($min, $max), $wanted).and_then(|n| n.try_into().ok())
            }

            fn schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "integer", "minimum": $min, "maximum": $max })
            }

            const HINT: Hint = Hint::Number { min: $min, max: $max, unit: concat!($($unit)?) };
        }
    )*};
}

numbers! {
    /// A TCP port.
    Port -> u16, 1..=65535, "a port";
    /// An HTTP status code.
    HttpStatus -> u16, 100..=599, "an HTTP status";
    /// An exit status.
    ExitStatus -> u8, 0..=255, "an exit status";
    /// A time in seconds, up to an hour.
    Seconds -> u64, 1..=3600, "a time in seconds", "seconds";
    /// A count of at least one.
    PositiveInt -> u32, 1..=4194304, "a count";
    /// A user or group id that fits the server's range of ids; those below are Debian's own.
    Id -> u32, 100..=59999, "an id";
}

words! {
    /// Permission bits in octal as text.
    Mode -> u32, pattern "^[0-7]{3,5}$", hint Hint::Mode, |text| {
        let digits = (3..=5).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        match u32::from_str_radix(text, 8) {
            Ok(mode) if digits && mode <= 0o7777 => Ok(mode),
            _ => Err(Report::new("bad-mode", format!("{text:?} is no file mode"))
                .help("write permission bits in octal, such as \"0644\" or \"0750\"")),
        }
    };
}

/// A size in bytes: a number, or text with K, M, G or T.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ByteSize;

impl Rule for ByteSize {
    type Out = u64;

    fn read(node: &Node, cx: &mut Cx<'_>) -> Option<u64> {
        let size = match &node.value {
            Value::Integer(n) => u64::try_from(*n).ok(),
            Value::String(text) => parse_size(text),
            _ => {
                cx.wrong_type(node, "a size", Some("write a number of bytes, or text such as \"512M\"".to_owned()));
                return None;
            }
        };
        // Less than this, nothing starts: a slip of the unit.
        let fits = size.filter(|size| *size >= 1 << 20);
        if fits.is_none() {
            let message = format!("`{}` must be a size of at least 1M", cx.path());
            cx.report(node.at, Report::new("bad-value", message).help("write it like \"512M\" or \"2G\""));
        }
        fits
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": 1048576 },
            { "type": "string", "pattern": "^[0-9]+[KMGT]?$" },
        ] })
    }

    const HINT: Hint = Hint::Size;
}

fn parse_size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" | "B" => 0,
        "K" | "KiB" => 10,
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        "T" | "TiB" => 40,
        _ => return None,
    };
    digits.trim_end().parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// The value of a kernel setting: text, a number, or true and false for 1 and 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SysctlValue;

impl Rule for SysctlValue {
    type Out = String;

    fn read(node: &Node, cx: &mut Cx<'_>) -> Option<String> {
        match &node.value {
            Value::Integer(n) => Some(n.to_string()),
            Value::Boolean(b) => Some(u8::from(*b).to_string()),
            Value::String(text) if !text.contains(['\n', '\r', '\0']) => Some(text.clone()),
            Value::Table(_) => {
                let help = "write the whole name in quotes: \"net.ipv4.ip_forward\" = 1";
                cx.wrong_type(node, "a number or a string", Some(help.to_owned()));
                None
            }
            _ => {
                cx.wrong_type(node, "a number or a string of one line", None);
                None
            }
        }
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer", "boolean"] })
    }

    const HINT: Hint = Hint::Scalar;
}
