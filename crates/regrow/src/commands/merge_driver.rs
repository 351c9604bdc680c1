//! `regrow merge-driver`.

use std::path::PathBuf;

use regrow_ops::merge_driver::{Conflict, MergeReport};

use crate::session::{Outcome, Session};

/// Merge three versions of a text by key; git calls this
///
/// `regrow init` tells git to (in a clone of a fleet: regrow init .), for every *.toml below the fleet. Neighbouring
/// lines do not conflict; the same key changed on both sides does. OURS is replaced by ours with all that could be
/// taken from theirs: exit status 0 if that is everything, 1 if keys are left to decide, which are named.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct MergeDriver {
    /// The common ancestor (git's %O)
    base: PathBuf,
    /// Our version, and where the result goes (%A)
    ours: PathBuf,
    /// Their version (%B)
    theirs: PathBuf,
    /// The file's name, for words (%P)
    path: Option<String>,
}

pub(crate) fn run(args: &MergeDriver, session: &Session) -> Outcome {
    let report = regrow_ops::merge_driver::merge_driver(&args.base, &args.ours, &args.theirs, args.path.as_deref())?;
    if !session.json() {
        session.say(&words(&report));
    }
    session.answer(&report, |_| String::new())
}

fn words(report: &MergeReport) -> String {
    let path = &report.path;
    if let Some(refused) = &report.refused {
        return format!("regrow: {path} was not merged: {}\nhelp: {}", refused.reason, refused.help);
    }
    let mut text = String::new();
    for conflict in &report.conflicts {
        text.push_str(&told(path, conflict));
    }
    if !report.conflicts.is_empty() {
        text.push_str(&format!(
            "help: {path} has our value and everything else of both; decide, edit the file if need be, then git add {path}"
        ));
    }
    text
}

fn told(path: &str, conflict: &Conflict) -> String {
    let value = |value: &Option<String>| match value {
        Some(value) => value.replace('\n', "\n            "),
        None => "(not there)".to_owned(),
    };
    format!(
        "regrow: {path}: both sides changed `{}`\n    before  {}\n    ours    {}\n    theirs  {}\n",
        conflict.key,
        value(&conflict.base),
        value(&conflict.ours),
        value(&conflict.theirs)
    )
}
