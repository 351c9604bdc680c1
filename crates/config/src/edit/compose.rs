//! Two patches, one after the other, as one.

use std::ops::Range;

use super::Patch;

/// A piece of a text: kept from the old text, or new.
#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Old(Range<usize>),
    New(String),
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Piece::Old(range) => range.len(),
            Piece::New(text) => text.len(),
        }
    }

    fn part(&self, range: Range<usize>) -> Piece {
        match self {
            Piece::Old(old) => Piece::Old(old.start + range.start..old.start + range.end),
            Piece::New(text) => Piece::New(text[range].to_owned()),
        }
    }
}

impl Patch {
    /// The patch that does `self` on `old` and then `next` on the result. Both must fit their texts.
    pub fn then(&self, old: &str, next: &Patch) -> Patch {
        let mut between = Vec::new();
        let mut at = 0;
        for (range, new) in &self.edits {
            between.push(Piece::Old(at..range.start));
            between.push(Piece::New(new.clone()));
            at = range.end;
        }
        between.push(Piece::Old(at..old.len()));
        let mut after = Vec::new();
        let mut at = 0;
        for (range, new) in &next.edits {
            copy(&between, at..range.start, &mut after);
            after.push(Piece::New(new.clone()));
            at = range.end;
        }
        let length = between.iter().map(Piece::len).sum();
        copy(&between, at..length, &mut after);
        collect(old, &after)
    }

    /// The smallest patch of one replacement that leads from `old` to `new`; empty if they are equal.
    pub fn between(old: &str, new: &str) -> Patch {
        let mut patch = Patch { edits: vec![(0..old.len(), new.to_owned())] };
        patch.tighten(old);
        patch
    }

    /// Drops from each replacement what it leaves as it was, at both ends, in whole characters.
    pub(super) fn tighten(&mut self, old: &str) {
        for (range, new) in &mut self.edits {
            let was = &old[range.clone()];
            let same = |pairs: &mut dyn Iterator<Item = (char, char)>| {
                pairs.take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum::<usize>()
            };
            let head = same(&mut was.chars().zip(new.chars()));
            let tail = same(&mut was[head..].chars().rev().zip(new[head..].chars().rev()));
            *range = range.start + head..range.end - tail;
            *new = new[head..new.len() - tail].to_owned();
        }
        self.edits.retain(|(range, new)| !range.is_empty() || !new.is_empty());
    }
}

/// Copies the bytes `range` of the pieces together.
fn copy(pieces: &[Piece], range: Range<usize>, out: &mut Vec<Piece>) {
    let mut start = 0;
    for piece in pieces {
        let end = start + piece.len();
        let (from, to) = (range.start.max(start), range.end.min(end));
        if from < to {
            out.push(piece.part(from - start..to - start));
        }
        start = end;
    }
}

fn collect(old: &str, pieces: &[Piece]) -> Patch {
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    let mut at = 0;
    let mut new = String::new();
    for piece in pieces {
        match piece {
            Piece::New(text) => new.push_str(text),
            Piece::Old(range) if range.is_empty() => {}
            Piece::Old(range) => {
                if range.start > at || !new.is_empty() {
                    edits.push((at..range.start, std::mem::take(&mut new)));
                }
                at = range.end;
            }
        }
    }
    if old.len() > at || !new.is_empty() {
        edits.push((at..old.len(), new));
    }
    edits.retain(|(range, new)| old[range.clone()] != **new);
    Patch { edits }
}
