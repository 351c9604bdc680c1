//! The hunt for a culprit as pages: what can be asked, what is refused and in which words, one that found, one that was
//! stopped. What is booted in the end is tested on real packages, in `regrow`.

mod common;

use common::{Answer, Pages, fleet, work};
use regrow_ops::{changes, drafts, hunt, jobs};

/// Pages of a fleet whose newest changeset is known to fail `front`, and the one before it to pass.
fn proven() -> Pages {
    let pages = Pages::with(fleet::write);
    fleet::prove(&pages.ctx);
    pages
}

/// Fills in the form that a page shows.
fn send(pages: &Pages, cookie: &str, page: &Answer, fields: &str) -> Answer {
    let form = format!("session={}&once={}&{fields}", page.field("session"), page.field("once"));
    pages.post("/server/web1/hunt", &form, &format!("Cookie: {cookie}\r\n"))
}

/// The chosen one of the things to ask.
fn chosen(page: &str) -> Vec<&str> {
    let radios = page.split("<input type=\"radio\" name=\"what\" value=\"").skip(1);
    radios.filter(|r| r.split('>').next().unwrap().contains(" checked")).map(|r| r.split('"').next().unwrap()).collect()
}

#[test]
fn a_red_check_leads_to_a_form_that_asks_for_it_between_what_is_known() {
    let pages = proven();
    let cookie = pages.sign_in();
    let head = fleet::head(&pages.fleet());
    let server = pages.get_as(&cookie, "/server/web1").body;
    let link = format!("/server/web1/hunt?check=front&amp;bad={head}");
    let link = if server.contains(&link) { link } else { link.replace("&amp;", "&#38;") };
    assert!(server.contains(&format!("href=\"{link}\"")), "{server}");
    assert!(!server.contains("hunt?check=database"), "a check that passed has no culprit");
    assert!(server.contains("href=\"/server/web1/hunt\""), "a way in without a red check");
    let history = pages.get_as(&cookie, &format!("/changeset/{head}")).body;
    assert!(history.contains(&format!("href=\"/server/web1/hunt?bad={head}\"")), "{history}");

    let page = pages.get_as(&cookie, &format!("/server/web1/hunt?check=front&bad={head}"));
    assert_eq!(page.status, 200, "{}", page.body);
    assert_eq!(chosen(&page.body), ["check:front"]);
    for words in ["check:database", "check:system", "check:failed-units", "failed last", "passed last", "None yet."] {
        assert!(page.body.contains(words), "no {words}: {}", page.body);
    }
    assert!(page.body.contains("“Alice has married”)"), "the newest that is known to be good: {}", page.body);
    assert!(page.body.contains("Alice has married (built, trialled, switched)"), "{}", page.body);
    assert!(page.body.contains("name=\"bad\" value=\"\""), "the newest one needs no name: {}", page.body);
    assert!(page.body.contains("regrow bisect web1 --check front"));
    assert_eq!(chosen(&pages.get_as(&cookie, "/server/web1/hunt?check=database").body), ["check:database"]);
    for path in ["/server/web1/hunt", "/server/web1/hunt?check=nothing"] {
        assert_eq!(chosen(&pages.get_as(&cookie, path).body), ["check:front"], "{path}: the red one");
    }
    for path in ["/server/nobody/hunt", "/server/web1/hunt/1", "/server/web1/hunt/x"] {
        assert_eq!(pages.get_as(&cookie, path).status, 404, "{path}");
    }
}

#[test]
fn mistakes_are_said_in_words_and_what_was_typed_stays() {
    let pages = Pages::with(fleet::write);
    let cookie = pages.sign_in();
    let page = pages.get_as(&cookie, "/server/web1/hunt");
    for (fields, words) in [
        ("what=check:front", "No revision of web1 is known at which front passed."),
        ("what=check:frnt", "Web1 has no check frnt at"),
        ("what=check:front&other=nothing", "There is no revision nothing"),
        ("what=check:front&other=--all", "There is no revision --all"),
        ("what=check:front&other=HEAD", "The good and the bad end are both"),
        ("what=check:front&good=HEAD&bad=HEAD~1", "is not before"),
        ("what=command&command=+&other=HEAD~1", "There is no command."),
        ("what=unit&unit=a+b&other=HEAD~1", "There is no unit."),
        ("what=text&text=&other=HEAD~1", "The check has no check."),
        ("what=text&text=%5Bchecks.page%5D%0D%0Ahtp+%3D+1%0D%0A&other=HEAD~1", "The text has"),
        ("other=HEAD~1", "No check is chosen."),
    ] {
        let answer = send(&pages, &cookie, &page, fields);
        assert_eq!(answer.status, 422, "{fields}: {}", answer.body);
        assert!(answer.body.contains(words), "{fields} does not say {words:?}: {}", answer.body);
        let trouble = answer.body.split("role=\"alert\"").nth(1).unwrap().split("</div>").next().unwrap();
        assert!(!trouble.contains(": --") && !trouble.contains("servers/hunt"), "{trouble}");
    }
    let typed = send(&pages, &cookie, &page, "what=command&command=test+%22a%22&other=none&bad=HEAD~1").body;
    assert_eq!(chosen(&typed), ["command"]);
    assert!(typed.contains("value=\"test &#34;a&#34;\"") && typed.contains("name=\"other\" value=\"none\""), "{typed}");
    assert!(typed.contains("name=\"bad\" value=\"HEAD~1\""), "{typed}");
    let foreign = pages.post("/server/web1/hunt", "session=x&once=y", &format!("Cookie: {cookie}\r\n"));
    assert_eq!(foreign.status, 403);
    let stale = format!("session={}&once=0000&what=check:front&other=HEAD~1", page.field("session"));
    assert_eq!(pages.post("/server/web1/hunt", &stale, &format!("Cookie: {cookie}\r\n")).status, 409);
    assert!(
        jobs::list(&pages.ctx, None, 9).unwrap().is_empty() && hunt::list(&pages.ctx, "web1", 9).unwrap().is_empty()
    );
}

#[test]
fn a_hunt_is_begun_once_and_its_page_shows_the_culprit_and_what_to_do_about_it() {
    let pages = proven();
    let cookie = pages.sign_in();
    let page = pages.get_as(&cookie, "/server/web1/hunt");
    let begun = send(&pages, &cookie, &page, "what=check:front");
    assert_eq!(begun.status, 303, "{}", begun.body);
    let place = begun.header("location").unwrap().to_owned();
    assert!(place.starts_with("/server/web1/hunt/"), "{place}");
    let again = send(&pages, &cookie, &page, "what=check:front");
    assert_eq!(again.header("location"), Some(&*place), "the same form is the same hunt");
    let job = jobs::list(&pages.ctx, Some("web1"), 9).unwrap();
    assert_eq!(job.len(), 1, "{job:?}");
    assert!(jobs::subscribe(&pages.ctx, job[0].id, 0).unwrap().count() > 0);

    let head = fleet::head(&pages.fleet());
    let shown = pages.get_as(&cookie, &place).body;
    let made = drafts::list(&pages.ctx).unwrap();
    assert_eq!(made.len(), 1);
    let draft = &made[0].id;
    for words in [
        "<h1>What broke the check front</h1>",
        "Found</span>",
        "broke front: trial 5 of",
        "Word the greeting of the day anew",
        "The old one was taken for an order.",
        "The content of /etc/motd changes",
        &format!("href=\"/changeset/{head}\""),
        "the culprit</span>",
        "1 changeset, 0 boots",
        &format!("href=\"/draft/{draft}\""),
        &format!("href=\"/draft/{draft}#land\""),
        // The fleet of this test has no lock, and that is said.
        "not tried</span>",
        "has no lock yet",
        &format!("href=\"/job/{}\"", job[0].id),
        "regrow bisect web1 --check front --good",
    ] {
        assert!(shown.contains(words), "no {words:?}: {shown}");
    }
    assert!(!shown.contains("Go on"), "it has come to its end");
    assert!(pages.get_as(&cookie, &format!("/job/{}", job[0].id)).body.contains(&format!("href=\"{place}\"")));
    let listed = pages.get_as(&cookie, "/server/web1/hunt").body;
    assert!(listed.contains(&format!("href=\"{place}\"")) && listed.contains("found "), "{listed}");

    // The draft is discarded: the page says so.
    drafts::discard(&pages.ctx, draft).unwrap();
    let shown = pages.get_as(&cookie, &place).body;
    assert!(shown.contains("landed or discarded") && !shown.contains("#land"), "{shown}");
    let resume = format!("resume={}", place.rsplit('/').next().unwrap());
    let answer = send(&pages, &cookie, &pages.get_as(&cookie, "/server/web1/hunt"), &resume);
    assert!(answer.status == 409 && answer.body.contains("cannot be gone on with"), "{}", answer.body);
}

#[test]
fn a_hunt_is_watched_live_and_goes_on_after_it_was_stopped() {
    let pages = proven();
    let cookie = pages.sign_in();
    let (id, job, stop) = work::running_hunt(&pages, "front");
    let place = format!("/server/web1/hunt/{id}");
    let running = pages.get_as(&cookie, &place).body;
    let head = &changes::log(&pages.ctx, None, None, 1).unwrap().changes[0];
    for words in [
        "Running",
        "1 changeset left, about 2 boots to go.",
        &format!("title=\"1. {} “{}”: in question\"", &head.revision[..12], head.subject),
        &format!("action=\"/job/{job}/stop\""),
        &format!("data-events=\"/job/{job}/events?after="),
    ] {
        assert!(running.contains(words), "no {words:?}: {running}");
    }
    assert!(!running.contains("Go on"), "{running}");
    let mut told = pages.stream(&cookie, &format!("/job/{job}/events?after=0"), "");
    assert!(told.any(|line| line.contains("id=\"strip\"")), "the strip comes live");
    stop();
    assert!(told.any(|line| line.contains("id=\"answer\"")), "and so does the end");
    assert!(told.any(|line| line.contains("Go on")), "with the way to go on");

    let stopped = pages.get_as(&cookie, &place);
    assert!(stopped.body.contains("Interrupted") && stopped.body.contains(">Go on</button>"), "{}", stopped.body);
    let listed = pages.get_as(&cookie, "/server/web1/hunt").body;
    assert!(listed.contains("interrupted</span>") && listed.contains(">Go on<"), "{listed}");
    let went = send(&pages, &cookie, &stopped, &format!("resume={id}"));
    assert_eq!((went.status, went.header("location")), (303, Some(&*place)), "{}", went.body);
    let newest = hunt::job_of(&pages.ctx, id).unwrap().unwrap();
    assert!(newest > job);
    assert!(jobs::subscribe(&pages.ctx, newest, 0).unwrap().count() > 0);
    assert!(pages.get_as(&cookie, &place).body.contains("the culprit</span>"));
    assert_eq!(hunt::list(&pages.ctx, "web1", 9).unwrap().len(), 1, "it is one hunt");
}
