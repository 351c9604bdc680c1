//! Small things that several verbs say alike.

/// `1 package`, `2 packages`.
pub(crate) fn count(n: usize, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

/// A number of bytes with a unit that suits it.
pub(crate) fn bytes(n: u64) -> String {
    indicatif::HumanBytes(n).to_string()
}

/// A time as people here write it, in UTC.
pub(crate) fn time(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

/// Bold where a terminal is; the stream removes it elsewhere.
pub(crate) fn bold(text: &str) -> String {
    format!("\x1b[1m{text}\x1b[0m")
}

/// Red for what is bad, green for what is good; the word says it too.
pub(crate) fn judged(good: bool, text: &str) -> String {
    format!("\x1b[1;{}m{text}\x1b[0m", if good { 32 } else { 31 })
}

/// Lines in columns: every column but the last as wide as its widest cell. Styles do not count.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let width = |cell: &str| anstream::adapter::strip_str(cell).to_string().chars().count();
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (n, cell) in row.iter().enumerate() {
            if n == widths.len() {
                widths.push(0);
            }
            widths[n] = widths[n].max(width(cell));
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (n, cell) in row.iter().enumerate() {
            line.push_str(cell);
            if n + 1 < row.len() {
                line.push_str(&" ".repeat(widths[n] - width(cell) + 2));
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_their_style() {
        let rows = [vec![bold("a"), "b".to_owned()], vec!["long".to_owned(), "c".to_owned()]];
        assert_eq!(anstream::adapter::strip_str(&table(&rows)).to_string(), "a     b\nlong  c\n");
    }
}
