//! `regrow hooks`.

use regrow_ops::Context;
use regrow_ops::hooks::{HooksReport, Wish};

use crate::session::{Outcome, Session};

/// Show what of Regrow runs inside git here; check the text before each commit
///
/// Nothing of it is needed: Regrow's own changesets never run hooks. Your hooks are never touched.
///
///     regrow hooks
///     regrow hooks --install       a pre-commit hook: regrow check
///     regrow hooks --remove
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Hooks {
    /// Check the text before each commit
    #[arg(long, conflicts_with = "remove")]
    install: bool,
    /// Check it no more
    #[arg(long)]
    remove: bool,
}

pub(crate) fn run(args: &Hooks, ctx: &Context, session: &Session) -> Outcome {
    let wish = match (args.install, args.remove) {
        (true, _) => Wish::Install,
        (_, true) => Wish::Remove,
        _ => Wish::List,
    };
    session.answer(&regrow_ops::hooks::hooks(ctx, wish)?, words)
}

fn words(report: &HooksReport) -> String {
    let mut text = report.done.as_ref().map_or_else(String::new, |done| format!("{done}\n"));
    for hook in &report.hooks {
        let whose = if hook.ours { "Regrow: checks the text" } else { "yours" };
        text.push_str(&format!("{}  {whose}\n", hook.name));
    }
    if report.hooks.is_empty() {
        text.push_str("no hooks; to check the text before each commit: regrow hooks --install\n");
    }
    text.push_str(if report.merges_by_key {
        "git merges the text by key (merge.regrow.driver)\n"
    } else {
        "git merges the text by lines; by key: regrow init .\n"
    });
    text
}
