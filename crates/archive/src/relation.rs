//! The relation fields of a package: `Depends: a (>= 1) | b:any, c [amd64]`.
//!
//! A field is a list of groups, all of which must hold; a group is a list of alternatives, one of which must hold.
//! Parsing never fails as a whole: a relation that cannot be read becomes one that nothing satisfies, so that a damaged
//! or unknown form can only refuse a package, never admit one.

use std::cmp::Ordering;

use crate::version;

/// How a version must compare to the one named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Op {
    /// `<<`
    Earlier,
    /// `<=` (and the obsolete `<`)
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=` (and the obsolete `>`)
    LaterOrEqual,
    /// `>>`
    Later,
}

impl Op {
    /// Whether `candidate` stands in this relation to `wanted`.
    pub(crate) fn holds(self, candidate: &str, wanted: &str) -> bool {
        let order = version::compare(candidate, wanted);
        match self {
            Op::Earlier => order == Ordering::Less,
            Op::EarlierOrEqual => order != Ordering::Greater,
            Op::Equal => order == Ordering::Equal,
            Op::LaterOrEqual => order != Ordering::Less,
            Op::Later => order == Ordering::Greater,
        }
    }

    /// As it is written.
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Op::Earlier => "<<",
            Op::EarlierOrEqual => "<=",
            Op::Equal => "=",
            Op::LaterOrEqual => ">=",
            Op::Later => ">>",
        }
    }
}

/// One alternative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Relation<'a> {
    /// The package, or the name that others provide.
    pub name: &'a str,
    /// What follows a colon: `any`, `native` or an architecture.
    pub qualifier: Option<&'a str>,
    /// The version wanted.
    pub version: Option<(Op, &'a str)>,
}

impl std::fmt::Display for Relation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)?;
        if let Some(q) = self.qualifier {
            write!(f, ":{q}")?;
        }
        if let Some((op, version)) = self.version {
            write!(f, " ({} {version})", op.symbol())?;
        }
        Ok(())
    }
}

/// Reads a relation field for a machine of architecture `arch`. Alternatives restricted to other architectures
/// (`[i386]`, `[!amd64]`) are left out, as are groups of which nothing remains by that; build profiles are ignored.
pub(crate) fn parse<'a>(field: &'a str, arch: &str) -> Vec<Vec<Relation<'a>>> {
    let mut groups = Vec::new();
    for group in field.split(',') {
        if group.trim().is_empty() {
            continue;
        }
        let alternatives: Vec<_> = group.split('|').filter_map(|r| parse_one(r, arch)).collect();
        if !alternatives.is_empty() {
            groups.push(alternatives);
        }
    }
    groups
}

/// A name that no package can have, for relations that cannot be read.
const UNREADABLE: &str = "(unreadable)";

fn parse_one<'a>(text: &'a str, arch: &str) -> Option<Relation<'a>> {
    let unreadable = Relation { name: UNREADABLE, qualifier: None, version: None };
    let text = text.trim();
    let end = text.find(|c: char| c.is_whitespace() || "([<".contains(c)).unwrap_or(text.len());
    let (name, mut rest) = text.split_at(end);
    let (name, qualifier) = match name.split_once(':') {
        Some((n, q)) => (n, Some(q)),
        None => (name, None),
    };
    if name.is_empty() {
        return Some(unreadable);
    }
    let mut version = None;
    loop {
        rest = rest.trim_start();
        let (open, close) = match rest.chars().next() {
            None => break,
            Some('(') => ('(', ')'),
            Some('[') => ('[', ']'),
            Some('<') => ('<', '>'),
            Some(_) => return Some(unreadable),
        };
        let Some(end) = rest.find(close) else { return Some(unreadable) };
        let inner = rest[1..end].trim();
        rest = &rest[end + 1..];
        match open {
            '(' => match parse_version(inner) {
                Some(v) => version = Some(v),
                None => return Some(unreadable),
            },
            '[' if !architecture_holds(inner, arch) => return None,
            _ => {}
        }
    }
    Some(Relation { name, qualifier, version })
}

fn parse_version(text: &str) -> Option<(Op, &str)> {
    let digits = text.find(|c: char| !"<>=".contains(c))?;
    let op = match &text[..digits] {
        "<<" => Op::Earlier,
        "<=" | "<" => Op::EarlierOrEqual,
        "=" => Op::Equal,
        ">=" | ">" => Op::LaterOrEqual,
        ">>" => Op::Later,
        _ => return None,
    };
    let version = text[digits..].trim();
    (!version.is_empty()).then_some((op, version))
}

fn architecture_holds(list: &str, arch: &str) -> bool {
    let is = |a: &str| a == arch || a == "any" || a == "linux-any" || a.strip_prefix("any-") == Some(arch);
    let mut names = list.split_whitespace().peekable();
    match names.peek() {
        Some(first) if first.starts_with('!') => !names.any(|a| a.strip_prefix('!').is_some_and(is)),
        _ => names.any(is),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn show(field: &str) -> String {
        let groups = parse(field, "amd64");
        groups
            .iter()
            .map(|g| g.iter().map(|r| r.to_string()).collect::<Vec<_>>().join(" | "))
            .collect::<Vec<_>>()
            .join(", ")
    }

    #[test]
    fn forms_found_in_archives() {
        for (field, want) in [
            ("libc6 (>= 2.14), libfoo", "libc6 (>= 2.14), libfoo"),
            ("a|b (<<2) |c:any", "a | b (<< 2) | c:any"),
            ("python3:any (>= 3.9~)", "python3:any (>= 3.9~)"),
            ("a [i386], b [amd64 arm64], c [!amd64], d [!i386]", "b, d"),
            ("a [i386] | b", "b"),
            ("a <!nocheck>, b (= 1) [linux-any] <x>", "a, b (= 1)"),
            ("", ""),
            (" , a ,", "a"),
            ("a\n (>= 1),\n b", "a (>= 1), b"),
            ("a (> 1), b (< 2)", "a (>= 1), b (<= 2)"),
        ] {
            assert_eq!(show(field), want, "{field}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_satisfied_by_nothing() {
        for field in ["a (>= 1", "a b", "a (?? 1)", "a (>=)", "(>= 1)", "a [amd64", ":any"] {
            assert_eq!(show(field), UNREADABLE, "{field}");
        }
    }

    proptest! {
        #[test]
        fn printing_and_parsing_agree(name in "[a-z][a-z0-9+.-]{1,8}", op in 0..6usize, version in "[0-9][0-9a-z.+~]{0,6}", any in any::<bool>()) {
            let ops = [None, Some(Op::Earlier), Some(Op::EarlierOrEqual), Some(Op::Equal), Some(Op::LaterOrEqual), Some(Op::Later)];
            let relation = Relation { name: &name, qualifier: any.then_some("any"), version: ops[op].map(|o| (o, version.as_str())) };
            let text = relation.to_string();
            prop_assert_eq!(parse(&text, "amd64"), vec![vec![relation]]);
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}") {
            parse(&text, "amd64");
        }
    }
}
