//! `regrow add` and `regrow search`.

use regrow_ops::Context;
use regrow_ops::add::{self, AddReport, Answers, There};
use regrow_ops::error::Error;
use regrow_ops::lock::summary;
use regrow_ops::wanted::short;

use crate::session::{Outcome, Session};

/// Add a service, user, timer, port, file or package, as one changeset
///
/// Without a thing: lists what there is, and what of it the server has. What is added is ordinary text, which can be
/// edited like any other; what is there already stays as it is.
///
///     regrow add web1
///     regrow add web1 nginx --with publish.80=8080
///     regrow add web1 user --with name=ann --with admin=yes -m "Ann helps"
///     regrow add web1 timer --with name=copy --with when=daily --with command="/usr/bin/rsync -a /srv /mnt"
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Add {
    /// The server
    server: String,
    /// What to add: a service of the catalog, or user, timer, port, file, package
    thing: Option<String>,
    /// An answer to a question of the thing
    #[arg(long = "with", value_name = "NAME=ANSWER")]
    answers: Vec<String>,
    /// Add it to this draft instead of making a changeset
    #[arg(long, value_name = "ID")]
    draft: Option<String>,
    /// What the change is for [default: what it does]
    #[arg(short, long, value_name = "MSG")]
    message: Option<String>,
}

/// Find packages by words in their names and descriptions
///
///     regrow search web server
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Search {
    /// The words; each must fit
    #[arg(required = true)]
    words: Vec<String>,
    /// How many to show
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    most: usize,
}

pub(crate) fn run(args: &Add, ctx: &Context, session: &Session) -> Outcome {
    let Some(thing) = &args.thing else { return list(args, ctx, session) };
    let mut answers = Answers::new();
    for given in &args.answers {
        let Some((name, answer)) = given.split_once('=') else {
            return Err(Error::mistake_with(format!("{given} is no answer"), "write it as --with NAME=ANSWER"));
        };
        answers.insert(name.to_owned(), answer.to_owned());
    }
    let report = add::add(ctx, &args.server, thing, &answers, args.draft.as_deref(), args.message.as_deref())?;
    session.answer(&report, words)
}

fn list(args: &Add, ctx: &Context, session: &Session) -> Outcome {
    let report = add::list(ctx, &args.server, args.draft.as_deref())?;
    session.answer(&report, |report| {
        let mut text = String::new();
        let width = report.offers.iter().map(|o| o.id.len()).max().unwrap_or(0);
        let mut category = None;
        for offer in &report.offers {
            if category.replace(offer.category) != Some(offer.category) {
                text.push_str(&format!("{}\n", offer.category.title()));
            }
            let there = match offer.there {
                There::No => "",
                There::Partly => " (partly there)",
                There::Whole => " (there)",
            };
            text.push_str(&format!("  {:width$}  {}{there}\n", offer.id, offer.summary));
        }
        text
    })
}

fn words(report: &AddReport) -> String {
    let mut text = String::new();
    for piece in &report.pieces {
        text.push_str(&format!("{}:{}\n", piece.path, piece.line));
        for line in piece.text.lines() {
            text.push_str(&format!("  {line}\n"));
        }
    }
    for remark in &report.remarks {
        text.push_str(&format!("note: {remark}\n"));
    }
    match (&report.revision, &report.draft) {
        (Some(revision), _) => text.push_str(&format!("changeset {}\n", short(revision))),
        (None, Some(draft)) if !report.pieces.is_empty() => text.push_str(&format!("added to the draft {draft}\n")),
        _ => text.push_str(&format!("nothing to add: {} has all of it already\n", report.server)),
    }
    for lock in &report.locks {
        text.push_str(&format!("and locks {}\n", summary(lock)));
    }
    text
}

pub(crate) fn run_search(args: &Search, ctx: &Context, session: &Session) -> Outcome {
    let report = add::search(ctx, &args.words.join(" "), args.most)?;
    session.answer(&report, |report| {
        if report.found.is_empty() {
            return format!("no package fits {}\n", report.query);
        }
        let width = report.found.iter().map(|f| f.name.len()).max().unwrap_or(0);
        let line = |f: &regrow_ops::add::Found| {
            let size = f.installed_size as f64 / 1e6;
            format!("{:width$}  {:>8.1} MB  {}\n", f.name, size, f.summary)
        };
        report.found.iter().map(line).collect()
    })
}
