//! What evidence knows about a check already.

use serde::Deserialize;

use super::question::Asked;
use crate::context::Context;
use crate::error::Result;
use crate::evidence::{self, Kind};

/// A check that a trial or a switch has made.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// The commit.
    pub(super) revision: String,
    /// The image.
    pub(super) image: Option<String>,
    /// Whether the check passed.
    pub(super) passed: bool,
    /// Seconds until it did.
    pub(super) seconds: f64,
    /// Seconds that the boot took, if that is known.
    pub(super) ready: Option<f64>,
    /// What did it, in words: "trial 12".
    pub(super) source: String,
}

/// What is read of a report.
#[derive(Debug, Deserialize)]
struct Report {
    #[serde(default)]
    checks: Vec<regrow_machine::CheckResult>,
    #[serde(default)]
    ready_seconds: Option<f64>,
}

/// So many of the newest results are looked through.
const MOST: usize = 1000;

/// What is known about a check of the text, newest first; nothing about one that was given on the spot.
pub(super) fn all(ctx: &Context, server: &str, asked: &Asked) -> Result<Vec<Known>> {
    let Asked::Named { name } = asked else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for result in evidence::list_of(ctx, server, &[Kind::Trial, Kind::Switch], MOST)? {
        let Ok(report) = serde_json::from_value::<Report>(result.report) else { continue };
        if let Some(check) = report.checks.iter().find(|check| check.name == *name && !check.left) {
            found.push(Known {
                revision: result.revision,
                image: result.image,
                passed: check.passed,
                seconds: check.seconds,
                ready: report.ready_seconds,
                source: format!("{} {}", result.kind, result.id),
            });
        }
    }
    Ok(found)
}
