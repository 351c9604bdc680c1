//! The nearest known word, for "did you mean".

/// Candidates that are near enough to `word` to be meant, nearest first, at most `limit`.
pub(crate) fn near<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>, limit: usize) -> Vec<&'a str> {
    let most = match word.chars().count() {
        0..=4 => 1,
        5..=9 => 2,
        _ => 3,
    };
    let mut found: Vec<(usize, &str)> = candidates
        .into_iter()
        .filter(|c| *c != word)
        .filter_map(|c| {
            let d = if c.replace('_', "-") == word.replace('_', "-") { 0 } else { distance(word, c) };
            (d <= most && d < c.chars().count()).then_some((d, c))
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().take(limit).map(|(_, c)| c).collect()
}

/// Edits between two words: insert, remove, replace, swap two neighbours; letter case counts nothing.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().flat_map(char::to_lowercase).collect();
    let b: Vec<char> = b.chars().flat_map(char::to_lowercase).collect();
    let width = b.len() + 1;
    let mut rows = vec![0; (a.len() + 1) * width];
    for (j, cell) in rows.iter_mut().enumerate().take(width) {
        *cell = j;
    }
    for i in 1..=a.len() {
        rows[i * width] = i;
        for j in 1..=b.len() {
            let replaced = rows[(i - 1) * width + j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[(i - 1) * width + j] + 1).min(rows[i * width + j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[(i - 2) * width + j - 2] + 1);
            }
            rows[i * width + j] = best;
        }
    }
    rows[a.len() * width + b.len()]
}

/// "did you mean `x`?" for the nearest candidate, if one is near.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    near(word, candidates, 1).first().map(|c| format!("did you mean `{c}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_edits_and_swaps() {
        for (a, b, d) in [("", "", 0), ("a", "", 1), ("ngnix", "nginx", 1), ("port", "Ports", 1), ("abc", "xyz", 3)] {
            assert_eq!(distance(a, b), d, "{a} {b}");
        }
    }

    #[test]
    fn only_near_words_are_proposed() {
        assert_eq!(near("timout", ["timeout", "mode", "stdout"], 2), ["timeout"]);
        assert_eq!(near("on-calendar", ["on_calendar", "command"], 2), ["on_calendar"]);
        assert!(near("x", ["y", "zz"], 2).is_empty(), "a word of which nothing is left is not near");
        assert!(near("frobnicate", ["mode", "owner"], 2).is_empty());
    }
}
