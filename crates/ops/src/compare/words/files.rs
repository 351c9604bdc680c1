//! Files: those declared in the text and those of `root/`.

use regrow_config::{FileEntry, FileKind, RootContent, RootFile, Server};

use super::{Change, each};

pub(super) fn declared(old: &Server, new: &Server, words: &mut Vec<String>) {
    each(&old.files, &new.files, |path, change| match change {
        Change::Added(entry) => words.push(match &entry.kind {
            FileKind::Regular { .. } => format!("{path} is written"),
            FileKind::Symlink { target } => format!("{path} leads to {target}"),
            FileKind::Directory => format!("The directory {path} is made"),
        }),
        Change::Removed(_) => words.push(gone(path)),
        Change::Both(old, new) => both(path, old, new, words),
    });
}

fn gone(path: &str) -> String {
    format!("{path} is no longer written")
}

fn both(path: &str, old: &FileEntry, new: &FileEntry, words: &mut Vec<String>) {
    match (&old.kind, &new.kind) {
        (FileKind::Regular { content: a, source: from }, FileKind::Regular { content: b, source: to }) => {
            if a != b {
                words.push(format!("The content of {path} changes{}", lines(a, b)));
            } else if from != to {
                words.push(match to {
                    Some(to) => format!("The content of {path} is kept in {to}"),
                    None => format!("The content of {path} is kept in the text itself"),
                });
            }
        }
        (FileKind::Symlink { target: a }, FileKind::Symlink { target: b }) if a != b => {
            words.push(format!("{path} leads to {b}, not {a}"));
        }
        (a, b) if std::mem::discriminant(a) != std::mem::discriminant(b) => {
            let what = match b {
                FileKind::Regular { .. } => "a file".to_owned(),
                FileKind::Symlink { target } => format!("a link to {target}"),
                FileKind::Directory => "a directory".to_owned(),
            };
            words.push(format!("{path} becomes {what}"));
        }
        _ => {}
    }
    let same_kind = std::mem::discriminant(&old.kind) == std::mem::discriminant(&new.kind);
    if old.mode != new.mode && same_kind {
        words.push(mode(path, old.mode, new.mode));
    }
    if (&old.owner, &old.group) != (&new.owner, &new.group) {
        words.push(format!("{path} belongs to {}:{}, not {}:{}", new.owner, new.group, old.owner, old.group));
    }
}

fn mode(path: &str, old: u32, new: u32) -> String {
    format!("The permissions of {path} {old:04o} → {new:04o}")
}

pub(super) fn root(old: &Server, new: &Server, words: &mut Vec<String>) {
    each(&old.root_files, &new.root_files, |path, change| match change {
        Change::Added(file) => words.push(match &file.content {
            RootContent::Bytes(_) => format!("{path} is written"),
            RootContent::Symlink(target) => format!("{path} leads to {target}"),
        }),
        Change::Removed(_) => words.push(gone(path)),
        Change::Both(old, new) => both_root(path, old, new, words),
    });
}

fn both_root(path: &str, old: &RootFile, new: &RootFile, words: &mut Vec<String>) {
    match (&old.content, &new.content) {
        (RootContent::Bytes(a), RootContent::Bytes(b)) if a != b => {
            words.push(format!("The content of {path} changes{}", lines(a, b)));
        }
        (RootContent::Symlink(a), RootContent::Symlink(b)) if a != b => {
            words.push(format!("{path} leads to {b}, not {a}"));
        }
        (RootContent::Bytes(_), RootContent::Symlink(b)) => words.push(format!("{path} becomes a link to {b}")),
        (RootContent::Symlink(_), RootContent::Bytes(_)) => words.push(format!("{path} becomes a file")),
        _ if old.mode != new.mode => words.push(mode(path, old.mode, new.mode)),
        _ => {}
    }
}

/// By how many lines two texts differ in length: " (2 lines more)". Nothing for what is no text.
fn lines(old: &[u8], new: &[u8]) -> String {
    let count = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(|text| text.lines().count());
    let (Some(old), Some(new)) = (count(old), count(new)) else { return String::new() };
    let (by, what) = if new > old { (new - old, "more") } else { (old - new, "fewer") };
    match by {
        0 => String::new(),
        1 => format!(" (1 line {what})"),
        n => format!(" ({n} lines {what})"),
    }
}
