//! Common subsequences, and three texts merged line by line.

use std::ops::Range;

/// Index pairs of a longest common subsequence, both rising.
pub(crate) fn common<T: PartialEq>(a: &[T], b: &[T]) -> Vec<(usize, usize)> {
    let head = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let tail = a[head..].iter().rev().zip(b[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (inner_a, inner_b) = (&a[head..a.len() - tail], &b[head..b.len() - tail]);
    let mut pairs: Vec<(usize, usize)> = (0..head).map(|i| (i, i)).collect();
    pairs.extend(table(inner_a, inner_b).into_iter().map(|(i, j)| (i + head, j + head)));
    pairs.extend((0..tail).map(|i| (a.len() - tail + i, b.len() - tail + i)));
    pairs
}

/// Rows times columns beyond which the middle counts as all different.
const TOO_LARGE: usize = 16 << 20;

fn table<T: PartialEq>(a: &[T], b: &[T]) -> Vec<(usize, usize)> {
    if a.is_empty() || b.is_empty() || a.len().saturating_mul(b.len()) > TOO_LARGE {
        return Vec::new();
    }
    let width = b.len() + 1;
    let mut length = vec![0u32; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            length[i * width + j] = match a[i] == b[j] {
                true => length[(i + 1) * width + j + 1] + 1,
                false => length[(i + 1) * width + j].max(length[i * width + j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut pairs = Vec::new();
    while i < a.len() && j < b.len() {
        if a[i] == b[j] {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if length[(i + 1) * width + j] >= length[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

/// Lines of `base` that another text replaces by its own lines; at least one of the two is not empty.
#[derive(Debug, Clone, PartialEq)]
struct Hunk {
    base: Range<usize>,
    other: Range<usize>,
}

fn hunks(base: &[&str], other: &[&str]) -> Vec<Hunk> {
    let mut out = Vec::new();
    let mut at = (0, 0);
    for (i, j) in common(base, other).into_iter().chain([(base.len(), other.len())]) {
        if at != (i, j) {
            out.push(Hunk { base: at.0..i, other: at.1..j });
        }
        at = (i + 1, j + 1);
    }
    out
}

/// `ours` with those changes from `base` to `theirs` whose lines ours did not touch; where both changed the same
/// lines, or put something in at the same place, ours stays.
pub(crate) fn merge(base: &str, ours: &str, theirs: &str) -> String {
    let split = |text| str::split_inclusive(text, '\n').collect::<Vec<&str>>();
    let (base, ours, theirs) = (split(base), split(ours), split(theirs));
    let mine = hunks(&base, &ours);
    let mut out = String::new();
    let mut at = 0;
    let take = |range: Range<usize>, out: &mut String| {
        for line in &ours[range] {
            push_line(out, line);
        }
    };
    for hunk in hunks(&base, &theirs) {
        let meets = |own: &Hunk| {
            let insert = own.base.is_empty() || hunk.base.is_empty();
            match insert {
                true => own.base.start <= hunk.base.end && hunk.base.start <= own.base.end,
                false => own.base.start < hunk.base.end && hunk.base.start < own.base.end,
            }
        };
        if mine.iter().any(meets) {
            continue;
        }
        // Lines of base before the hunk, as they are counted in ours.
        let moved: isize = mine
            .iter()
            .filter(|own| own.base.end <= hunk.base.start)
            .map(|own| own.other.len() as isize - own.base.len() as isize)
            .sum();
        let start = hunk.base.start.wrapping_add_signed(moved);
        take(at..start, &mut out);
        for line in &theirs[hunk.other.clone()] {
            push_line(&mut out, line);
        }
        at = start + hunk.base.len();
    }
    take(at..ours.len(), &mut out);
    out
}

/// Adds a line; one without an end that others follow gets one.
fn push_line(out: &mut String, line: &str) {
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
    out.push_str(line);
}
