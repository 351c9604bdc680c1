//! Elements of arrays: added, removed and replaced one by one, so that the other elements keep their lines, comments,
//! indentation and the style of the last comma.

use std::ops::Range;

use super::certificate::{Change, certify};
use super::outline::{Entry, Outline, line_end, line_start, newline};
use super::plain::{self, Plain};
use super::{EditError, Patch};
use crate::KeyPath;
use crate::schema;

/// Adds `value` at the end of the array `key`, if it is not in it.
pub(super) fn add(text: &str, key: &str, value: &str) -> Result<Patch, EditError> {
    let path = KeyPath::parse(key)?;
    let literal = super::literal(value)?;
    let outline = Outline::read(text)?;
    let wanted = parsed(&path, &literal)?;
    let table = plain::parse(text).unwrap_or_default();
    let mut elements = match plain::get(&table, &path.0) {
        Some(found) if !holds_list(&path) => {
            return if *found == wanted { Ok(Patch::default()) } else { Err(EditError::Taken { key: path }) };
        }
        None if !holds_list(&path) => return super::set(text, key, &literal),
        None => return super::set(text, key, &format!("[{literal}]")),
        Some(Plain::Array(elements)) => elements.clone(),
        Some(_) => return Err(EditError::NotArray { key: path }),
    };
    let Some(Entry { elements: Some(ranges), .. }) = outline.entry(&path.0) else {
        return Err(EditError::Unsupported { key: path, reason: "it is an array of tables" });
    };
    if elements.contains(&wanted) {
        return Ok(Patch::default());
    }
    let patch = insert(text, &path, ranges.len(), &literal).ok_or_else(|| refused(&path))?;
    elements.push(wanted);
    certify(text, &patch, &path, Change::Put(Plain::Array(elements)), &[])?;
    Ok(patch)
}

/// Whether what the schema knows of a key leaves room for an array.
fn holds_list(key: &KeyPath) -> bool {
    let list = schema::known(key).is_none_or(|info| matches!(info.hint, schema::Hint::List(_) | schema::Hint::Any));
    list && !schema::is_free_name(key)
}

/// Removes every element that equals `value` from the array `key`.
pub(super) fn remove(text: &str, key: &str, value: &str) -> Result<Patch, EditError> {
    let path = KeyPath::parse(key)?;
    let literal = super::literal(value)?;
    let outline = Outline::read(text)?;
    let wanted = parsed(&path, &literal)?;
    let table = plain::parse(text).unwrap_or_default();
    let elements = match plain::get(&table, &path.0) {
        None => return Err(EditError::Absent { key: path, hint: None }),
        Some(Plain::Array(elements)) => elements,
        Some(_) => return Err(EditError::NotArray { key: path }),
    };
    if !elements.contains(&wanted) {
        return Err(EditError::NoElement { key: path, value: value.to_owned() });
    }
    if outline.in_array(&path.0) {
        return Err(EditError::Unsupported { key: path, reason: "it is an array of tables" });
    }
    let mut steps = Steps::on(text);
    for index in (0..elements.len()).rev().filter(|i| elements[*i] == wanted) {
        let patch = taken(&steps.now, &path, index).ok_or_else(|| refused(&path))?;
        steps.step(&patch);
    }
    let left = elements.iter().filter(|element| **element != wanted).cloned().collect();
    let owned: Vec<Range<usize>> = steps.all.edits.iter().map(|(range, _)| range.clone()).collect();
    certify(text, &steps.all, &path, Change::Put(Plain::Array(left)), &owned)?;
    Ok(steps.all)
}

/// Sets a whole array element by element, where that keeps something worth keeping: the old one has lines or comments
/// of its own, the new one has none, and they have elements in common.
pub(super) fn set(text: &str, entry: &Entry, key: &KeyPath, literal: &str, wanted: &Plain) -> Option<Patch> {
    let elements = entry.elements.as_ref()?;
    let Plain::Array(wanted) = wanted else { return None };
    if !text[entry.value.clone()].contains('\n') || literal.contains('\n') {
        return None;
    }
    let table = plain::parse(text)?;
    let Some(Plain::Array(old)) = plain::get(&table, &key.0) else { return None };
    let ranges = literal_elements(literal)?;
    if old.len() != elements.len() || ranges.len() != wanted.len() || old.len() * wanted.len() > 1 << 20 {
        return None;
    }
    let kept = crate::merge::lines::common(old, wanted);
    if kept.is_empty() && !wanted.is_empty() {
        return None;
    }
    // From the end to the start, so that indexes before stay right.
    let mut ends = (old.len(), wanted.len());
    let mut gaps = Vec::new();
    for (i, j) in kept.iter().rev() {
        gaps.push((i + 1..ends.0, j + 1..ends.1));
        ends = (*i, *j);
    }
    gaps.push((0..ends.0, 0..ends.1));
    let mut steps = Steps::on(text);
    for (gone, come) in gaps {
        // What stands at the same place is replaced there and keeps its comment.
        let both = gone.len().min(come.len());
        for index in (gone.start + both..gone.end).rev() {
            let patch = taken(&steps.now, key, index)?;
            steps.step(&patch);
        }
        for (at, new) in come.enumerate() {
            let (literal, index) = (&literal[ranges[new].clone()], gone.start + at);
            let patch = match at < both {
                true => replace(&steps.now, key, index, literal)?,
                false => insert(&steps.now, key, index, literal)?,
            };
            steps.step(&patch);
        }
    }
    // On one line nothing is left that was worth keeping: then it becomes the very literal that was asked for.
    if !steps.now[Array::find(&steps.now, key)?.value].contains('\n') {
        return None;
    }
    let owned = [entry.value.clone()];
    certify(text, &steps.all, key, Change::Put(Plain::Array(wanted.clone())), &owned).ok()?;
    Some(steps.all)
}

/// An element as it is written, and the comment at the end of its line if it is alone on it.
pub(crate) fn written(text: &str, key: &KeyPath, element: &Plain) -> Option<(String, Option<String>)> {
    let (array, index) = position(text, key, element)?;
    let comment = array.rest(text, index).filter(|rest| text[rest.clone()].trim_start().starts_with('#'));
    let literal = text[array.elements[index].clone()].to_owned();
    Some((literal, comment.map(|range| text[range].trim_end().to_owned())))
}

/// The patch that puts a comment (with what stands before its mark) at the end of the line of an element that is alone
/// on it.
pub(crate) fn comment(text: &str, key: &KeyPath, element: &Plain, comment: &str) -> Option<Patch> {
    let (array, index) = position(text, key, element)?;
    let rest = array.rest(text, index).filter(|rest| text[rest.clone()].trim().is_empty())?;
    let end = rest.start + text[rest.clone()].trim_end_matches(['\r', '\n']).len();
    let patch = Patch { edits: vec![(rest.start..end, comment.to_owned())] };
    certify(text, &patch, key, Change::Nothing, &[]).ok().map(|()| patch)
}

fn position(text: &str, key: &KeyPath, element: &Plain) -> Option<(Array, usize)> {
    let array = Array::find(text, key)?;
    let table = plain::parse(text)?;
    let Some(Plain::Array(elements)) = plain::get(&table, &key.0) else { return None };
    let index = elements.iter().position(|found| found == element)?;
    (elements.len() == array.elements.len()).then_some((array, index))
}

/// Patches made one after the other.
struct Steps<'t> {
    old: &'t str,
    now: String,
    all: Patch,
}

impl<'t> Steps<'t> {
    fn on(old: &'t str) -> Steps<'t> {
        Steps { old, now: old.to_owned(), all: Patch::default() }
    }

    fn step(&mut self, patch: &Patch) {
        self.now = patch.apply(&self.now);
        self.all = self.all.then(self.old, patch);
    }
}

fn refused(key: &KeyPath) -> EditError {
    EditError::NotCertified { key: key.clone() }
}

fn parsed(key: &KeyPath, literal: &str) -> Result<Plain, EditError> {
    plain::parse_value(literal).ok_or_else(|| refused(key))
}

/// Where the elements of the array that is the value of a literal are.
fn literal_elements(literal: &str) -> Option<Vec<Range<usize>>> {
    let text = format!("x={literal}");
    let outline = Outline::read(&text).ok()?;
    let elements = outline.entry(&["x".to_owned()])?.elements.as_ref()?;
    Some(elements.iter().map(|range| range.start - 2..range.end - 2).collect())
}

/// An array in a text, or an inline table, whose elements are its keys with their values.
pub(crate) struct Array {
    /// From bracket to bracket.
    pub(crate) value: Range<usize>,
    pub(crate) elements: Vec<Range<usize>>,
}

impl Array {
    fn find(text: &str, key: &KeyPath) -> Option<Array> {
        let outline = Outline::read(text).ok()?;
        let entry = outline.entry(&key.0)?;
        Some(Array { value: entry.value.clone(), elements: entry.elements.clone()? })
    }

    /// The comma after element `index`.
    fn comma(&self, text: &str, index: usize) -> Option<usize> {
        let end = self.elements.get(index + 1).map_or(self.value.end - 1, |next| next.start);
        comma(text, self.elements[index].end..end)
    }

    /// Puts an element after the last one, of which there must be one.
    pub(super) fn append(&self, text: &str, literal: &str) -> Vec<(Range<usize>, String)> {
        let end = newline(text, self.value.start);
        let last = self.elements.len() - 1;
        let element = &self.elements[last];
        let comma = self.comma(text, last);
        let lines = self.begins_line(text, last);
        let after = comma.map_or(element.end, |at| at + 1);
        let trailing = if comma.is_some() { "," } else { "" };
        let missing = if comma.is_some() { "" } else { "," };
        if !lines {
            return vec![(after..after, format!("{missing} {literal}{trailing}"))];
        }
        let indent = &text[line_start(text, element.start)..element.start];
        let line = line_end(text, after);
        if line >= self.value.end {
            // The bracket stands on the line of the last element.
            return vec![(after..after, format!("{missing}{end}{indent}{literal}{trailing}"))];
        }
        let mut edits = Vec::new();
        if comma.is_none() {
            edits.push((element.end..element.end, ",".to_owned()));
        }
        edits.push((line..line, format!("{indent}{literal}{trailing}{end}")));
        edits
    }

    /// Removes element `index` with what is its own: its line with the comment on it, and the comment right above if that
    /// cannot be the heading of the elements below.
    pub(super) fn take(&self, text: &str, index: usize) -> Option<Patch> {
        let element = self.elements.get(index)?.clone();
        let comma = self.comma(text, index);
        let after = comma.map_or(element.end, |at| at + 1);
        let line = line_start(text, element.start);
        let next_line = line_end(text, after);
        let rest = text[after..next_line].trim();
        let alone = self.begins_line(text, index)
            && line > self.value.start
            && next_line < self.value.end
            && (rest.is_empty() || rest.starts_with('#'));
        let mut edits = Vec::new();
        let last = index + 1 == self.elements.len();
        if last && comma.is_none() && index > 0 && alone {
            // The list had no comma at its end, and shall have none.
            let before = self.comma(text, index - 1)?;
            edits.push((before..before + 1, String::new()));
        }
        if alone {
            let above = super::outline::comment_block_above(text, line).max(line_end(text, self.value.start).min(line));
            let follows = text[next_line..line_end(text, next_line)].trim();
            let heading = !(follows.is_empty() || follows.starts_with(['#', ']']));
            edits.push((if heading { line } else { above }..next_line, String::new()));
            return Some(Patch { edits });
        }
        let blank = |range: Range<usize>| text[range].chars().all(|c| c == ' ' || c == '\t' || c == ',');
        let previous = index.checked_sub(1).map(|i| self.elements[i].end);
        let range = match (self.elements.get(index + 1), previous) {
            (Some(next), _) if blank(element.end..next.start) => element.start..next.start,
            (_, Some(previous)) if blank(previous..element.start) => previous..element.end,
            (None, None) if blank(self.value.start + 1..element.start) && blank(element.end..self.value.end - 1) => {
                self.value.start + 1..self.value.end - 1
            }
            (None, None) if blank(after..self.value.end - 1) => element.start..after,
            _ if comma.is_some() => {
                let comma = comma?;
                edits.push((element, String::new()));
                edits.push((comma..comma + 1, String::new()));
                return Some(Patch { edits });
            }
            (None, Some(_)) => {
                let before = self.comma(text, index - 1)?;
                edits.push((before..before + 1, String::new()));
                element
            }
            _ => element,
        };
        edits.push((range, String::new()));
        Some(Patch { edits })
    }

    /// What follows element `index` and its comma on its line, if it is the only one there.
    fn rest(&self, text: &str, index: usize) -> Option<Range<usize>> {
        let after = self.comma(text, index).map_or(self.elements[index].end, |at| at + 1);
        let end = line_end(text, after);
        (self.begins_line(text, index) && end < self.value.end).then_some(after..end)
    }

    /// Whether element `index` begins its line.
    fn begins_line(&self, text: &str, index: usize) -> bool {
        let start = self.elements[index].start;
        text[line_start(text, start)..start].trim().is_empty()
    }
}

/// The first comma of a range that is not in a comment.
fn comma(text: &str, range: Range<usize>) -> Option<usize> {
    let mut comment = false;
    for (at, byte) in text.as_bytes()[range.clone()].iter().enumerate() {
        match byte {
            b'#' => comment = true,
            b'\n' => comment = false,
            b',' if !comment => return Some(range.start + at),
            _ => {}
        }
    }
    None
}

fn taken(text: &str, key: &KeyPath, index: usize) -> Option<Patch> {
    Array::find(text, key)?.take(text, index)
}

fn replace(text: &str, key: &KeyPath, index: usize, literal: &str) -> Option<Patch> {
    let array = Array::find(text, key)?;
    Some(Patch { edits: vec![(array.elements.get(index)?.clone(), literal.to_owned())] })
}

/// Puts an element before element `index`, or at the end.
fn insert(text: &str, key: &KeyPath, index: usize, literal: &str) -> Option<Patch> {
    let array = Array::find(text, key)?;
    let end = newline(text, array.value.start);
    if array.elements.is_empty() {
        return Some(Patch { edits: vec![first_element(text, &array, end, literal)] });
    }
    if let Some(next) = array.elements.get(index) {
        if !array.begins_line(text, index) {
            return Some(Patch { edits: vec![(next.start..next.start, format!("{literal}, "))] });
        }
        let line = line_start(text, next.start);
        let at = super::outline::comment_block_above(text, line);
        let indent = &text[line..next.start];
        return Some(Patch { edits: vec![(at..at, format!("{indent}{literal},{end}"))] });
    }
    Some(Patch { edits: array.append(text, literal) })
}

/// The first element of an empty array.
fn first_element(text: &str, array: &Array, end: &str, literal: &str) -> (Range<usize>, String) {
    let inside = array.value.start + 1..array.value.end - 1;
    let within = &text[inside.clone()];
    if within.trim().is_empty() && !within.contains('\n') {
        return (inside, literal.to_owned());
    }
    if !within.contains('\n') {
        return (inside.start..inside.start, literal.to_owned());
    }
    // On a line of its own above the bracket, indented like a comment in it, or one step deeper than the bracket.
    let close = line_start(text, inside.end);
    let outer: String = text[line_start(text, array.value.start)..].chars().take_while(|c| c.is_whitespace()).collect();
    let inner = within.lines().skip(1).find(|line| line.trim_start().starts_with('#'));
    let indent = inner.map_or_else(
        || format!("{}  ", outer.trim_matches(['\r', '\n'])),
        |line| line[..line.len() - line.trim_start().len()].to_owned(),
    );
    if text[close..inside.end].trim().is_empty() {
        (close..close, format!("{indent}{literal},{end}"))
    } else {
        (inside.end..inside.end, format!("{literal},"))
    }
}
