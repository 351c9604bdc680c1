//! How values are put into words on a page: states, digests, times, sizes.
//!
//! Templates only place what is made here, so that a thing is worded the same on every page.

use askama::Template;
use jiff::Timestamp;
use regrow_ops::accounts::Role;

use crate::assets;
use crate::visitor::Visitor;

/// What frames every page.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// The page's name: its heading and the browser's title.
    pub(crate) title: String,
    /// Where we are in the navigation.
    pub(crate) place: Place,
    /// The fleet's directory.
    pub(crate) fleet: String,
    /// Whether the reader has a session; others see no navigation and no paths.
    pub(crate) known: bool,
    /// Who reads.
    pub(crate) visitor: Option<Visitor>,
    /// What stays in sight above every page.
    pub(crate) banner: Option<Banner>,
}

/// What stays in sight above every page: the draft that this browser works on.
#[derive(Debug, Clone)]
pub(crate) struct Banner {
    /// Its name.
    pub(crate) title: String,
    /// Its page.
    pub(crate) href: String,
    /// What is in it: "2 changes".
    pub(crate) words: String,
    /// Further links: address and name ("Preview", "Conflicts").
    pub(crate) links: Vec<(String, String)>,
    /// Forms of one button each: address and name ("Leave", "Discard"). They carry `session` and `once`.
    pub(crate) forms: Vec<(String, String)>,
    /// The `once` token of those forms.
    pub(crate) once: String,
}

/// The part of the navigation that a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Servers.
    Servers,
    /// Changesets.
    History,
    /// Drafts.
    Drafts,
    /// Jobs.
    Jobs,
    /// Acts.
    Acts,
    /// Accounts.
    Accounts,
    /// None of them.
    Elsewhere,
}

impl Layout {
    /// The last part of the fleet's path; the whole of it is its tool tip.
    pub(crate) fn fleet_name(&self) -> &str {
        self.fleet.rsplit('/').next().unwrap_or(&self.fleet)
    }
    pub(crate) fn icon(&self) -> &'static str {
        &assets::ICON.url
    }
    pub(crate) fn style(&self) -> &'static str {
        &assets::STYLE.url
    }
    pub(crate) fn script(&self) -> &'static str {
        &assets::SCRIPT.url
    }
    pub(crate) fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }
    pub(crate) fn object_script(&self) -> &'static str {
        &assets::OBJECT.url
    }
    pub(crate) fn app(&self) -> &'static str {
        &assets::APP.url
    }

    /// The navigation: address, name, whether we are there.
    pub(crate) fn places(&self) -> Vec<(&'static str, &'static str, bool)> {
        let all = [
            ("/", "Servers", Place::Servers),
            ("/drafts", "Drafts", Place::Drafts),
            ("/history", "Changesets", Place::History),
            ("/jobs", "Jobs", Place::Jobs),
            ("/acts", "Acts", Place::Acts),
        ];
        all.into_iter().map(|(to, name, place)| (to, name, place == self.place)).collect()
    }

    /// Whether the reader's name leads to the accounts.
    pub(crate) fn sees_accounts(&self) -> bool {
        self.visitor.as_ref().is_some_and(|v| v.may(Role::Switch))
    }

    pub(crate) fn on_accounts(&self) -> bool {
        self.place == Place::Accounts
    }

    /// The frame for somebody without a session.
    pub(crate) fn unknown(title: &str) -> Layout {
        Layout {
            title: title.to_owned(),
            place: Place::Elsewhere,
            fleet: String::new(),
            known: false,
            visitor: None,
            banner: None,
        }
    }
}

/// A state: a sign and a word, coloured. Never only one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    tone: Tone,
    /// The word.
    pub(crate) word: String,
}

/// What a state means to the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tone {
    /// Needs attention: shown first.
    Bad,
    /// Stopped on purpose until a person decides.
    Held,
    /// Under way.
    Busy,
    /// Nothing known, or nothing to say.
    None,
    /// As it should be.
    Good,
}

impl Mark {
    /// A state in words.
    pub(crate) fn new(tone: Tone, word: impl Into<String>) -> Mark {
        Mark { tone, word: word.into() }
    }

    /// What it means.
    pub(crate) fn tone(&self) -> Tone {
        self.tone
    }

    pub(crate) fn sign(&self) -> &'static str {
        match self.tone {
            Tone::Bad => "✗",
            Tone::Held => "⏸",
            Tone::Busy => "▸",
            Tone::None => "–",
            Tone::Good => "✓",
        }
    }

    pub(crate) fn class(&self) -> &'static str {
        match self.tone {
            Tone::Bad => "bad",
            Tone::Held => "held",
            Tone::Busy => "busy",
            Tone::None => "none",
            Tone::Good => "good",
        }
    }
}

/// A digest or a revision: short to read, whole to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Digest {
    /// All of it.
    pub(crate) full: String,
}

impl Digest {
    /// Of this text.
    pub(crate) fn new(full: impl Into<String>) -> Digest {
        Digest { full: full.into() }
    }

    pub(crate) fn is_long(&self) -> bool {
        self.short() != self.full
    }

    /// The first 12 digits of the hash, without the name of its format; `+edits` is kept.
    pub(crate) fn short(&self) -> String {
        let hash = self.full.rsplit(':').next().unwrap_or(&self.full);
        let (hash, edits) = match hash.split_once('+') {
            Some((hash, edits)) => (hash, format!(" + {edits}")),
            None => (hash, String::new()),
        };
        let is_hash = hash.len() > 12 && hash.bytes().all(|b| b.is_ascii_hexdigit());
        if is_hash { format!("{}{edits}", &hash[..12]) } else { self.full.clone() }
    }
}

/// An instant: how long ago, and exactly.
#[derive(Debug, Clone)]
pub(crate) struct When {
    /// RFC 3339, UTC, whole seconds.
    pub(crate) stamp: String,
    /// "3 min ago".
    pub(crate) ago: String,
}

impl When {
    /// An instant seen from `now`.
    pub(crate) fn new(at: Timestamp, now: Timestamp) -> When {
        let seconds = now.as_second() - at.as_second();
        let ago = match seconds {
            ..0 => "just now".to_owned(),
            0..60 => "just now".to_owned(),
            60..3600 => format!("{} min ago", seconds / 60),
            3600..86_400 => format!("{} h ago", seconds / 3600),
            86_400..172_800 => "yesterday".to_owned(),
            172_800..2_592_000 => format!("{} days ago", seconds / 86_400),
            _ => at.strftime("%Y-%m-%d").to_string(),
        };
        When { stamp: at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), ago }
    }
}

/// A duration in words: "0.31 s", "12.4 s", "3 min 7 s".
pub(crate) fn took(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match seconds {
        s if !s.is_finite() || s < 0.0 => String::new(),
        s if s < 1.0 => format!("{s:.2} s"),
        s if s < 60.0 => format!("{s:.1} s"),
        _ if whole < 3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// A number of bytes in words: "512 B", "1.4 MB" (powers of 1000).
pub(crate) fn bytes(n: u64) -> String {
    let mut value = n as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1000.0 || unit == "GB" {
            return if unit == "B" { format!("{n} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1000.0;
    }
    format!("{n} B")
}

pub(crate) use regrow_host::words::count;

/// A mistake in the text, as a page shows it.
#[derive(Debug, Clone)]
pub(crate) struct DiagnosticView {
    /// "error" or "warning".
    pub(crate) severity: String,
    /// `servers/web1/server.toml:12:3`.
    pub(crate) place: String,
    /// What is wrong.
    pub(crate) message: String,
    /// What the marked piece of text is.
    pub(crate) label: Option<String>,
    /// The way out.
    pub(crate) help: Option<String>,
    /// The piece of text with its line number and mark.
    pub(crate) shown: Option<String>,
    /// The style of its severity.
    pub(crate) class: &'static str,
    /// The sign of its severity.
    pub(crate) sign: &'static str,
}

impl DiagnosticView {
    /// From a diagnostic's JSON.
    pub(crate) fn from_json(json: &serde_json::Value) -> DiagnosticView {
        let text = |key: &str| json[key].as_str().unwrap_or_default().to_owned();
        let some = |key: &str| json[key].as_str().map(str::to_owned);
        let severity = text("severity");
        let (class, sign) = if severity == "error" { ("bad", "✗") } else { ("held", "!") };
        let place = match (json["line"].as_u64(), json["column"].as_u64()) {
            (Some(line), Some(column)) => format!("{}:{line}:{column}", text("file")),
            (Some(line), None) => format!("{}:{line}", text("file")),
            _ => text("file"),
        };
        let (label, help) = (some("label").filter(|l| !l.is_empty()), some("help"));
        DiagnosticView { severity, place, message: text("message"), label, help, shown: None, class, sign }
    }
}

/// A page of words: an error, a refusal, a hint.
#[derive(Debug, Template)]
#[template(path = "message.html")]
pub(crate) struct Message {
    /// The frame; its title is the heading.
    pub(crate) layout: Layout,
    /// What happened.
    pub(crate) words: String,
    /// Why, outermost first.
    pub(crate) causes: Vec<String>,
    /// What to do now.
    pub(crate) help: Option<String>,
    /// A command to type.
    pub(crate) command: Option<String>,
    /// Where to go from here: address and name.
    pub(crate) link: Option<(String, String)>,
    /// Where the browser goes at once.
    pub(crate) forward: Option<String>,
    /// Mistakes in the text, if those are what happened.
    pub(crate) diagnostics: Vec<DiagnosticView>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_short_to_read() {
        let image = format!("v1-sha256-12:{}", "ab".repeat(32));
        assert_eq!(Digest::new(&image).short(), "abababababab");
        assert_eq!(Digest::new(format!("{}+edits", "0".repeat(40))).short(), "000000000000 + edits");
        for plain in ["main", "", "é".repeat(20).as_str()] {
            assert_eq!(Digest::new(plain).short(), plain);
        }
    }

    #[test]
    fn durations_and_sizes_have_units() {
        assert_eq!(
            [0.314, 12.44, 59.99, 187.2, 7260.0, -1.0].map(took),
            ["0.31 s", "12.4 s", "60.0 s", "3 min 7 s", "2 h 1 min", ""]
        );
        assert_eq!([0, 999, 1_400_000, 5_000_000_000_000].map(bytes), ["0 B", "999 B", "1.4 MB", "5000.0 GB"]);
    }

    #[test]
    fn instants_are_told_from_now() {
        let now: Timestamp = "2026-03-04T05:06:07Z".parse().unwrap();
        let ago = |seconds: i64| When::new(now - jiff::SignedDuration::from_secs(seconds), now).ago;
        assert_eq!(
            [-5, 5, 130, 7300, 90_000, 400_000, 40_000_000].map(ago),
            ["just now", "just now", "2 min ago", "2 h ago", "yesterday", "4 days ago", "2024-11-26"]
        );
        assert_eq!(When::new(now, now).stamp, "2026-03-04T05:06:07Z");
    }
}
