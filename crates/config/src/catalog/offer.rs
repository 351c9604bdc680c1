//! What an entry offers to a person who adds it: where it is found, what is asked, the files it brings.

use serde::{Deserialize, Serialize};

use crate::read::rules::{OneLineText, Text, words};
use crate::read::{Report, table};

/// Where people look for a thing, in the order in which it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// Sites, proxies, languages for pages.
    Web,
    /// Databases and caches.
    Databases,
    /// Mail.
    Mail,
    /// Who may come in, and by which door.
    Access,
    /// Things done at given times.
    Schedules,
    /// Files, shared and put in place.
    Files,
    /// Names and packets.
    Network,
    /// Numbers and logs.
    Monitoring,
    /// Debian packages.
    Packages,
}

impl Category {
    /// All, in order.
    pub const ALL: [Category; 9] = [
        Category::Web,
        Category::Databases,
        Category::Mail,
        Category::Access,
        Category::Schedules,
        Category::Files,
        Category::Network,
        Category::Monitoring,
        Category::Packages,
    ];

    /// Its word in a catalog file.
    pub fn name(self) -> &'static str {
        CATEGORIES[self as usize]
    }

    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Category::Web => "Web",
            Category::Databases => "Databases",
            Category::Mail => "Mail",
            Category::Access => "Access",
            Category::Schedules => "Schedules",
            Category::Files => "Files",
            Category::Network => "Network",
            Category::Monitoring => "Monitoring and logs",
            Category::Packages => "Packages",
        }
    }
}

const CATEGORIES: &[&str] =
    &["web", "databases", "mail", "access", "schedules", "files", "network", "monitoring", "packages"];

/// What kind of answer a question wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AskKind {
    /// Any one line.
    #[default]
    Text,
    /// A host name or domain.
    Host,
    /// A port from 1 to 65535.
    Port,
    /// An absolute path.
    Path,
    /// Text of several lines.
    Lines,
}

const ASK_KINDS: &[&str] = &["text", "host", "port", "path", "lines"];

words! {
    /// A category.
    CategoryRule -> Category, choices CATEGORIES, |text| {
        Category::ALL.into_iter().find(|c| c.name() == text).ok_or_else(|| unknown(text, "category", CATEGORIES))
    };

    /// A kind of answer.
    AskKindRule -> AskKind, choices ASK_KINDS, |text| {
        Ok(match text {
            "text" => AskKind::Text,
            "host" => AskKind::Host,
            "port" => AskKind::Port,
            "path" => AskKind::Path,
            "lines" => AskKind::Lines,
            _ => return Err(unknown(text, "kind of answer", ASK_KINDS)),
        })
    };
}

fn unknown(text: &str, what: &str, known: &[&str]) -> Report {
    Report::new("bad-value", format!("{text:?} is no {what}")).help(format!("known are {}", known.join(", ")))
}

table! {
    /// A question whose answer stands for `{name}` in the files and checks that an entry adds.
    pub struct Ask {
        /// The question, in a few words.
        [required] question: String as OneLineText,
        /// What to consider.
        help: String as OneLineText,
        /// What kind of answer.
        kind: AskKind as AskKindRule = AskKind::Text,
        /// The answer unless told otherwise; empty: an answer is needed.
        default: String as Text,
    }
}
