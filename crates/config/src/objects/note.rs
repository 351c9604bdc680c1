//! The comment that belongs to a key: the lines of comment right above it.

/// The comment above the line that holds byte `at`, without its marks. `None` if there is none.
pub(super) fn above(text: &str, at: usize) -> Option<String> {
    let mut start = text.get(..at)?.rfind('\n').map_or(0, |n| n + 1);
    let mut lines = Vec::new();
    while start > 0 {
        let previous = text[..start - 1].rfind('\n').map_or(0, |n| n + 1);
        let line = text[previous..start - 1].trim();
        let Some(comment) = line.strip_prefix('#') else { break };
        lines.push(comment.strip_prefix(' ').unwrap_or(comment).trim_end().to_owned());
        start = previous;
    }
    lines.reverse();
    (!lines.is_empty()).then(|| lines.join("\n"))
}
