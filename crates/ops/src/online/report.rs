//! What came of a switch or a rollback, as `--json` shows it and as evidence keeps it.

use regrow_machine::CheckResult;
use serde::{Deserialize, Serialize};

use super::driver::Outcome;
use super::journal::{Decision, Intent};
use crate::Answer;
use crate::evidence::{Kind, Verdict};
use crate::trial::Failed;

/// What came of `switch` or `rollback`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SwitchReport {
    /// The server.
    pub server: String,
    /// The image that was online before, if one was.
    pub from: Option<String>,
    /// Its revision.
    pub from_revision: Option<String>,
    /// The image that was to be online.
    pub to: String,
    /// Its revision.
    pub to_revision: String,
    /// `switched`, or `rolled back` if it failed and what was there before is online again.
    pub verdict: Verdict,
    /// Nothing was done because it is online already.
    pub unchanged: bool,
    /// Seconds during which published ports were not connected. Connections made meanwhile waited.
    pub down_seconds: f64,
    /// Wall-clock seconds of the whole.
    pub seconds: f64,
    /// Whether the state was brought back to an earlier time: by `rollback --with-state`, or after a failed switch.
    pub state_restored: bool,
    /// Whether the revision is held now.
    pub held: bool,
    /// The first check that failed; `boot` if it did not come up, `start` if it could not be started.
    pub failed: Option<String>,
    /// What was seen, in words.
    pub detail: String,
    /// What every check saw.
    pub checks: Vec<CheckResult>,
    /// Units that failed, with their last words.
    pub failed_units: Vec<Failed>,
    /// What a person decided before the checks had an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
}

impl SwitchReport {
    /// Of an outcome.
    pub(super) fn new(server: &str, outcome: Outcome, intent: Intent, seconds: f64) -> SwitchReport {
        let Outcome { from, to, kept, down_seconds, judgement } = outcome;
        SwitchReport {
            server: server.to_owned(),
            from: from.as_ref().map(|g| g.candidate.image.clone()),
            from_revision: from.map(|g| g.candidate.revision),
            to: to.candidate.image,
            to_revision: to.candidate.revision,
            verdict: if kept { Verdict::Switched } else { Verdict::RolledBack },
            unchanged: false,
            down_seconds,
            seconds,
            state_restored: !kept || intent == Intent::RollbackWithState,
            held: !kept && intent == Intent::Switch,
            failed: judgement.failed,
            detail: judgement.detail,
            checks: judgement.checks,
            failed_units: judgement.failed_units,
            decision: judgement.decision,
        }
    }

    /// What it is evidence of.
    pub(super) fn evidence_kind(&self, intent: Intent) -> Kind {
        match intent {
            Intent::Switch => Kind::Switch,
            Intent::Rollback | Intent::RollbackWithState => Kind::Rollback,
        }
    }
}

impl Answer for SwitchReport {
    fn is_yes(&self) -> bool {
        self.verdict.is_good()
    }
}
