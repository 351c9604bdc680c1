//! `regrow status`.

use regrow_ops::online::ServerStatus;
use regrow_ops::wanted::short;
use regrow_ops::{Context, online};

use crate::session::{Outcome, Session};
use crate::words::{bold, count, judged, table};

/// Show what is wanted, what runs and what is proven, side by side
///
///     regrow status
///     regrow status web1 --json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Status {
    /// Only this server
    server: Option<String>,
}

pub(crate) fn run(args: &Status, ctx: &Context, session: &Session) -> Outcome {
    let report = online::status(ctx, args.server.as_deref())?;
    session.answer(&report, |report| {
        if report.servers.is_empty() {
            return "no servers\n".to_owned();
        }
        report.servers.iter().map(server).collect::<Vec<_>>().join("\n")
    })
}

fn server(status: &ServerStatus) -> String {
    let mut rows = Vec::new();
    let mut row = |what: &str, words: String| rows.push(vec![format!("  {what}"), words]);
    row(
        "wanted",
        match &status.wanted {
            Some(wanted) => {
                let mut words = short(&wanted.revision);
                if wanted.edited {
                    words.push_str(", with edits that are no changeset yet");
                }
                words.push_str(if wanted.held {
                    ", held"
                } else if wanted.online {
                    ", online"
                } else {
                    ""
                });
                words
            }
            None => "nothing: it is not in this fleet".to_owned(),
        },
    );
    row(
        "running",
        match &status.running {
            Some(running) => {
                let ports: Vec<String> =
                    running.publish.iter().map(|(host, port)| format!("{host} -> {port}")).collect();
                let ports = if ports.is_empty() { String::new() } else { format!(", {}", ports.join(", ")) };
                format!("{}, generation {}{ports}", short(&running.revision), running.generation)
            }
            None => "nothing".to_owned(),
        },
    );
    if status.running.is_some() {
        row(
            "health",
            match &status.failing {
                Some(failing) => judged(false, failing),
                None if status.healthy => judged(true, "healthy"),
                None => judged(false, &status.phase),
            },
        );
        row(
            "drift",
            match status.drift {
                0 => "none".to_owned(),
                n => format!("{} written outside its state", count(n, "path")),
            },
        );
    }
    for held in &status.held {
        row(
            "held",
            format!("{}: {} ({})", short(&held.revision), held.check.as_deref().unwrap_or("start"), held.detail),
        );
    }
    if let Some(trial) = &status.trial {
        row("last trial", format!("{} {}", short(&trial.revision), trial.verdict));
    }
    for brief in &status.elsewhere {
        row("elsewhere", brief.words());
    }
    if let Some(differs) = &status.differing {
        row("image", judged(false, &differs.words()));
    }
    format!("{} ({})\n{}", bold(&status.name), status.phase, table(&rows))
}
