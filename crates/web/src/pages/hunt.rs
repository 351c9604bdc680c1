//! `/server/NAME/hunt/ID`: one hunt for a culprit: where it stands, live; what it came to, and what can be done about it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use jiff::Timestamp;
use regrow_config::CheckKind;
use regrow_ops::accounts::Role;
use regrow_ops::compare;
use regrow_ops::drafts;
use regrow_ops::hunt::{self, Among, Asked, Hunt, HuntId, Question, Standing, Step, Verdict};
use regrow_ops::jobs::{self, Job, JobId};
use regrow_ops::wanted::short;
use regrow_ops::{Context, Error};
use serde_json::Value;

use crate::app::App;
use crate::outcome::{Outcome, Report, plain, sentence};
use crate::pages::job::{self, Watch};
use crate::pages::{drawn, layout, message, work};
use crate::preview::{Effect, Preview};
use crate::view::{Digest, Layout, Mark, Place, Tone, When, count, took};
use crate::visitor::Visitor;

#[derive(Debug, Template)]
#[template(path = "hunt.html")]
struct Page {
    layout: Layout,
    server: String,
    form_token: String,
    good: Digest,
    bad: Digest,
    actor: String,
    when: When,
    job: Option<JobId>,
    command: String,
    running: bool,
    watch: Option<Watch>,
    outcome: Outcome,
    report: Report,
    answer: Answer,
    strip: Option<Strip>,
    judged: Vec<Judged>,
}

/// What a question asks, in words: "the check front".
pub(crate) fn what(asked: &Asked) -> String {
    match asked {
        Asked::Named { name } => format!("the check {name}"),
        Asked::Given { name, check } => match &check.kind {
            CheckKind::Command { .. } if line_of(asked).is_some() => {
                format!("the command {}", line_of(asked).unwrap_or_default())
            }
            CheckKind::Unit { unit } if unit == name => format!("the unit {unit}"),
            _ => format!("the check {name}"),
        },
    }
}

/// The command line that was given on the spot.
fn line_of(asked: &Asked) -> Option<&str> {
    let Asked::Given { check, .. } = asked else { return None };
    match &check.kind {
        CheckKind::Command { argv, .. } => match &argv[..] {
            [shell, option, line] if *asked == Asked::command(line) && shell == "/bin/sh" && option == "-c" => {
                Some(line)
            }
            _ => None,
        },
        _ => None,
    }
}

/// The command that does the same.
fn command(question: &Question) -> String {
    let quoted = |words: &str| format!("'{}'", words.replace('\'', r"'\''"));
    let how = match &question.asked {
        Asked::Named { name } => format!("--check {name}"),
        asked => match (line_of(asked), what(asked).strip_prefix("the unit ")) {
            (Some(line), _) => format!("--run {}", quoted(line)),
            (None, Some(unit)) => format!("--failed-unit {unit}"),
            (None, None) => "--check-file FILE".to_owned(),
        },
    };
    format!("regrow bisect {} {how} --good {} --bad {}", question.server, short(&question.good), short(&question.bad))
}

/// How a hunt stands in a word or two, and whether it can be gone on with.
pub(crate) fn standing_of(ctx: &Context, hunt: &Hunt) -> regrow_ops::Result<(Mark, bool)> {
    if hunt.ended.is_none() {
        let runs = job_of(ctx, hunt.id)?.is_some_and(|job| job.state == jobs::State::Running);
        let (tone, word) = if runs { (Tone::Busy, "running") } else { (Tone::Held, "interrupted") };
        return Ok((Mark::new(tone, word), !runs));
    }
    let report = &hunt.report;
    let mark = match report["outcome"].as_str() {
        Some("found") => {
            Mark::new(Tone::Good, format!("found {}", short(report["culprit"].as_str().unwrap_or_default())))
        }
        Some("one of") => Mark::new(Tone::Held, format!("one of {}", report["one_of"].as_array().map_or(0, Vec::len))),
        Some("good is bad") => Mark::new(Tone::Bad, "fails at the good end, too"),
        Some("bad is good") => Mark::new(Tone::Bad, "passes at the bad end"),
        _ => Mark::new(Tone::Bad, "no answer"),
    };
    Ok((mark, false))
}

fn job_of(ctx: &Context, id: HuntId) -> regrow_ops::Result<Option<Job>> {
    match hunt::job_of(ctx, id)? {
        Some(job) => jobs::get(ctx, job),
        None => Ok(None),
    }
}

/// One cell for each changeset in question, in their order.
#[derive(Debug)]
pub(crate) struct Strip {
    words: String,
    cells: Vec<Cell>,
}

/// A changeset, or some that lie beside each other if there are too many to be drawn one by one.
#[derive(Debug, PartialEq, Eq)]
struct Cell {
    class: &'static str,
    sign: &'static str,
    title: String,
}

/// The strip alone, for the stream.
#[derive(Debug, Template)]
#[template(path = "hunt-strip.html")]
pub(crate) struct StripPiece<'a> {
    strip: &'a Strip,
}

/// How many cells are drawn.
const MOST_CELLS: usize = 200;

/// The states of a cell in words, the one to be seen first where several share one.
const STATES: [(&str, &str, &str); 6] = [
    ("culprit", "✗", "the culprit"),
    ("bad", "✗", "bad"),
    ("good", "✓", "good"),
    ("held", "–", "could not be asked"),
    ("open", "?", "in question"),
    ("none", "·", "out of question"),
];

impl Strip {
    fn new(standing: &Standing) -> Strip {
        let state = |n: usize| {
            let place = &standing.places[n];
            match place.verdict {
                _ if standing.culprit == Some(n) => 0,
                Some(Verdict::Bad) => 1,
                Some(Verdict::Good) => 2,
                Some(Verdict::Skipped) => 3,
                None if place.open => 4,
                None => 5,
            }
        };
        let all = standing.places.len();
        let size = all.div_ceil(MOST_CELLS).max(1);
        let cell = |first: usize| {
            let last = (first + size).min(all) - 1;
            let (class, sign, words) = STATES[(first..=last).map(state).min().unwrap_or_default()];
            let place = &standing.places[first];
            let title = if first == last {
                format!("{}. {} “{}”: {words}", first + 1, short(&place.revision), place.subject)
            } else {
                format!("{} to {}: {words}", first + 1, last + 1)
            };
            Cell { class, sign, title }
        };
        Strip { words: sentence(&standing.words), cells: (0..all).step_by(size).map(cell).collect() }
    }
}

/// A revision that was judged.
#[derive(Debug)]
struct Judged {
    /// Its number on the page, from 0.
    number: usize,
    mark: Mark,
    revision: Digest,
    subject: String,
    how: &'static str,
    saw: String,
    took: String,
}

/// One row, for the stream.
#[derive(Debug, Template)]
#[template(path = "judged.html")]
struct JudgedPiece<'a> {
    row: &'a Judged,
}

impl Judged {
    fn new(number: usize, step: &Step) -> Judged {
        Judged {
            number,
            mark: match step.verdict {
                Verdict::Good => Mark::new(Tone::Good, "good"),
                Verdict::Bad => Mark::new(Tone::Bad, "bad"),
                Verdict::Skipped => Mark::new(Tone::None, "skipped"),
            },
            revision: Digest::new(&step.revision),
            subject: step.subject.clone(),
            how: step.how.as_str(),
            saw: step.detail.lines().next().unwrap_or_default().to_owned(),
            took: if step.seconds > 0.0 { took(step.seconds) } else { String::new() },
        }
    }
}

/// Follows a hunt for one browser.
#[derive(Debug)]
pub(crate) struct Follow {
    id: HuntId,
    among: Option<Among>,
    /// How many steps were told.
    told: Option<usize>,
}

impl Follow {
    /// The hunt that a job works on.
    pub(crate) fn of(ctx: &Context, job: JobId) -> regrow_ops::Result<Option<Follow>> {
        let Some(found) = hunt::of_job(ctx, job)?.map(|id| hunt::get(ctx, id)).transpose()?.flatten() else {
            return Ok(None);
        };
        let among = Among::of(ctx, &found.question).ok();
        Ok(Some(Follow { id: found.id, among, told: None }))
    }

    /// What was judged since, as pieces of HTML; the rows apart from the strip, as HTML wants it.
    pub(crate) fn news(&mut self, ctx: &Context) -> Option<Vec<String>> {
        let steps = hunt::steps(ctx, self.id).ok()?;
        let told = self.told.replace(steps.len());
        if told == Some(steps.len()) {
            return Some(Vec::new());
        }
        let mut pieces = Vec::new();
        if let Some(among) = &self.among {
            pieces.push(StripPiece { strip: &Strip::new(&among.standing(&steps)) }.render().ok()?);
        }
        let rows = steps.iter().enumerate().skip(told.unwrap_or_default());
        let rows = rows.map(|(n, step)| JudgedPiece { row: &Judged::new(n, step) }.render().ok());
        let rows = rows.collect::<Option<String>>()?;
        pieces.extend(Some(rows).filter(|rows| !rows.is_empty()));
        Some(pieces)
    }

    /// What it came to, as a piece of HTML.
    pub(crate) fn answer(&self, app: &App, ctx: &Context, visitor: &Visitor) -> Option<String> {
        let found = hunt::get(ctx, self.id).ok()??;
        let answer = Answer::of(app, ctx, visitor, &found, false).ok()?;
        AnswerPiece { server: &found.question.server, form_token: &visitor.form_token, answer: &answer }.render().ok()
    }
}

/// What a hunt came to, beyond its headline.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    running: bool,
    /// Whether it was interrupted, and its number to go on with it.
    stopped: Option<HuntId>,
    lacks: Option<String>,
    once: String,
    sentences: Vec<String>,
    culprit: Option<Culprit>,
    one_of: Vec<(Digest, String)>,
    flaky: Vec<String>,
    proposal: Option<Proposal>,
    numbers: String,
}

/// The same alone, for the stream.
#[derive(Debug, Template)]
#[template(path = "hunt-answer.html")]
pub(crate) struct AnswerPiece<'a> {
    server: &'a str,
    form_token: &'a str,
    answer: &'a Answer,
}

/// The changeset that did it.
#[derive(Debug)]
struct Culprit {
    revision: Digest,
    subject: String,
    body: String,
    author: String,
    when: Option<When>,
    words: Vec<String>,
    effects: Vec<Effect>,
}

/// The server without it.
#[derive(Debug)]
struct Proposal {
    mark: Mark,
    words: String,
    /// The draft and its title, if it is there still.
    draft: Option<(String, String)>,
    /// Whether there was one.
    gone: bool,
    conflicts: u64,
    dependencies: Vec<String>,
    failing: Vec<(String, String)>,
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Answer {
    /// Of a hunt, which runs or does not.
    fn of(app: &App, ctx: &Context, visitor: &Visitor, hunt: &Hunt, running: bool) -> regrow_ops::Result<Answer> {
        if running {
            return Ok(Answer { running, ..Answer::default() });
        }
        let (lacks, once) = (visitor.lacks(Role::Edit), app.form_once()?);
        if hunt.ended.is_none() {
            return Ok(Answer { stopped: Some(hunt.id), lacks, once, ..Answer::default() });
        }
        let draft = match hunt.report["proposal"]["draft"].as_str() {
            Some(id) => match drafts::get(ctx, id) {
                Ok(draft) => Some((draft.id, draft.title)),
                Err(e) if drafts::is_gone(&e) => None,
                Err(e) => return Err(e),
            },
            None => None,
        };
        let mut answer = Answer::read(&hunt.report, draft, ctx.now());
        (answer.lacks, answer.once) = (lacks, once);
        if let Some(culprit) = &mut answer.culprit
            // It may be a changeset of another fleet with the same home.
            && let Ok((_, found)) = compare::glance_at_changeset(ctx, &culprit.revision.full)
        {
            let ours = |e: &Effect| e.name == hunt.question.server || e.name.starts_with("Role ");
            culprit.effects = Preview::new(&found).effects.into_iter().filter(ours).collect();
        }
        Ok(answer)
    }

    /// Reads a report.
    fn read(report: &Value, draft: Option<(String, String)>, now: Timestamp) -> Answer {
        let proposal = &report["proposal"];
        let found = &report["found"];
        let mut sentences = texts(&report["words"]);
        // The first one is the headline, and the proposal has a part of its own.
        if !sentences.is_empty() {
            sentences.remove(0);
        }
        sentences.retain(|words| Some(&**words) != proposal["words"].as_str());
        let pairs = |list: &Value, name: &str, value: &str| -> Vec<(String, String)> {
            list.as_array().into_iter().flatten().map(|v| (text(&v[name]), text(&v[value]))).collect()
        };
        let number = |key: &str, one: &str, many: &str| {
            count(usize::try_from(report[key].as_u64().unwrap_or_default()).unwrap_or_default(), one, many)
        };
        let mut numbers = vec![number("changesets", "changeset", "changesets"), number("boots", "boot", "boots")];
        numbers.extend(report["seconds"].as_f64().map(took));
        Answer {
            sentences: sentences.iter().map(|words| sentence(plain(words))).collect(),
            culprit: found.is_object().then(|| Culprit {
                revision: Digest::new(text(&found["revision"])),
                subject: text(&found["subject"]),
                body: text(&found["body"]),
                author: text(&found["author"]),
                when: found["at"].as_str().and_then(|at| at.parse().ok()).map(|at| When::new(at, now)),
                words: texts(&found["words"]),
                effects: Vec::new(),
            }),
            one_of: pairs(&report["one_of"], "revision", "subject")
                .into_iter()
                .map(|(revision, subject)| (Digest::new(revision), subject))
                .collect(),
            flaky: texts(&report["flaky"]).iter().map(|words| sentence(words)).collect(),
            proposal: proposal.is_object().then(|| Proposal {
                mark: match (proposal["healthy"].as_bool(), proposal["mended"].as_bool()) {
                    (Some(true), None | Some(true)) => Mark::new(Tone::Good, "tried and healthy"),
                    (_, Some(true)) => Mark::new(Tone::Held, "mended, but not healthy"),
                    (_, Some(false)) => Mark::new(Tone::Bad, "not mended"),
                    _ => Mark::new(Tone::None, "not tried"),
                },
                words: sentence(&text(&proposal["words"])),
                gone: proposal["draft"].is_string() && draft.is_none(),
                draft,
                conflicts: proposal["conflicts"].as_u64().unwrap_or_default(),
                dependencies: pairs(&proposal["dependencies"], "words", "words").into_iter().map(|(w, _)| w).collect(),
                failing: pairs(&proposal["failing"], "name", "detail"),
            }),
            numbers: numbers.join(", "),
            ..Answer::default()
        }
    }
}

/// The page.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Path((server, id)): Path<(String, String)>,
) -> Response {
    let Ok(id) = id.parse::<HuntId>() else { return message::missing(&app, "A hunt has a number.") };
    let state = app.clone();
    let page = work(&app, move |ctx| draw(&state, ctx, &visitor, server, id)).await;
    drawn(&app, page.map(|page| page.ok_or_else(|| format!("There is no hunt {id} of this server."))))
}

fn draw(
    app: &App,
    ctx: &Context,
    visitor: &Visitor,
    server: String,
    id: HuntId,
) -> regrow_ops::Result<Option<Box<Page>>> {
    let read = match hunt::job_of(ctx, id)? {
        Some(job) => job::read(ctx, job)?,
        None => None,
    };
    // After the job: what ends in between has its answer here, and the stream tells the end.
    let Some(found) = hunt::get(ctx, id)?.filter(|hunt| hunt.question.server == server) else { return Ok(None) };
    let now = ctx.now();
    let what = what(&found.question.asked);
    let (watch, outcome, report) = match &read {
        Some((job, events)) => {
            let (watch, outcome, report) = job::watch(job, events, now);
            (Some(watch), outcome, report)
        }
        // Its job was long ago.
        None => {
            let state = match found.report["outcome"].as_str() {
                Some("found") => jobs::State::Done,
                Some(_) => jobs::State::No,
                None => jobs::State::Interrupted,
            };
            let title = format!("Culprit hunt of {server}");
            (None, Outcome::told("bisect", &title, state, &found.report), Report::default())
        }
    };
    let running = watch.as_ref().is_some_and(|w| w.running);
    let steps = hunt::steps(ctx, id)?;
    let strip = match Among::of(ctx, &found.question) {
        Ok(among) => Some(Strip::new(&among.standing(&steps))),
        // Of another fleet, or of a history that was rewritten since.
        Err(Error::History(_)) => None,
        Err(e) => return Err(e),
    };
    Ok(Some(Box::new(Page {
        layout: layout(app, format!("What broke {what}"), Place::Servers),
        form_token: visitor.form_token.clone(),
        good: Digest::new(&found.question.good),
        bad: Digest::new(&found.question.bad),
        when: When::new(found.started, now),
        command: command(&found.question),
        answer: Answer::of(app, ctx, visitor, &found, running)?,
        actor: found.actor,
        job: read.map(|(job, _)| job.id),
        running,
        watch,
        outcome,
        report,
        strip,
        judged: steps.iter().enumerate().map(|(n, step)| Judged::new(n, step)).collect(),
        server,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use regrow_ops::hunt::Place as Changeset;
    use serde_json::json;

    fn place(verdict: Option<Verdict>, open: bool) -> Changeset {
        Changeset { revision: "0123456789abcdef".to_owned(), subject: "Change it".to_owned(), verdict, open }
    }

    #[test]
    fn every_cell_says_its_state_by_a_sign_and_in_words() {
        let places = vec![
            place(Some(Verdict::Good), false),
            place(None, true),
            place(Some(Verdict::Skipped), true),
            place(Some(Verdict::Bad), true),
            place(None, false),
        ];
        let strip = Strip::new(&Standing { places, culprit: Some(3), words: "3 changesets left".to_owned() });
        let seen: Vec<(&str, &str)> = strip.cells.iter().map(|c| (c.class, c.sign)).collect();
        assert_eq!(seen, [("good", "✓"), ("open", "?"), ("held", "–"), ("culprit", "✗"), ("none", "·")]);
        assert_eq!(strip.cells[3].title, "4. 0123456789ab “Change it”: the culprit");
        let html = StripPiece { strip: &strip }.render().unwrap();
        assert!(html.contains("could not be asked") && html.contains("3 changesets left."), "{html}");
    }

    #[test]
    fn a_thousand_changesets_share_cells_and_what_matters_is_seen() {
        let mut places: Vec<Changeset> = (0..1024).map(|_| place(None, false)).collect();
        places[500] = place(Some(Verdict::Good), false);
        places[501] = place(Some(Verdict::Bad), true);
        let strip = Strip::new(&Standing { places, culprit: Some(501), words: String::new() });
        assert!(strip.cells.len() <= MOST_CELLS && strip.cells.len() > MOST_CELLS / 2, "{}", strip.cells.len());
        let culprit: Vec<&Cell> = strip.cells.iter().filter(|c| c.class == "culprit").collect();
        assert_eq!(culprit.len(), 1);
        assert_eq!(culprit[0].title, "499 to 504: the culprit");
        let none = Strip::new(&Standing { places: Vec::new(), culprit: None, words: String::new() });
        assert!(none.cells.is_empty());
    }

    fn report() -> Value {
        json!({"outcome": "found", "changesets": 100, "boots": 7, "seconds": 63.0, "culprit": "0123456789abcdef",
            "words": ["0123 broke front: refused", "2 could not be built or booted and were skipped", "without 0123: all checks pass"],
            "found": {"revision": "0123456789abcdef", "subject": "Change <it>", "author": "Ann", "at": "2026-01-02T03:04:05Z",
                      "words": ["The content of /a changes"]},
            "one_of": [], "flaky": ["front is flaky at 0123: it passed once and failed once"],
            "proposal": {"draft": "d1", "healthy": true, "mended": true, "words": "without 0123: all checks pass", "conflicts": 0,
                         "dependencies": [{"words": "Change 40 stands on it."}], "failing": []}})
    }

    fn drawn(report: &Value, draft: Option<&str>) -> String {
        let draft = draft.map(|id| (id.to_owned(), "Without it".to_owned()));
        let answer = Answer::read(report, draft, "2026-01-02T03:05:05Z".parse().unwrap());
        AnswerPiece { server: "web1", form_token: "t", answer: &answer }.render().unwrap()
    }

    #[test]
    fn a_culprit_is_shown_with_what_it_does_and_the_draft_without_it() {
        let html = drawn(&report(), Some("d1"));
        for words in [
            "href=\"/changeset/0123456789abcdef\"",
            "Change &#60;it&#62;",
            "The content of /a changes",
            "2 could not be built or booted and were skipped.",
            "tried and healthy",
            "Without 0123: all checks pass.",
            "href=\"/draft/d1\"",
            "href=\"/draft/d1#land\"",
            "Change 40 stands on it.",
            "Front is flaky",
            "100 changesets, 7 boots, 1 min 3 s",
        ] {
            assert!(html.contains(words), "no {words}: {html}");
        }
        assert_eq!(html.matches("all checks pass").count(), 1, "it is said once");
        let gone = drawn(&report(), None);
        assert!(!gone.contains("/draft/") && gone.contains("landed or discarded"), "{gone}");
    }

    #[test]
    fn several_suspects_are_listed_and_advice_has_no_options_of_a_command() {
        let one_of = json!([{"revision": "aa", "subject": "A"}, {"revision": "bb", "subject": "B"}]);
        let html =
            drawn(&json!({"outcome": "one of", "words": ["one of these 2 broke front"], "one_of": one_of}), None);
        assert!(html.contains("href=\"/changeset/aa\"") && html.contains(">B</a>"), "{html}");
        let words = json!(["front fails at the good end", "name an older revision where it worked: --good REV"]);
        let html = drawn(&json!({"outcome": "good is bad", "words": words}), None);
        assert!(html.contains("Name an older revision where it worked.") && !html.contains("--good"), "{html}");
        for odd in [Value::Null, json!([]), json!({"words": 3, "found": {}, "proposal": {}, "one_of": {}})] {
            drawn(&odd, None);
        }
    }

    #[test]
    fn what_is_asked_is_told_in_words_and_as_a_command() {
        let question = |asked: Asked| Question { server: "web1".into(), asked, good: "a".into(), bad: "b".into() };
        let told = |asked: Asked| (what(&asked), command(&question(asked)));
        assert_eq!(
            told(Asked::named("front")),
            ("the check front".to_owned(), "regrow bisect web1 --check front --good a --bad b".to_owned())
        );
        let (words, line) = told(Asked::command("test 'a' = b"));
        assert_eq!(words, "the command test 'a' = b");
        assert!(line.contains(r"--run 'test '\''a'\'' = b' --good"), "{line}");
        assert_eq!(told(Asked::unit("nginx")).0, "the unit nginx.service");
        assert!(told(Asked::unit("nginx")).1.contains("--failed-unit nginx.service"));
        let text = Asked::from_text(std::path::Path::new("check.toml"), "[checks.page]\nport = 80\n").unwrap();
        assert_eq!(told(text.clone()).0, "the check page");
        assert!(told(text).1.contains("--check-file FILE"));
    }
}
