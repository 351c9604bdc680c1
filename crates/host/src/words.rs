//! Words that depend on numbers.

/// `1 path`, `2 paths`.
pub fn count(n: usize, one: &str, many: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {many}") }
}
