//! Finding paths by pattern.

use super::{Dir, Entry, Node, Tree, join, split};

impl Tree {
    /// The paths that match `pattern`, sorted as [`Tree::walk`] goes. Matching is per component and follows no links:
    /// `*` any bytes, `?` one byte, `[a-z]` one of a set (`[!…]` one not of it), `**` alone any number of components.
    /// A leading dot needs no special care. The pattern `/` is the root.
    pub fn glob(&self, pattern: impl AsRef<[u8]>) -> Vec<Vec<u8>> {
        let parts: Vec<&[u8]> = split(pattern.as_ref()).collect();
        let mut found = Vec::new();
        self.glob_dir(&self.root, &mut Vec::new(), &parts, &mut found);
        // `a/**/b` can reach one path in several ways, and out of order.
        found.sort();
        found.dedup();
        found.iter().map(|path| join(path)).collect()
    }

    fn glob_dir(&self, dir: &Dir, at: &mut Vec<Vec<u8>>, parts: &[&[u8]], found: &mut Vec<Vec<Vec<u8>>>) {
        let Some((part, rest)) = parts.split_first() else {
            found.push(at.clone());
            return;
        };
        if *part == b"**" {
            self.glob_dir(dir, at, rest, found);
        }
        for (name, node) in &dir.entries {
            let below = if *part == b"**" {
                parts
            } else if matches(part, name) {
                rest
            } else {
                continue;
            };
            at.push(name.clone());
            match node {
                Node::Dir(dir) => self.glob_dir(dir, at, below, found),
                Node::Leaf(_) if below.iter().all(|p| *p == b"**") => found.push(at.clone()),
                Node::Leaf(_) => {}
            }
            at.pop();
        }
    }

    /// Removes what matches `pattern` (see [`Tree::glob`]); returns the removed paths.
    pub fn remove_matching(&mut self, pattern: impl AsRef<[u8]>) -> Vec<Vec<u8>> {
        let mut paths = self.glob(pattern);
        paths.retain(|path| self.remove(path));
        paths
    }

    /// The regular files that match `pattern`.
    pub fn glob_files(&self, pattern: impl AsRef<[u8]>) -> Vec<Vec<u8>> {
        let mut paths = self.glob(pattern);
        paths.retain(|path| self.get(path).is_some_and(|e: Entry<'_>| e.as_file().is_some()));
        paths
    }
}

/// Whether one component matches; backtracks only to the last `*`, so time is at most pattern × name.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, n));
                p += 1;
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'[') => match set(&pattern[p..], name[n]) {
                Some((true, length)) => Some(length),
                Some((false, _)) => None,
                None => (name[n] == b'[').then_some(1),
            },
            Some(b) if *b == name[n] => Some(1),
            _ => None,
        };
        match (step, star) {
            (Some(length), _) => {
                p += length;
                n += 1;
            }
            (None, Some((after, from))) => {
                p = after;
                n = from + 1;
                star = Some((after, from + 1));
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

/// Reads a `[…]` at the start of `pattern`: whether `byte` is in it, and its length. `None` if it has no end.
fn set(pattern: &[u8], byte: u8) -> Option<(bool, usize)> {
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let start = if negated { 2 } else { 1 };
    // A `]` that comes first stands for itself.
    let end = start + 1 + pattern.get(start + 1..)?.iter().position(|b| *b == b']')?;
    let body = &pattern[start..end];
    let mut inside = false;
    let mut i = 0;
    while i < body.len() {
        if i + 2 < body.len() && body[i + 1] == b'-' {
            inside |= (body[i]..=body[i + 2]).contains(&byte);
            i += 3;
        } else {
            inside |= body[i] == byte;
            i += 1;
        }
    }
    Some((inside != negated, end + 1))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn components_match_as_in_a_shell() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "a"),
            ("a*c", "abbc"),
            ("?", "x"),
            ("[a-c]x", "bx"),
            ("[!a]", "b"),
            ("[]]", "]"),
            ("[", "["),
            ("*.py[co]", "a.pyc"),
            ("**", "a"),
        ] {
            assert!(matches(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
        for (pattern, name) in
            [("", "a"), ("?", ""), ("a*c", "abb"), ("[a-c]", "d"), ("[!a]", "a"), ("a", "ab"), ("*.py[co]", "a.py")]
        {
            assert!(!matches(pattern.as_bytes(), name.as_bytes()), "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_do_not_take_exponential_time() {
        assert!(!matches("*a".repeat(100).as_bytes(), "b".repeat(255).as_bytes()));
    }
}
