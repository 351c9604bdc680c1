//! `sysusers.d`: lines of type, name, id and more; only the first three matter here.

use super::Accounts;

/// Reads one file.
pub(super) fn read(text: &str, into: &mut Accounts) {
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let words = words(line);
        let word = |i: usize| words.get(i).map(String::as_str).filter(|w| !w.is_empty() && *w != "-");
        let (Some(kind), Some(name)) = (word(0), word(1)) else { continue };
        match kind.trim_end_matches('!') {
            "u" => {
                // "-", "7" or a path whose owner counts; in "7:8", "7:group" and "-:group" the group is somebody else's.
                let id = word(2).unwrap_or_default();
                match id.split_once(':') {
                    Some((uid, _)) => into.user(name, uid.parse().ok()),
                    None => {
                        into.user(name, id.parse().ok());
                        into.group(name, id.parse().ok());
                    }
                }
            }
            "g" => into.group(name, word(2).and_then(|id| id.parse().ok())),
            "m" => {
                into.user(name, None);
                if let Some(group) = word(2) {
                    into.group(group, None);
                }
            }
            _ => {}
        }
    }
}

/// Splits at blanks, with quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            ('\\', _) => word.get_or_insert_default().extend(chars.next()),
            (c, Some(q)) if c == q => quote = None,
            (c, Some(_)) => word.get_or_insert_default().push(c),
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, None) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    type Ids = Vec<(String, Option<u32>)>;

    fn ids(text: &str) -> (Ids, Ids) {
        let mut accounts = Accounts::default();
        read(text, &mut accounts);
        let list = |m: std::collections::BTreeMap<String, crate::accounts::Account>| {
            m.into_iter().map(|(n, a)| (n, a.id)).collect()
        };
        (list(accounts.users), list(accounts.groups))
    }

    #[test]
    fn every_line_type() {
        let text = "# comment\nu! systemd-network - \"systemd Network Management\"\nu root 0:0 \"Super User\" /root /bin/sh\ng  input - -\ng tty 5\nm alice video\nu a 7:8\nu b 9:shared\nu c /usr/bin/c\nr - 500-900\nu %x -\n";
        let (users, groups) = ids(text);
        let some = |l: &[(&str, Option<u32>)]| l.iter().map(|(n, i)| ((*n).to_owned(), *i)).collect::<Vec<_>>();
        assert_eq!(
            users,
            some(&[
                ("a", Some(7)),
                ("alice", None),
                ("b", Some(9)),
                ("c", None),
                ("root", Some(0)),
                ("systemd-network", None)
            ])
        );
        let want = [("c", None), ("input", None), ("systemd-network", None), ("tty", Some(5)), ("video", None)];
        assert_eq!(groups, some(&want));
    }
}
