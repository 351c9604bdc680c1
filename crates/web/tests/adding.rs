//! Adding things by clicking: what the pages show is what the draft has afterwards, and nothing else changes.

mod common;

use common::{Pages, fleet};
use regrow_ops::drafts;

fn form(pages: &Pages, cookie: &str, path: &str, answers: &str) -> String {
    let page = pages.get_as(cookie, path);
    assert_eq!(page.status, 200, "{path}: {}", page.body);
    format!("session={}&once={}&{answers}", page.field("session"), page.field("once"))
}

/// The text of `web1` in a draft.
fn text(pages: &Pages, draft: &str) -> String {
    let bytes = drafts::files_of(&pages.ctx, draft).unwrap().read("servers/web1/server.toml").unwrap().unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn everything_has_a_card_and_every_card_a_page() {
    let pages = Pages::with(fleet::write);
    let cookie = pages.sign_in();
    let cards = pages.get_as(&cookie, "/add/web1");
    assert_eq!(cards.status, 200, "{}", cards.body);
    for heading in ["Web", "Databases", "Mail", "Access", "Schedules", "Files", "Network", "Monitoring", "Packages"] {
        assert!(cards.body.contains(&format!(">{heading}")), "{heading}");
    }
    let links: Vec<&str> = cards
        .body
        .split("href=\"")
        .skip(1)
        .filter_map(|l| l.split('"').next())
        .filter(|l| l.starts_with("/add/web1/"))
        .collect();
    assert!(links.len() >= 17, "{links:?}");
    for link in links {
        let page = pages.get_as(&cookie, link);
        assert_eq!(page.status, 200, "{link}: {}", page.body);
        assert!(page.body.contains("regrow add web1 "), "{link} shows its command");
    }
    for missing in ["/add/nobody", "/add/web1/nothing", "/add/nobody/nginx", "/add/web1/..%2F..%2Fetc"] {
        assert_eq!(pages.get_as(&cookie, missing).status, 404, "{missing}");
    }
}

#[test]
fn a_service_goes_into_a_draft_once_and_changes_only_its_lines() {
    let pages = Pages::with(fleet::write);
    let cookie = pages.sign_in();
    let sent = form(&pages, &cookie, "/add/web1/redis", "");
    let shown = pages.get_as(&cookie, "/add/web1/redis").body;
    let answer = pages.post("/add/web1/redis", &sent, &format!("Cookie: {cookie}\r\n"));
    assert_eq!(answer.status, 303, "{}", answer.body);
    let draft = answer.header("location").unwrap().strip_prefix("/draft/").unwrap().to_owned();
    let again = pages.post("/add/web1/redis", &sent, &format!("Cookie: {cookie}\r\n"));
    assert_eq!(again.header("location"), answer.header("location"), "the same form sent again is the same change");
    assert_eq!(drafts::list(&pages.ctx).unwrap().len(), 1);

    let before = std::fs::read_to_string(pages.fleet().join("servers/web1/server.toml")).unwrap();
    let after = text(&pages, &draft);
    let mut kept = before.lines();
    let mut wanted = kept.next();
    for line in after.lines() {
        if wanted == Some(line) {
            wanted = kept.next();
        } else {
            assert!(
                shown.contains(&line.replace('"', "&#34;")) || line.is_empty(),
                "not shown before: {line}\n{shown}"
            );
        }
    }
    assert_eq!(wanted, None, "a line of before is gone:\n{after}");
    assert!(after.contains("redis-server = \"*\"") && after.contains("[state.redis]"), "{after}");

    // The browser works on the draft from here on, and sees it.
    let with_draft = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let page = pages.get("/add/web1/redis", &format!("Cookie: {cookie}; {with_draft}\r\n"));
    assert!(page.body.contains("has all of it already"), "{}", page.body);
}

#[test]
fn a_bad_answer_is_told_at_its_question_and_what_was_typed_stays() {
    let pages = Pages::with(fleet::write);
    let cookie = pages.sign_in();
    let headers = format!("Cookie: {cookie}\r\n");
    let bad = "a:name=Not+A+Name&a:when=daily&a:command=%2Fusr%2Fbin%2Ftrue+%3Cx%3E&a:user=root&a:persistent=yes";
    let sent = form(&pages, &cookie, "/add/web1/timer", bad);
    let answer = pages.post("/add/web1/timer", &sent, &headers);
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert!(
        answer.body.contains("id=\"a-name-error\"") && answer.body.contains("value=\"Not A Name\""),
        "{}",
        answer.body
    );
    assert!(answer.body.contains("&#60;x&#62;") && !answer.body.contains("<x>"), "{}", answer.body);
    // The text itself may refuse what no question could.
    let refused = "a:name=ok&a:when=no%3Bwhen&a:command=%2Fbin%2Ftrue&a:user=root&a:persistent=no";
    let sent = form(&pages, &cookie, "/add/web1/timer", refused);
    let answer = pages.post("/add/web1/timer", &sent, &headers);
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert!(answer.body.contains("The text would have mistakes") && answer.body.contains("no;when"), "{}", answer.body);
    assert_eq!(drafts::list(&pages.ctx).unwrap().len(), 0, "nothing was saved");

    let own = form(&pages, &cookie, "/add/web1/redis", "");
    let once = own.split('&').nth(1).unwrap();
    assert_eq!(pages.post("/add/web1/redis", once, &headers).status, 403, "no session in the form");
    let session = own.split('&').next().unwrap();
    assert_eq!(pages.post("/add/web1/redis", session, &headers).status, 409, "a form of nobody knows when");
    assert_eq!(pages.post("/add/web1/redis", &own, "").status, 401);
    assert_eq!(drafts::list(&pages.ctx).unwrap().len(), 0);
}

#[test]
fn packages_say_when_there_is_no_index_yet() {
    let pages = Pages::with(fleet::write);
    let cookie = pages.sign_in();
    assert_eq!(pages.get_as(&cookie, "/packages").status, 200);
    let answer = pages.get_as(&cookie, "/packages?q=nginx&server=web1");
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("regrow lock web1"), "the way out: {}", answer.body);
    assert_eq!(pages.get_as(&cookie, "/packages?q=%22%3E%3Cscript%3E&server=nobody").status, 200);
}
