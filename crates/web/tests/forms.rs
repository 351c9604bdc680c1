//! Forms: only from our own pages, only once, and only for what the reader saw.

mod common;

use common::{Pages, fleet};
use regrow_ops::jobs;

/// Somebody with the server's page open: the cookie, and the fields of its first form.
fn reader(pages: &Pages) -> (String, String) {
    let cookie = pages.sign_in();
    let page = pages.get_as(&cookie, "/server/web1");
    assert_eq!(page.status, 200, "{}", page.body);
    let form = format!("session={}&once={}&verb=build", page.field("session"), page.field("once"));
    (cookie, form)
}

fn jobs_of(pages: &Pages) -> usize {
    jobs::list(&pages.ctx, None, 100).unwrap().len()
}

#[test]
fn a_form_of_our_own_starts_a_job_and_goes_to_its_page() {
    let pages = Pages::with(fleet::write);
    let (cookie, form) = reader(&pages);
    let headers = format!("Cookie: {cookie}\r\nSec-Fetch-Site: same-origin\r\nOrigin: null\r\n");
    let answer = pages.post("/server/web1/build", &form, &headers);
    assert_eq!(answer.status, 303, "{}", answer.body);
    let job = answer.header("location").unwrap().to_owned();
    assert!(job.starts_with("/job/"), "{job}");
    assert_eq!(pages.get_as(&cookie, &job).status, 200);

    let again = pages.post("/server/web1/build", &form, &headers);
    assert_eq!(again.header("location"), Some(&*job), "the same form sent again is the same job");
    assert_eq!(jobs_of(&pages), 1);
}

#[test]
fn clicks_at_the_same_instant_are_one_job() {
    let pages = Pages::with(fleet::write);
    let (cookie, form) = reader(&pages);
    let headers = format!("Cookie: {cookie}\r\n");
    let places: Vec<Option<String>> = std::thread::scope(|scope| {
        let click = || pages.post("/server/web1/build", &form, &headers).header("location").map(str::to_owned);
        let clicks: Vec<_> = (0..6).map(|_| scope.spawn(click)).collect();
        clicks.into_iter().map(|c| c.join().unwrap()).collect()
    });
    assert!(places[0].is_some() && places.iter().all(|p| *p == places[0]), "{places:?}");
    assert_eq!(jobs_of(&pages), 1);
}

#[test]
fn another_site_cannot_start_anything() {
    let pages = Pages::with(fleet::write);
    let (cookie, form) = reader(&pages);
    for headers in [
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Sec-Fetch-Site: none\r\n",
        "Origin: http://evil.example\r\n",
        "Origin: http://127.0.0.1:1\r\n",
        "Origin: null\r\n",
    ] {
        let answer = pages.post("/server/web1/build", &form, &format!("Cookie: {cookie}\r\n{headers}"));
        assert_eq!(answer.status, 403, "{headers}");
        assert!(answer.body.contains("Nothing was done"), "{}", answer.body);
    }
    assert_eq!(jobs_of(&pages), 0);
}

#[test]
fn a_form_without_the_token_of_its_session_does_nothing() {
    let pages = Pages::with(fleet::write);
    let (cookie, form) = reader(&pages);
    let (other, others_form) = reader(&pages);
    let once = form.split('&').nth(1).unwrap();
    for bad in ["", once, &format!("session=&{once}"), &format!("session={}&{once}", "0".repeat(64)), &others_form] {
        assert_eq!(pages.post("/server/web1/build", bad, &format!("Cookie: {cookie}\r\n")).status, 403, "{bad}");
    }
    assert_eq!(pages.post("/server/web1/build", &form, "").status, 401, "no session at all");
    assert_eq!(pages.post("/server/web1/build", &form, &format!("Cookie: {other}\r\n")).status, 403);
    assert_eq!(jobs_of(&pages), 0);
}

#[test]
fn a_form_from_before_a_restart_asks_to_look_again() {
    let pages = Pages::with(fleet::write);
    let (cookie, form) = reader(&pages);
    let session = form.split('&').next().unwrap();
    for once in ["", "x", "0123456789abcdef-0123456789abcdef0123456789abcdef", "é"] {
        let answer =
            pages.post("/server/web1/build", &format!("{session}&once={once}"), &format!("Cookie: {cookie}\r\n"));
        assert_eq!(answer.status, 409, "{once}");
        assert!(answer.body.contains("/server/web1"), "{}", answer.body);
    }
    assert_eq!(jobs_of(&pages), 0);
}

#[test]
fn what_does_not_exist_is_said_in_words() {
    let pages = Pages::with(fleet::write);
    let (cookie, form) = reader(&pages);
    let headers = format!("Cookie: {cookie}\r\n");
    assert_eq!(pages.post("/server/web1/erase", &form, &headers).status, 404);
    let answer = pages.post("/server/nowhere/build", &form, &headers);
    assert_eq!(answer.status, 409);
    assert!(answer.body.contains("no server nowhere"), "{}", answer.body);
    assert_eq!(pages.get_as(&cookie, "/server/web1/build").status, 405);
    for path in ["/server/nowhere", "/server/..%2f..%2fetc", "/job/99", "/job/x", "/server/%3Cscript%3E"] {
        let answer = pages.get_as(&cookie, path);
        assert_eq!(answer.status, 404, "{path}");
        assert!(!answer.body.contains("<script>") && !answer.body.contains("root:"), "{path}");
    }
    assert!(!pages.home().join("servers/nowhere").exists(), "an unknown name gets no directory");
    assert_eq!(jobs_of(&pages), 0);
}

#[test]
fn a_switch_is_offered_for_what_is_committed_and_names_the_revision() {
    let pages = Pages::with(fleet::write);
    let cookie = pages.sign_in();
    let head = regrow_ops::log(&pages.ctx, None, None, 1).unwrap().changes.remove(0).revision;
    let page = pages.get_as(&cookie, "/server/web1").body;
    assert!(page.contains(&format!("Switch to {}", &head[..12])), "{page}");
    assert!(page.contains(&format!("name=\"at\" value=\"{head}\"")), "what is switched is what was shown");
    fleet::edit(&pages.fleet(), "servers/web1/server.toml", "Exampleson", "Example");
    let page = pages.get_as(&cookie, "/server/web1").body;
    assert!(page.contains("Only changesets go online") && page.contains("Edits on disk"), "{page}");
    assert!(!page.contains("name=\"at\""), "edits have no revision");
}

#[test]
fn hostile_text_in_the_fleet_stays_text() {
    let pages = Pages::with(|dir| {
        fleet::write(dir);
        fleet::put(dir, "README.md", "x");
        fleet::commit(dir, "<script>alert(1)</script> & \"quoted\"\n\n<img src=x onerror=alert(2)>");
        fleet::put(dir, "servers/<b>bold/server.toml", "schema = 1\n\"<i>\" = 3\n");
    });
    let cookie = pages.sign_in();
    for path in [
        "/",
        "/server/web1",
        "/history",
        "/history?server=web1&from=%22%3E%3Cscript%3E",
        "/history?server=%3Cscript%3E",
    ] {
        let answer = pages.get_as(&cookie, path);
        for raw in ["<script>", "<img", "<b>", "<i>", "\"quoted\""] {
            assert!(!answer.body.contains(raw), "{path} has {raw}: {}", answer.body);
        }
    }
    assert!(pages.get_as(&cookie, "/history").body.contains("alert(1)"));
}
