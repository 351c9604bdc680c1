//! One line for timelines and suggested messages.

use super::Comparison;

/// The most characters of a summary.
pub const SUMMARY: usize = 72;

/// The line; empty if nothing differs.
pub(super) fn line(comparison: &Comparison) -> String {
    let mut words: Vec<(Option<&str>, &String)> = Vec::new();
    words.extend(comparison.servers.iter().flat_map(|s| s.words.iter().map(|w| (Some(&*s.name), w))));
    words.extend(comparison.roles.iter().flat_map(|r| r.words.iter().map(|w| (Some(&*r.name), w))));
    words.extend(comparison.fleet.iter().map(|w| (None, w)));
    let Some((subject, first)) = words.first() else { return files(comparison) };
    let subjects: std::collections::BTreeSet<_> = words.iter().map(|(subject, _)| subject).collect();
    // What begins with the name of its subject needs it only once.
    let lead = match subject {
        _ if subjects.len() > 1 => format!("{} places: ", subjects.len()),
        Some(name) if !first.contains(&format!(" {name} ")) && !first.ends_with(&format!(" {name}")) => {
            format!("{name}: ")
        }
        _ => String::new(),
    };
    // As many as there is room for, then how many more there are.
    let all: Vec<String> = words.iter().map(|(_, w)| short(w)).collect();
    for shown in (1..=all.len()).rev() {
        let rest = all.len() - shown;
        let more = if rest == 0 { String::new() } else { format!(" and {rest} more") };
        let line = format!("{lead}{}{more}", all[..shown].join(", "));
        if line.chars().count() <= SUMMARY {
            return line;
        }
    }
    let more = if all.len() > 1 { format!(" and {} more", all.len() - 1) } else { String::new() };
    let room = SUMMARY.saturating_sub(lead.chars().count() + more.chars().count());
    format!("{lead}{}{more}", cut(&all[0], room))
}

/// Without what stands in brackets at the end.
fn short(word: &str) -> String {
    word.split_once(": ").map_or(word, |(first, _)| first).to_owned()
}

/// When no value differs: comments, layout, files of no server.
fn files(comparison: &Comparison) -> String {
    let text = |path: &str| path.ends_with(".toml");
    let what =
        |path: &str| if text(path) { format!("Comments and layout of {path}") } else { format!("{path} changes") };
    match &comparison.paths[..] {
        [] => String::new(),
        [one] => cut(&what(&one.path), SUMMARY),
        many if many.iter().all(|p| text(&p.path)) => format!("Comments and layout of {} files", many.len()),
        many => format!("{} files change", many.len()),
    }
}

/// At most `room` characters, with an ellipsis where it was cut.
fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(room.saturating_sub(1)).collect();
    out.truncate(out.trim_end().len());
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::super::{RoleComparison, ServerComparison};
    use super::*;
    use regrow_history::PathChange;

    fn server(name: &str, words: &[&str]) -> Comparison {
        let words = words.iter().map(|w| (*w).to_owned()).collect();
        let servers = vec![ServerComparison { name: name.into(), words, ..Default::default() }];
        Comparison { servers, ..Default::default() }
    }

    #[test]
    fn one_line_has_as_many_words_as_fit() {
        assert_eq!(line(&Comparison::default()), "");
        assert_eq!(line(&server("web1", &["nginx starts at boot"])), "web1: nginx starts at boot");
        assert_eq!(line(&server("web1", &["The server web1 is removed"])), "The server web1 is removed");
        let many =
            server("web1", &["nginx starts at boot", "Port 8080 opens, 8081 closes", "PostgreSQL 17.2 → 17.4", "x"]);
        assert_eq!(line(&many), "web1: nginx starts at boot, Port 8080 opens, 8081 closes and 2 more");
        let long = server("web1", &["ä".repeat(100).as_str(), "more"]);
        assert_eq!(line(&long).chars().count(), SUMMARY, "{}", line(&long));
        let mut two = server("web1", &["nginx is added"]);
        two.roles.push(RoleComparison {
            name: "base".into(),
            words: vec!["vim is added".into()],
            ..Default::default()
        });
        assert_eq!(line(&two), "2 places: nginx is added, vim is added");
    }

    #[test]
    fn what_has_no_words_is_told_by_its_files() {
        let path = |path: &str| PathChange { path: path.into(), change: "changed" };
        let mut comparison = Comparison { paths: vec![path("servers/web1/server.toml")], ..Default::default() };
        assert_eq!(line(&comparison), "Comments and layout of servers/web1/server.toml");
        comparison.paths.push(path("README.md"));
        assert_eq!(line(&comparison), "2 files change");
    }
}
