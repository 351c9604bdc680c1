//! The packages of one suite, compiled from its verified `Packages` files into a form that loads in milliseconds.
//!
//! A compiled index is a cache beside the verified files: [`compile`] makes it, [`Index::load`] reads it and refuses one
//! that is damaged, of another version of this form, or made from other files; it is then made anew.
//!
//! ```text
//! header   magic, version, digest of what it was made from, counts, digest of the rest
//! packages one record of RECORD bytes per package and version, sorted by name, then newest first
//! provides name, package, version: one per provided name, sorted by name, then by package
//! ranks    name, rank: when each name was first mentioned, sorted by name
//! text     all strings: length (u32), bytes
//! ```
//! Numbers are little-endian. Strings are offsets into `text`.

mod compile;

use std::ops::Range;

use crate::digest::Sha256;

pub(crate) use compile::compile;

const MAGIC: &[u8; 8] = b"RGINDEX\n";
/// Raised whenever the form or what is put into it changes.
const VERSION: u32 = 1;
const HEADER: usize = 8 + 4 + 32 + 4 * 4 + 32;
/// Nine strings, size, digest, flags.
const RECORD: usize = 4 * 9 + 8 + 32 + 4;
const PROVIDE: usize = 12;
const RANK: usize = 8;

/// Text fields of a record, in their order.
#[derive(Debug, Clone, Copy)]
enum Field {
    Name,
    Version,
    Architecture,
    PreDepends,
    Depends,
    Conflicts,
    Breaks,
    Recommends,
    Filename,
}

/// How a package may serve other architectures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum MultiArch {
    /// Not at all.
    #[default]
    No,
    /// Can be installed for several architectures at once.
    Same,
    /// Serves packages of any architecture.
    Foreign,
    /// Serves those that ask with `:any`.
    Allowed,
}

/// A loaded index.
pub(crate) struct Index {
    bytes: Vec<u8>,
    packages: Range<usize>,
    provides: Range<usize>,
    ranks: Range<usize>,
    text: Range<usize>,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("packages", &self.len()).finish_non_exhaustive()
    }
}

/// One package and version of an index.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    index: &'a Index,
    at: usize,
}

impl std::fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.name(), self.version())
    }
}

impl Index {
    /// Reads a compiled index made from what `made_from` is the digest of. `None` if it is not that or is damaged.
    pub(crate) fn load(bytes: Vec<u8>, made_from: Sha256) -> Option<Index> {
        let header = bytes.get(..HEADER)?;
        let number = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap_or_default());
        if &header[..8] != MAGIC || number(8) != VERSION || header[12..44] != made_from.0 {
            return None;
        }
        let counts = [(44, RECORD), (48, PROVIDE), (52, RANK), (56, 1)];
        let mut at = HEADER;
        let mut sections = counts.map(|(field, size)| (number(field) as usize).checked_mul(size));
        let mut ranges = [const { 0..0 }; 4];
        for (range, size) in ranges.iter_mut().zip(&mut sections) {
            let end = at.checked_add((*size)?)?;
            *range = at..end;
            at = end;
        }
        if at != bytes.len() || Sha256::of(&bytes[HEADER..]).0 != header[60..92] {
            return None;
        }
        let [packages, provides, ranks, text] = ranges;
        Some(Index { bytes, packages, provides, ranks, text })
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.packages.len() / RECORD
    }

    /// The record of this number.
    pub(crate) fn record(&self, number: usize) -> Record<'_> {
        Record { index: self, at: self.packages.start + number * RECORD }
    }

    /// The numbers of the records of the package `name`, newest first.
    pub(crate) fn named(&self, name: &str) -> Range<usize> {
        equal_range(self.len(), |i| self.record(i).name().cmp(name))
    }

    /// The packages that provide `name`, with the version they provide it in.
    pub(crate) fn providers(&self, name: &str) -> impl Iterator<Item = (usize, Option<&str>)> {
        let at = |i: usize| self.provides.start + i * PROVIDE;
        let range = equal_range(self.provides.len() / PROVIDE, |i| self.text(self.u32(at(i))).cmp(name));
        range.map(move |i| {
            (self.u32(at(i) + 4) as usize, Some(self.text(self.u32(at(i) + 8))).filter(|v| !v.is_empty()))
        })
    }

    /// When `name` was first mentioned in the files this was made from, counted from 0.
    pub(crate) fn rank(&self, name: &str) -> Option<u32> {
        let at = |i: usize| self.ranks.start + i * RANK;
        let range = equal_range(self.ranks.len() / RANK, |i| self.text(self.u32(at(i))).cmp(name));
        range.into_iter().next().map(|i| self.u32(at(i) + 4))
    }

    fn u32(&self, at: usize) -> u32 {
        self.bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
    }

    fn text(&self, offset: u32) -> &str {
        let at = self.text.start + offset as usize;
        let length = self.u32(at) as usize;
        // Checked by the digest at loading; a wrong offset would read as nothing.
        self.bytes.get(at + 4..at + 4 + length).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or_default()
    }
}

/// The numbers in `0..len` for which `order` says equal; `order` must be sorted.
fn equal_range(len: usize, order: impl Fn(usize) -> std::cmp::Ordering) -> Range<usize> {
    let first = |wanted: fn(std::cmp::Ordering) -> bool| {
        let (mut low, mut high) = (0, len);
        while low < high {
            let middle = low + (high - low) / 2;
            if wanted(order(middle)) { low = middle + 1 } else { high = middle }
        }
        low
    };
    first(std::cmp::Ordering::is_lt)..first(std::cmp::Ordering::is_le)
}

impl<'a> Record<'a> {
    fn field(self, field: Field) -> &'a str {
        self.index.text(self.index.u32(self.at + 4 * field as usize))
    }

    /// `Package`
    pub(crate) fn name(self) -> &'a str {
        self.field(Field::Name)
    }

    /// `Version`
    pub(crate) fn version(self) -> &'a str {
        self.field(Field::Version)
    }

    /// `Architecture`
    pub(crate) fn architecture(self) -> &'a str {
        self.field(Field::Architecture)
    }

    /// `Pre-Depends`
    pub(crate) fn pre_depends(self) -> &'a str {
        self.field(Field::PreDepends)
    }

    /// `Depends`
    pub(crate) fn depends(self) -> &'a str {
        self.field(Field::Depends)
    }

    /// `Conflicts`
    pub(crate) fn conflicts(self) -> &'a str {
        self.field(Field::Conflicts)
    }

    /// `Breaks`
    pub(crate) fn breaks(self) -> &'a str {
        self.field(Field::Breaks)
    }

    /// `Recommends`
    pub(crate) fn recommends(self) -> &'a str {
        self.field(Field::Recommends)
    }

    /// `Filename`, relative to the mirror.
    pub(crate) fn filename(self) -> &'a str {
        self.field(Field::Filename)
    }

    /// `Size`, in bytes.
    pub(crate) fn size(self) -> u64 {
        let at = self.at + 36;
        self.index.bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
    }

    /// `SHA256`
    pub(crate) fn sha256(self) -> Sha256 {
        let at = self.at + 44;
        Sha256(self.index.bytes.get(at..at + 32).and_then(|b| b.try_into().ok()).unwrap_or_default())
    }

    fn flags(self) -> u32 {
        self.index.u32(self.at + 76)
    }

    /// `Essential: yes`
    pub(crate) fn is_essential(self) -> bool {
        self.flags() & 1 != 0
    }

    /// `Protected: yes` (or `Important: yes`)
    pub(crate) fn is_protected(self) -> bool {
        self.flags() & 2 != 0
    }

    /// `Multi-Arch`
    pub(crate) fn multi_arch(self) -> MultiArch {
        match self.flags() >> 2 & 3 {
            1 => MultiArch::Same,
            2 => MultiArch::Foreign,
            3 => MultiArch::Allowed,
            _ => MultiArch::No,
        }
    }

    /// `Priority` as apt orders it: 1 required, 2 important, 3 standard, 4 optional, 5 extra, 0 none.
    pub(crate) fn priority(self) -> u8 {
        (self.flags() >> 4 & 7) as u8
    }
}
