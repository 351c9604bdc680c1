//! One server at a glance: what is wanted, what runs, what is proven, and the one state that follows from them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use regrow_ops::evidence::{self, Evidence, Kind, Verdict};
use regrow_ops::jobs::{self, Job, JobId};
use regrow_ops::online::{Held, ServerStatus, StatusReport};
use regrow_ops::wanted::RevisionName;
use regrow_ops::{Context, changes};

use crate::outcome::{askable, hunt_address, verb_noun, which_failed};
use crate::view::{Digest, Mark, Tone, When, count};

/// One of the three columns.
#[derive(Debug, Default)]
pub(crate) struct Side {
    /// "Wanted", "Runs", "Proven".
    pub(crate) name: &'static str,
    /// The column in a few words.
    pub(crate) words: String,
    /// The changeset's intention.
    pub(crate) subject: Option<String>,
    pub(crate) revision: Option<Digest>,
    pub(crate) image: Option<Digest>,
    pub(crate) when: Option<When>,
    /// Further named values.
    pub(crate) more: Vec<(&'static str, String)>,
}

/// A revision that failed after a switch.
#[derive(Debug)]
pub(crate) struct HeldView {
    pub(crate) mark: Mark,
    pub(crate) revision: Digest,
    pub(crate) words: String,
    /// The check that failed, if it was one.
    check: Option<String>,
}

/// A server.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) name: String,
    pub(crate) mark: Mark,
    pub(crate) why: Option<String>,
    /// The job that works on it now: its number and words.
    pub(crate) job: Option<(JobId, String)>,
    pub(crate) held: Vec<HeldView>,
    pub(crate) wanted: Side,
    pub(crate) runs: Side,
    pub(crate) proven: Side,
    /// What a rollback goes back to.
    pub(crate) back: Option<Digest>,
    /// Which text is wanted; none if the fleet has no such server.
    pub(crate) text: Option<RevisionName>,
}

/// How many proofs are looked at to say what is proven.
const PROOFS: usize = 8;

/// What all servers of one look at the fleet have in common.
#[derive(Debug)]
pub(crate) struct Around {
    /// The intention of the last changeset.
    subject: Option<String>,
    /// The jobs that run now.
    running: Vec<Job>,
    /// The newest results of each server.
    proofs: BTreeMap<String, Vec<Evidence>>,
}

impl Around {
    /// Looks around. All servers want the same revision: where HEAD is.
    pub(crate) fn look(ctx: &Context, status: &StatusReport) -> regrow_ops::Result<Around> {
        let head = status.servers.iter().filter_map(|s| s.wanted.as_ref()).map(|w| &w.revision).find(|r| *r != "none");
        let subject = match head {
            Some(head) => Some(changes::subject(ctx, head)?),
            None => None,
        };
        let running = jobs::running(ctx)?;
        let names: Vec<&str> = status.servers.iter().map(|s| &*s.name).collect();
        Ok(Around { subject, running, proofs: evidence::newest(ctx, &names, PROOFS)? })
    }
}

impl Look {
    /// The three columns in their order.
    pub(crate) fn sides(&self) -> [&Side; 3] {
        [&self.wanted, &self.runs, &self.proven]
    }

    /// Looks at a server. `diagnosed` says whether its text has mistakes.
    pub(crate) fn at(
        ctx: &Context,
        status: &ServerStatus,
        diagnosed: bool,
        around: &Around,
    ) -> regrow_ops::Result<Look> {
        let now = ctx.now();
        let proofs = around.proofs.get(&status.name).map_or(&[][..], Vec::as_slice);
        let text = status
            .wanted
            .as_ref()
            .map(|w| RevisionName { commit: Some(w.revision.clone()).filter(|r| r != "none"), edited: w.edited });
        let name = text.as_ref().map(RevisionName::to_string);
        let (mark, why) = judge(status, diagnosed, proofs, name.as_deref());
        let job = around.running.iter().find(|j| j.server.as_deref() == Some(&status.name));
        Ok(Look {
            name: status.name.clone(),
            mark,
            why,
            job: job.map(|j| (j.id, format!("{} under way", verb_noun(&j.verb)))),
            held: status.held.iter().map(|h| HeldView::new(h, now)).collect(),
            wanted: wanted(status, text.as_ref(), around),
            runs: runs(status, now),
            proven: proven(proofs, name.as_deref(), now),
            back: status.previous.as_ref().map(Digest::new),
            text,
        })
    }
}

impl HeldView {
    pub(crate) fn new(held: &Held, now: Timestamp) -> HeldView {
        let when = Timestamp::from_second(held.at).map(|at| When::new(at, now).ago).unwrap_or_default();
        let what = match &held.check {
            None if held.by.is_some() => format!("was {} after the switch, {when}", held.detail),
            Some(check) => format!("failed its check {check} after the switch, {when}: {}", held.detail),
            None => format!("could not be put online, {when}: {}", held.detail),
        };
        HeldView {
            mark: Mark::new(Tone::Held, "Held"),
            revision: Digest::new(&held.revision),
            words: sentence_end(&what),
            check: held.check.clone(),
        }
    }

    /// Where the changeset that broke it can be looked for.
    pub(crate) fn hunt(&self, server: &str) -> String {
        hunt_address(server, self.check.as_deref().map(askable), Some(&self.revision.full))
    }
}

fn sentence_end(words: &str) -> String {
    format!("{}.", words.trim_end_matches(['.', ' ', '\n']))
}

/// The one state of a server, and why.
fn judge(status: &ServerStatus, diagnosed: bool, proofs: &[Evidence], wanted: Option<&str>) -> (Mark, Option<String>) {
    let because = |tone, word: &str, why: &str| (Mark::new(tone, word), Some(why.to_owned()));
    if status.running.is_some() && !["running", "stopped"].contains(&&*status.phase) {
        return because(Tone::Busy, "changing", &status.phase);
    }
    if status.running.is_some() && status.phase == "running" && !status.healthy {
        return (Mark::new(Tone::Bad, "unhealthy"), status.failing.clone());
    }
    if diagnosed {
        return because(Tone::Bad, "mistakes", "its text has mistakes");
    }
    if status.wanted.as_ref().is_some_and(|w| w.held) {
        return because(Tone::Held, "held", "what is wanted failed after a switch");
    }
    let newest = proofs.iter().find(|e| Some(e.revision.as_str()) == wanted);
    if let Some(e) = newest.filter(|e| !e.verdict.is_good()) {
        return (Mark::new(Tone::Bad, "failed"), Some(failure(e)));
    }
    match (&status.running, &status.wanted) {
        (Some(_), _) if status.phase == "stopped" => because(Tone::None, "stopped", "taken offline by request"),
        (Some(_), Some(w)) if w.online && !w.edited => (Mark::new(Tone::Good, "healthy"), None),
        (Some(_), Some(_)) => because(Tone::Good, "healthy", "what is wanted is not online yet"),
        (Some(_), None) => because(Tone::Good, "healthy", "the fleet\u{2019}s text no longer has it"),
        (None, _) => match newest.map(|e| e.kind) {
            Some(Kind::Build) => because(Tone::None, "built", "not tried yet"),
            Some(_) => because(Tone::Good, "proven", "healthy offline, not online yet"),
            None => because(Tone::None, "not built", "not online"),
        },
    }
}

/// What the text wants.
fn wanted(status: &ServerStatus, text: Option<&RevisionName>, around: &Around) -> Side {
    let name = "Wanted";
    let (Some(wanted), Some(text)) = (&status.wanted, text) else {
        return Side { name, words: "Nothing: the text has no such server".to_owned(), ..Side::default() };
    };
    let subject = around.subject.clone();
    Side {
        name,
        words: match (&text.commit, text.edited) {
            (Some(_), false) => "The last changeset".to_owned(),
            (Some(_), true) => "Edits on disk".to_owned(),
            (None, _) => "The text on disk".to_owned(),
        },
        subject: if text.edited { subject.map(|s| format!("on top of: {s}")) } else { subject },
        revision: text.commit.is_some().then(|| Digest::new(text.to_string())),
        // An image built from edits may be of other edits.
        image: wanted.image.as_ref().filter(|_| !text.edited).map(Digest::new),
        ..Side::default()
    }
}

/// What is online.
fn runs(status: &ServerStatus, now: Timestamp) -> Side {
    let name = "Runs";
    let Some(running) = &status.running else {
        return Side { name, words: "Nothing is online".to_owned(), ..Side::default() };
    };
    let words = match (&*status.phase, status.healthy) {
        ("stopped", _) => "Stopped by request",
        ("running", true) => "Online and healthy",
        ("running", false) => "Online, not healthy",
        (other, _) => other,
    };
    let mut more = Vec::new();
    for (host, inside) in &running.publish {
        more.push(("Port", format!("{host} → {inside}")));
    }
    more.push(("Drift", if status.drift == 0 { "none".to_owned() } else { count(status.drift, "path", "paths") }));
    if running.restarts > 0 {
        more.push(("Restarts", running.restarts.to_string()));
    }
    Side {
        name,
        words: words.to_owned(),
        subject: status.failing.clone().filter(|_| !status.healthy && status.phase == "running"),
        revision: Some(Digest::new(&running.revision)),
        image: Some(Digest::new(&running.image)),
        when: Timestamp::from_second(running.since).ok().map(|since| When::new(since, now)),
        more,
    }
}

/// "Trial: healthy".
fn words(e: &Evidence) -> String {
    format!("{}: {}", verb_noun(e.kind.as_str()), e.verdict)
}

/// "Trial: the check front failed".
fn failure(e: &Evidence) -> String {
    let noun = verb_noun(e.kind.as_str());
    match which_failed(&e.report) {
        Some(which) => format!("{noun}: {which}"),
        None => format!("{noun}: {}", e.verdict),
    }
}

/// What is proven about the wanted revision; failing that, about the newest one that anything is known of.
fn proven(proofs: &[Evidence], wanted: Option<&str>, now: Timestamp) -> Side {
    // A trial or a switch proves more than a build.
    let judged = |e: &&Evidence| e.kind != Kind::Build;
    let of_wanted = |e: &&Evidence| Some(e.revision.as_str()) == wanted;
    let best = proofs.iter().filter(of_wanted).find(judged).or_else(|| proofs.iter().find(of_wanted));
    let (found, note) = match best {
        Some(e) => (Some(e), None),
        None => (proofs.iter().find(judged).or(proofs.first()), Some("not what is wanted now".to_owned())),
    };
    let Some(e) = found else {
        return Side { name: "Proven", words: "Nothing yet".to_owned(), ..Side::default() };
    };
    Side {
        name: "Proven",
        words: words(e),
        subject: note,
        revision: Some(Digest::new(&e.revision)),
        image: e.image.as_ref().map(Digest::new),
        when: Some(When::new(e.at, now)),
        more: Vec::new(),
    }
}

/// One proof as a row.
#[derive(Debug)]
pub(crate) struct Proof {
    pub(crate) what: String,
    pub(crate) mark: Mark,
    pub(crate) revision: Digest,
    pub(crate) image: Option<Digest>,
    pub(crate) when: When,
}

impl Proof {
    /// Of a piece of evidence.
    pub(crate) fn new(e: &Evidence, now: Timestamp) -> Proof {
        let tone = match e.verdict {
            Verdict::Failed => Tone::Bad,
            Verdict::RolledBack => Tone::Held,
            _ => Tone::Good,
        };
        Proof {
            what: verb_noun(e.kind.as_str()),
            mark: Mark::new(tone, e.verdict.as_str()),
            revision: Digest::new(&e.revision),
            image: e.image.as_ref().map(Digest::new),
            when: When::new(e.at, now),
        }
    }
}
