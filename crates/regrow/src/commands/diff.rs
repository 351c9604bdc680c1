//! `regrow diff`.

use regrow_ops::Context;
use regrow_ops::compare::image::{self, Facts, ImageComparison, PathDifference};
use regrow_ops::wanted::short;

use crate::session::{Outcome, Session};
use crate::words::{bytes, count, in_words};

/// Show what differs between two revisions, or between a revision and the files on disk: in words, then as text
///
///     regrow diff HEAD~3 HEAD
///     regrow diff HEAD             edits that are no changeset yet
///     regrow diff HEAD draft:d1    a draft
///     regrow diff HEAD~3 HEAD --image web1    what came of it: packages, paths, units, accounts, size
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Diff {
    /// The older revision
    #[arg(value_name = "A")]
    from: String,
    /// The newer revision [default: the files on disk]
    #[arg(value_name = "B")]
    to: Option<String>,
    /// Compare the images of this server instead of the texts [B defaults to HEAD]
    #[arg(long, value_name = "SERVER")]
    image: Option<String>,
    /// With --image: build images that are not in the store
    #[arg(long, requires = "image")]
    build: bool,
}

pub(crate) fn run(args: &Diff, ctx: &Context, session: &Session) -> Outcome {
    if let Some(server) = &args.image {
        let to = args.to.as_deref().unwrap_or("HEAD");
        let report = image::compare(ctx, server, &args.from, to, args.build)?;
        return session.answer(&report, images);
    }
    let report = regrow_ops::diff(ctx, &args.from, args.to.as_deref())?;
    session.answer(&report, |report| format!("{}{}", in_words(report), report.text))
}

fn images(report: &ImageComparison) -> String {
    if report.equal {
        return format!("one and the same image: {}\n", report.to.image);
    }
    let mut text = String::new();
    for package in &report.packages {
        text.push_str(&match (&package.before, &package.after) {
            (Some(before), Some(after)) => format!("package {}: {before} → {after}\n", package.name),
            (None, Some(after)) => format!("package {} {after} is new\n", package.name),
            (_, None) => format!("package {} is gone\n", package.name),
        });
    }
    for words in report.units.iter().chain(&report.users) {
        text.push_str(&format!("{words}\n"));
    }
    for difference in &report.paths {
        text.push_str(&path(difference));
    }
    if report.more_paths > 0 {
        text.push_str(&format!("and {} more\n", count(report.more_paths, "path")));
    }
    let side = |built: &image::Built| format!("{} ({})", short(&built.revision), bytes(built.bytes));
    text.push_str(&format!("{} → {}\n", side(&report.from), side(&report.to)));
    text
}

fn path(difference: &PathDifference) -> String {
    let facts = |facts: &Facts| {
        let size = facts.size.map(|size| format!(", {}", bytes(size))).unwrap_or_default();
        let target = facts.target.as_ref().map(|target| format!(" to {target}")).unwrap_or_default();
        format!("{}{target}, mode {}, owner {}:{}{size}", facts.kind, facts.mode, facts.uid, facts.gid)
    };
    let words = match (&difference.before, &difference.after) {
        (None, Some(after)) => format!("added: {}", facts(after)),
        (Some(_), None) => "removed".to_owned(),
        (before, after) => {
            let kinds: Vec<&str> = difference.kinds.iter().map(|kind| kind.word()).collect();
            match (before, after) {
                (Some(before), Some(after)) if before != after => {
                    format!("{}: {} → {}", kinds.join(", "), facts(before), facts(after))
                }
                _ => kinds.join(", "),
            }
        }
    };
    let mut text = format!("{}  {words}\n", difference.path);
    for line in difference.lines.iter().flat_map(|lines| lines.lines()) {
        text.push_str(&format!("    {line}\n"));
    }
    text
}
