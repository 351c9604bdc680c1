//! Small things that several verbs say alike.

use regrow_ops::compare::{Comparison, Effects};
use regrow_ops::evidence::Brief;

/// `1 package`, `2 packages`.
pub(crate) fn count(n: usize, one: &str) -> String {
    regrow_host::words::count(n, one, &format!("{one}s"))
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

/// What differs, in sentences with its effects; ends with an empty line if there is anything to say.
pub(crate) fn in_words(found: &Comparison) -> String {
    let mut text = String::new();
    let mut tell = |who: String, words: &[String], effects: Option<&Effects>| {
        let effects = effects.map(effects_of).unwrap_or_default();
        if words.is_empty() && effects.is_empty() {
            return;
        }
        text.push_str(&format!("{}\n", bold(&who)));
        for line in words.iter().chain(&effects) {
            text.push_str(&format!("  {line}\n"));
        }
    };
    tell("the whole fleet".to_owned(), &found.fleet, None);
    for role in &found.roles {
        let mut words = role.words.clone();
        if !role.unlocked.is_empty() {
            words.push(format!("not locked yet: {}", role.unlocked.join(", ")));
        }
        let reach = count(role.servers.len(), "server");
        tell(format!("role {} ({reach})", role.name), &words, Some(&role.effects));
    }
    for server in &found.servers {
        let mut words = server.words.clone();
        if server.mistakes > 0 {
            words.push(format!("its text has {}: regrow check {}", count(server.mistakes, "mistake"), server.name));
        } else if !server.complete {
            words.push("not locked yet: packages can still differ".to_owned());
        }
        tell(server.name.clone(), &words, Some(&server.effects));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// The effects that the sentences do not tell.
fn effects_of(effects: &Effects) -> Vec<String> {
    let mut lines = Vec::new();
    if !effects.packages.is_empty() {
        let fetch = bytes(effects.download);
        lines.push(format!("packages: {} differ, at most {fetch} to fetch", effects.packages.len()));
    }
    if !effects.restarts.is_empty() {
        let units: Vec<String> = effects.restarts.iter().map(|u| format!("{} {}", u.unit, u.does)).collect();
        lines.push(format!("units: {}", units.join(", ")));
    }
    if !effects.state.is_empty() {
        lines.push(format!("kept data touched: {}", effects.state.join(", ")));
    }
    if !effects.access_critical.is_empty() {
        lines.push(format!("can lock people out: {}", effects.access_critical.join(", ")));
    }
    lines
}

/// What was proven, a line for each server, each with the beginning of the image's digest.
pub(crate) fn proofs<'b>(briefs: impl IntoIterator<Item = &'b Brief>, indent: &str) -> String {
    let mut lines: Vec<(&str, Vec<String>)> = Vec::new();
    for brief in briefs {
        let image = brief.image.as_deref().and_then(|i| i.rsplit(':').next()?.get(..12));
        let words = brief.words() + &image.map_or_else(String::new, |image| format!(" ({image})"));
        match lines.iter_mut().find(|(server, _)| *server == brief.server) {
            Some((_, all)) => all.push(words),
            None => lines.push((&brief.server, vec![words])),
        }
    }
    lines.iter().map(|(server, words)| format!("{indent}{server}: {}\n", words.join("; "))).collect()
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
