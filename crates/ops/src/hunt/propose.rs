//! What to do about the culprit: take it back, in a draft that was built and tried before anybody looks at it.

use std::time::Instant;

use regrow_host::progress::step;
use regrow_host::words::count;

use super::question::Question;
use super::report::Proposal;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::wanted::short;

/// Takes a changeset back in a draft and tries it. What stands in the way is said, not an error.
///
/// # Errors
/// If somebody asked to stop.
pub(super) fn propose(ctx: &Context, question: &Question, culprit: &str) -> Result<Proposal> {
    let began = Instant::now();
    let name = short(culprit);
    let told = step(ctx.progress(), "proposal", format!("Try {} without {name}", question.server));
    let mut proposal = Proposal::default();
    if let Err(e) = tried(ctx, question, culprit, &mut proposal) {
        if matches!(e, Error::Cancelled) || regrow_host::cancel::requested() {
            return Err(Error::Cancelled);
        }
        let causes: String = e.causes().iter().map(|cause| format!(": {cause}")).collect();
        proposal.words = format!("{name} cannot be taken back just so: {e}{causes}");
    }
    proposal.seconds = began.elapsed().as_secs_f64();
    told.finish(proposal.words.clone());
    Ok(proposal)
}

fn tried(ctx: &Context, question: &Question, culprit: &str, proposal: &mut Proposal) -> Result<()> {
    let name = short(culprit);
    let reverted = crate::revert(ctx, &[culprit], crate::moves::Options::default())?;
    proposal.conflicts = reverted.undecided();
    proposal.dependencies = reverted.dependencies;
    let Some(draft) = reverted.draft.map(|draft| draft.id) else { return Ok(()) };
    proposal.draft = Some(draft.clone());
    if proposal.conflicts > 0 {
        let places = count(proposal.conflicts, "place", "places");
        proposal.words =
            format!("{name} is taken back in the draft {draft}, but {places} changed again since: decide first");
        return Ok(());
    }
    let tip = crate::background::ready(ctx, &draft)?;
    proposal.revision = Some(tip.clone());
    let trial = crate::trial(ctx, &question.server, Some(&tip), None)?;
    proposal.healthy = trial.verdict.is_good();
    let asked = trial.checks.iter().find(|check| check.name == question.asked.name());
    proposal.mended = asked.map(|check| check.passed);
    proposal.failing = trial.checks.into_iter().filter(|check| !check.passed).collect();
    proposal.words = match (&proposal.failing[..], trial.reason) {
        ([], None) => format!("without {name}: all checks pass"),
        ([], Some(reason)) => format!("without {name}: it does not boot: {reason}"),
        (failing, _) => {
            let names: Vec<&str> = failing.iter().map(|check| &*check.name).collect();
            let fail = if names.len() == 1 { "fails" } else { "fail" };
            let mended = if proposal.mended == Some(true) {
                format!("{} passes, ", question.asked.name())
            } else {
                String::new()
            };
            format!("without {name}: {mended}{} {fail} still", names.join(", "))
        }
    };
    Ok(())
}
