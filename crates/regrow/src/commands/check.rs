//! `regrow check`.

use std::io::IsTerminal;

use regrow_ops::Context;
use regrow_ops::check::LockState;

use crate::session::{Outcome, Session};
use crate::words::{count, judged};

/// Read the text and say everything that is wrong with it, with file and line
///
/// Looks at the files as they are on disk, committed or not. Exit status 1 if there is a mistake; warnings are no
/// mistakes.
///
///     regrow check
///     regrow check web1
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Check {
    /// Only what concerns this server
    server: Option<String>,
}

pub(crate) fn run(args: &Check, ctx: &Context, session: &Session) -> Outcome {
    let report = regrow_ops::check(ctx, args.server.as_deref())?;
    session.answer(&report, |report| {
        let mut text = report.diagnosed.render(std::io::stdout().is_terminal());
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        let names: Vec<&str> = report.servers.iter().map(|s| &*s.name).collect();
        let found = match (report.errors, report.warnings) {
            (0, 0) => "no mistakes".to_owned(),
            (0, warnings) => count(warnings, "warning"),
            (errors, 0) => count(errors, "mistake"),
            (errors, warnings) => format!("{}, {}", count(errors, "mistake"), count(warnings, "warning")),
        };
        text.push_str(&format!(
            "{}: {found}\n",
            if names.is_empty() { "no servers".to_owned() } else { names.join(", ") }
        ));
        for server in &report.servers {
            let name = &server.name;
            match server.lock {
                LockState::Fresh | LockState::Damaged => {}
                LockState::None => text.push_str(&format!("{name} has no lock yet: regrow lock {name}\n")),
                LockState::Stale => text.push_str(&format!("the lock of {name} is stale: regrow lock {name}\n")),
            }
        }
        for differs in &report.differing {
            text.push_str(&format!("{}\n", judged(false, &differs.words())));
        }
        if !report.packages_checked {
            text.push_str("package names were not checked: no package index has been fetched yet (regrow lock does)\n");
        }
        text
    })
}
