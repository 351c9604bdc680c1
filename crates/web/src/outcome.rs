//! What came of a job, or what a piece of evidence holds, in words: read from the verb's report.
//!
//! The report is the `--json` of the command line, which is a contract; a key that is missing is left out of the page.

use askama::Template;
use regrow_ops::jobs::{Job, State};
use serde_json::Value;

use crate::pages::object::encode;
use crate::view::{self, DiagnosticView, Digest, Mark, Tone};

/// The headline of a job.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The browser's title: "✓ Trial of web1 – Regrow".
    pub(crate) title: String,
    /// The same without the program's name.
    pub(crate) title_short: String,
    /// How it stands.
    pub(crate) mark: Mark,
    /// The result in a sentence.
    pub(crate) words: String,
    /// Why, outermost first.
    pub(crate) lines: Vec<String>,
    /// What to do now.
    pub(crate) help: Option<String>,
}

/// The page where a hunt begins, for a check that was seen to fail at a revision.
pub(crate) fn hunt_address(server: &str, check: Option<&str>, revision: Option<&str>) -> String {
    // What is on disk is no revision to begin at.
    let revision = revision.filter(|r| r.len() >= 40 && r.bytes().all(|b| b.is_ascii_hexdigit()));
    let fields = [("check", check), ("bad", revision)];
    let fields = fields.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", encode(value?))));
    let query = fields.collect::<Vec<_>>().join("&");
    let mark = if query.is_empty() { "" } else { "?" };
    format!("/server/{}/hunt{mark}{query}", encode(server))
}

/// The check to ask for what a switch says failed: one that does not come up fails the check that every machine has.
pub(crate) fn askable(failed: &str) -> &str {
    if ["boot", "start"].contains(&failed) { "system" } else { failed }
}

/// The headline alone, for the stream.
#[derive(Debug, Template)]
#[template(path = "outcome.html")]
pub(crate) struct OutcomePiece<'a> {
    pub(crate) outcome: &'a Outcome,
}

/// One check's result.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) mark: Mark,
    pub(crate) detail: String,
    pub(crate) took: String,
    /// Where the changeset that broke it can be looked for, if it failed.
    pub(crate) hunt: Option<String>,
}

/// One layer of a build.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) name: String,
    pub(crate) how: &'static str,
    pub(crate) key: Digest,
    pub(crate) took: String,
}

/// One named value.
#[derive(Debug)]
pub(crate) struct Fact {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) digest: Option<Digest>,
}

/// What a report holds beyond its headline.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// What the checks judged, in words.
    pub(crate) checks_about: String,
    pub(crate) checks: Vec<Check>,
    pub(crate) diagnostics: Vec<DiagnosticView>,
    /// Failed units and what they said.
    pub(crate) journals: Vec<(String, String)>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) facts: Vec<Fact>,
}

/// The report alone, for the stream.
#[derive(Debug, Template)]
#[template(path = "report.html")]
pub(crate) struct ReportPiece<'a> {
    pub(crate) report: &'a Report,
}

/// What a verb is called on pages.
pub(crate) fn verb_noun(verb: &str) -> String {
    let noun = match verb {
        "build" => "Build",
        "trial" => "Trial",
        "switch" => "Switch",
        "rollback" => "Rollback",
        "lock" => "Lock",
        "bisect" => "Culprit hunt",
        other => {
            let mut letters = other.chars();
            return letters.next().map(|c| c.to_uppercase().chain(letters).collect()).unwrap_or_default();
        }
    };
    noun.to_owned()
}

/// "Trial of web1".
pub(crate) fn job_title(job: &Job) -> String {
    match &job.server {
        Some(server) => format!("{} of {server}", verb_noun(&job.verb)),
        None => verb_noun(&job.verb),
    }
}

impl Outcome {
    /// Before anything was done.
    pub(crate) fn nothing() -> Outcome {
        Outcome {
            title: String::new(),
            title_short: String::new(),
            mark: Mark::new(Tone::None, ""),
            words: String::new(),
            lines: Vec::new(),
            help: None,
        }
    }

    /// Of a job with the state and result of its end, or of one that runs.
    pub(crate) fn new(job: &Job, state: State, result: &Value) -> Outcome {
        Outcome::told(&job.verb, &job_title(job), state, result)
    }

    /// The same of a piece of work whose job is gone.
    pub(crate) fn told(verb: &str, title: &str, state: State, result: &Value) -> Outcome {
        let (sign, tone, words) = match state {
            State::Running => ("▸", Tone::Busy, "The result will stand here.".to_owned()),
            State::Done => ("✓", Tone::Good, good_words(verb, result)),
            State::No => ("✗", Tone::Bad, no_words(verb, result)),
            State::Failed => ("✗", Tone::Bad, error_text(result, "message").unwrap_or_default()),
            State::Interrupted => {
                let words = "its process ended in the middle; nothing is half done, start it again";
                ("✗", Tone::Bad, error_text(result, "message").unwrap_or_else(|| words.to_owned()))
            }
        };
        let mark = Mark::new(tone, word(verb, state, result));
        let lines = result["error"]["causes"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(sentence)
            .collect();
        let title_short = format!("{sign} {title}");
        Outcome {
            title: format!("{title_short} – Regrow"),
            title_short,
            mark,
            words: sentence(&words),
            lines,
            help: error_text(result, "help").map(|h| sentence(&h)),
        }
    }
}

fn error_text(result: &Value, key: &str) -> Option<String> {
    result["error"][key].as_str().map(str::to_owned)
}

/// First letter large, full stop at the end.
pub(crate) fn sentence(words: &str) -> String {
    let words = words.trim();
    let mut letters = words.chars();
    let Some(first) = letters.next() else { return String::new() };
    // A name in code ticks keeps its letters.
    let mut text: String = if first == '`' { words.to_owned() } else { first.to_uppercase().chain(letters).collect() };
    if !text.ends_with(['.', '!', '?', ':', '…']) {
        text.push('.');
    }
    text
}

fn good_words(verb: &str, report: &Value) -> String {
    let within = report["seconds"].as_f64().map(|s| format!(" in {}", view::took(s))).unwrap_or_default();
    match verb {
        "build" => {
            let layers = report["layers"].as_array().map_or(&[][..], Vec::as_slice);
            let cached = layers.iter().filter(|l| l["cached"] == true).count();
            let layers = view::count(layers.len(), "layer", "layers");
            format!("{layers}{within}, {cached} of them already there")
        }
        "trial" => match report["ready_seconds"].as_f64() {
            Some(ready) => format!("ready after {}, judged{within}", view::took(ready)),
            None => format!("judged{within}"),
        },
        "switch" | "rollback" if report["unchanged"] == true => "it was online already".to_owned(),
        "switch" | "rollback" if report["decision"].is_object() => {
            report["detail"].as_str().unwrap_or_default().to_owned()
        }
        "switch" | "rollback" => match report["down_seconds"].as_f64() {
            Some(down) => format!("all checks passed; connections waited for {}", view::took(down)),
            None => "all checks passed".to_owned(),
        },
        "bisect" => first_words(report),
        "undo" if report["done"].is_string() => report["done"].as_str().unwrap_or_default().to_owned(),
        _ => format!("finished{within}"),
    }
}

/// The first sentence of a hunt's report.
fn first_words(report: &Value) -> String {
    let words = plain(report["words"][0].as_str().unwrap_or_default());
    // A sentence on a page begins with words; the revision is linked below.
    words.split_once(' ').filter(|(_, rest)| rest.starts_with('“')).map_or(words, |(_, rest)| rest).to_owned()
}

/// Advice without the options of a command at its end: a page has fields for them.
pub(crate) fn plain(words: &str) -> &str {
    words.split(": --").next().unwrap_or_default().trim_end_matches("; or give one")
}

fn no_words(verb: &str, report: &Value) -> String {
    if verb == "bisect" {
        return first_words(report);
    }
    let report = judged(verb, report);
    let which = which_failed(report).or_else(|| report["message"].as_str().map(str::to_owned));
    let which = which.unwrap_or_else(|| "the answer is no".to_owned());
    match verb {
        "switch" => {
            format!("{which}. What was online before is online again; the revision is held until a person decides")
        }
        _ => which,
    }
}

/// The part of a report that says how a server was judged: an undo holds the report of the switch or rollback it made.
pub(crate) fn judged<'r>(verb: &str, report: &'r Value) -> &'r Value {
    if verb == "undo" { &report["online"] } else { report }
}

/// "the check front failed", from a report whose answer is no.
pub(crate) fn which_failed(report: &Value) -> Option<String> {
    if report["decision"].is_object() {
        return report["detail"].as_str().map(str::to_owned);
    }
    let failed = checks_of(report).iter().filter(|c| c["passed"] == false).filter_map(|c| c["name"].as_str());
    match failed.collect::<Vec<_>>().as_slice() {
        [] => report["reason"].as_str().or(report["detail"].as_str()).filter(|d| !d.is_empty()).map(str::to_owned),
        [one] => Some(format!("the check {one} failed")),
        many => Some(format!("the checks {} failed", many.join(", "))),
    }
}

/// How a job stands, in a word or two of its verb.
fn word(verb: &str, state: State, report: &Value) -> &'static str {
    match (state, verb) {
        (State::Running, _) => "Running",
        (State::Failed, _) => "Failed",
        (State::Interrupted, _) => "Interrupted",
        (State::Done, "build") => "Built",
        (State::Done, "trial") => "Healthy",
        (State::Done, "switch" | "rollback") if report["unchanged"] == true => "Unchanged",
        (State::Done, "switch" | "rollback") => "Online",
        (State::Done, "bisect") => "Found",
        (State::No, "bisect") => "Not found",
        (State::Done, _) => "Done",
        (State::No, "trial") => "Not healthy",
        (State::No, "switch") => "Went back",
        (State::No, _) => "No",
    }
}

fn checks_of(report: &Value) -> &[Value] {
    report["checks"].as_array().map_or(&[], Vec::as_slice)
}

impl Report {
    /// Reads a report.
    pub(crate) fn new(report: &Value) -> Report {
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let seconds = |v: &Value| v["seconds"].as_f64().map(view::took).unwrap_or_default();
        let array = |v: &Value| v.as_array().cloned().unwrap_or_default();
        let checks = checks_of(report).iter().map(|c| Check {
            name: text(&c["name"]),
            mark: match c["passed"].as_bool() {
                Some(true) => Mark::new(Tone::Good, "passed"),
                Some(false) if c["left"] == true => Mark::new(Tone::None, "left off"),
                Some(false) => Mark::new(Tone::Bad, "failed"),
                None => Mark::new(Tone::None, "not run"),
            },
            detail: text(&c["detail"]),
            took: seconds(c),
            hunt: None,
        });
        // Red things first; within one colour the order of the text.
        let mut checks: Vec<Check> = checks.collect();
        checks.sort_by_key(|c| c.mark.tone());
        // A trial holds the build before it.
        let layers = if report["layers"].is_array() { &report["layers"] } else { &report["build"]["layers"] };
        let layers = array(layers)
            .iter()
            .map(|l| Layer {
                name: text(&l["name"]),
                how: if l["cached"] == true { "already there" } else { "built" },
                key: Digest::new(text(&l["key"])),
                took: seconds(l),
            })
            .collect();
        let journals = array(&report["failed_units"]).iter().map(|u| (text(&u["unit"]), text(&u["journal"]))).collect();
        let diagnostics = array(&report["error"]["diagnostics"]).iter().map(DiagnosticView::from_json).collect();
        let mut facts = Vec::new();
        for (key, name) in [
            ("revision", "Revision"),
            ("image", "Image"),
            ("from", "From image"),
            ("to", "To image"),
            ("from_revision", "From revision"),
            ("to_revision", "To revision"),
        ] {
            if let Some(value) = report[key].as_str() {
                facts.push(Fact { name, value: value.to_owned(), digest: Some(Digest::new(value)) });
            }
        }
        for (key, name) in
            [("ready_seconds", "Ready after"), ("down_seconds", "Connections waited"), ("seconds", "Took")]
        {
            if let Some(value) = report[key].as_f64() {
                facts.push(Fact { name, value: view::took(value), digest: None });
            }
        }
        let lists = [("packages", "Packages"), ("not_shown", "Not shown")];
        for (key, name) in lists {
            let value = report[key].as_u64().map(|n| n.to_string()).or_else(|| report[key].as_str().map(str::to_owned));
            facts.extend(value.map(|value| Fact { name, value, digest: None }));
        }
        for words in array(&report["unlimited"]).iter().filter_map(Value::as_str) {
            facts.push(Fact { name: "Not limited", value: words.to_owned(), digest: None });
        }
        Report { checks_about: String::new(), checks, diagnostics, journals, layers, facts }
    }

    /// The same, of a server: what failed leads to the hunt for its culprit.
    pub(crate) fn of(server: Option<&str>, report: &Value) -> Report {
        let mut read = Report::new(report);
        if let Some(server) = server {
            let revision = report["revision"].as_str().or(report["to_revision"].as_str());
            read.lead_to_hunts(server, revision);
        }
        read
    }

    /// What failed leads to the hunt for its culprit, which ends at the revision where it was seen.
    pub(crate) fn lead_to_hunts(&mut self, server: &str, revision: Option<&str>) {
        for check in self.checks.iter_mut().filter(|c| c.mark.tone() == Tone::Bad) {
            check.hunt = Some(hunt_address(server, Some(&check.name), revision));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn job(verb: &str) -> Job {
        Job {
            id: 1,
            verb: verb.to_owned(),
            server: Some("web1".to_owned()),
            actor: "root".to_owned(),
            started: "2026-01-02T03:04:05Z".parse().unwrap(),
            ended: None,
            state: State::Running,
            result: Value::Null,
            draft: None,
            revision: None,
        }
    }

    #[test]
    fn a_failed_trial_names_its_checks_and_puts_them_first() {
        let report = json!({"checks": [
            {"name": "a", "passed": true, "detail": "active", "seconds": 0.1},
            {"name": "front", "passed": false, "detail": "status 200, not 500", "seconds": 0.2}]});
        let outcome = Outcome::new(&job("trial"), State::No, &report);
        assert_eq!((&*outcome.mark.word, &*outcome.words), ("Not healthy", "The check front failed."));
        assert_eq!(outcome.title, "✗ Trial of web1 – Regrow");
        let checks = Report::new(&report).checks;
        assert_eq!(checks.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["front", "a"]);
    }

    #[test]
    fn an_error_is_told_with_causes_and_the_way_out() {
        let result = json!({"error": {"message": "cannot write /x", "causes": ["No space left on device"], "help": "free some space"}});
        let outcome = Outcome::new(&job("build"), State::Failed, &result);
        assert_eq!(outcome.words, "Cannot write /x.");
        assert_eq!(outcome.lines, ["No space left on device."]);
        assert_eq!(outcome.help.as_deref(), Some("Free some space."));
    }

    #[test]
    fn what_failed_leads_to_the_hunt_for_its_culprit_and_nothing_else_does() {
        let revision = "0123456789abcdef0123456789abcdef01234567";
        let checks = json!([{"name": "a b", "passed": false}, {"name": "c", "passed": true}]);
        let hunts = |revision: &str| -> Vec<Option<String>> {
            let report = json!({"revision": revision, "checks": checks});
            Report::of(Some("web1"), &report).checks.into_iter().map(|c| c.hunt).collect()
        };
        assert_eq!(hunts(revision), [Some(format!("/server/web1/hunt?check=a%20b&bad={revision}")), None]);
        assert_eq!(hunts(&format!("{revision}+edits"))[0].as_deref(), Some("/server/web1/hunt?check=a%20b"));
        assert_eq!(Report::of(None, &json!({"checks": checks})).checks[0].hunt, None);
    }

    #[test]
    fn a_hunt_is_told_without_the_options_of_a_command() {
        let report = json!({"words": ["front passes at the bad end 1: active", "x"]});
        let outcome = Outcome::new(&job("bisect"), State::No, &report);
        assert_eq!((&*outcome.mark.word, &*outcome.words), ("Not found", "Front passes at the bad end 1: active."));
        let found = json!({"words": ["abcdef012345 “Change it” by Ann broke front: refused"]});
        let outcome = Outcome::new(&job("bisect"), State::Done, &found);
        assert_eq!(&*outcome.words, "“Change it” by Ann broke front: refused.");
        assert_eq!(
            plain("name an older revision where it worked: --good REV"),
            "name an older revision where it worked"
        );
        assert_eq!(plain("it has a, b; or give one: --run 'CMD', --check-file FILE"), "it has a, b");
    }

    #[test]
    fn a_report_of_any_shape_is_read_without_a_fall() {
        for odd in [Value::Null, json!([]), json!({"checks": 3, "layers": {}, "image": 7, "seconds": "x"}), json!("x")]
        {
            Report::new(&odd);
            for state in [State::Running, State::Done, State::No, State::Failed, State::Interrupted] {
                Outcome::new(&job("switch"), state, &odd);
            }
        }
    }
}
