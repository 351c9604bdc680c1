//! Requests as browsers, scripts and attackers send them, against the running pages.

mod common;

use common::Pages;
use regrow_host::progress::{self, Unit};
use regrow_ops::{Error, jobs};

const CACHE_FOR_EVER: &str = "public, max-age=31536000, immutable";

#[test]
fn without_a_session_there_is_nothing_but_the_way_in() {
    let pages = Pages::start();
    for path in ["/", "/server/web1", "/job/1", "/job/1/events", "/history", "/nowhere"] {
        let answer = pages.get(path, "");
        assert_eq!(answer.status, 401, "{path}");
        assert!(answer.body.contains("regrow serve"), "{path}");
        assert!(!answer.body.contains(pages.fleet().to_str().unwrap()), "{path} shows where the fleet is");
    }
    assert_eq!(pages.post("/server/web1/build", "", "").status, 401);
}

#[test]
fn a_link_lets_one_browser_in_once() {
    let pages = Pages::start();
    let link = pages.link();
    let path = &link[link.find("/?").unwrap()..];
    assert_eq!(pages.get(path, "Sec-Purpose: prefetch;prerender\r\n").status, 503, "fetched ahead");
    let first = pages.get(path, "");
    assert_eq!((first.status, first.header("location")), (303, Some("/")), "{}", first.body);
    let cookie = first.header("set-cookie").unwrap();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert_eq!(pages.get(path, "").status, 401, "a second use");
    let cookie = cookie.split(';').next().unwrap();
    assert_ne!(pages.get_as(cookie, "/").status, 401);
    assert_eq!(pages.get(path, &format!("Cookie: {cookie}\r\n")).status, 303, "who is in already just gets in");
    for bad in ["/?token=", "/?token=../../x", "/?token=%00", &format!("/?token={}", "0".repeat(64))] {
        assert_eq!(pages.get(bad, "").status, 401, "{bad}");
    }
}

#[test]
fn the_first_link_is_for_the_owner_of_the_home_only() {
    use std::os::unix::fs::PermissionsExt;
    let pages = Pages::start();
    let file = pages.home().join("serve.json");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(json["url"], pages.serving.url);
    let link = json["link"].as_str().unwrap();
    assert_eq!(pages.get(&link[link.find("/?").unwrap()..], "").status, 303);
}

#[test]
fn a_link_from_another_site_goes_on_from_here() {
    let pages = Pages::start();
    let answer = pages.get("/server/web1", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n");
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains(r#"http-equiv="refresh" content="0;url=/server/web1""#), "{}", answer.body);
    let elsewhere = pages.get("//evil.example/", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n");
    assert!(!elsewhere.body.contains("evil"), "{}", elsewhere.body);
}

#[test]
fn a_foreign_name_is_refused_before_anything_else() {
    let pages = Pages::start();
    let cookie = pages.sign_in();
    for host in ["evil.example", "evil.example:7420", "127.0.0.1.evil.example", "192.0.2.1"] {
        let answer =
            pages.send(&format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nCookie: {cookie}\r\n\r\n"));
        assert_eq!(answer.status, 421, "{host}");
        assert!(answer.header("content-security-policy").is_some(), "refusals carry the headers too");
    }
    assert_eq!(pages.send(&format!("GET / HTTP/1.0\r\nCookie: {cookie}\r\n\r\n")).status, 421, "no host at all");
}

#[test]
fn every_answer_carries_the_headers_and_pages_are_not_stored() {
    let pages = Pages::start();
    let cookie = pages.sign_in();
    for (path, status) in [("/nowhere", 404), ("/job/1", 404), ("/", 200)] {
        let answer = pages.get_as(&cookie, path);
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        let policy = answer.header("content-security-policy").unwrap();
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(
            !answer.body.contains(" style=") && !answer.body.contains(" onclick="),
            "the policy forbids it: {path}"
        );
    }
}

#[test]
fn the_files_of_the_page_may_be_kept_for_ever() {
    let pages = Pages::start();
    let page = pages.get("/", "").body;
    let mut found = 0;
    for piece in page.split('"').filter(|p| p.starts_with("/assets/")) {
        let answer = pages.get(piece, "");
        assert_eq!((answer.status, answer.header("cache-control")), (200, Some(CACHE_FOR_EVER)), "{piece}");
        assert!(pages.get(piece, "").header("content-security-policy").is_some());
        found += 1;
    }
    assert!(found >= 2, "{page}");
    assert_eq!(pages.get("/assets/style-0000000000000000.css", "").status, 404);
    assert_eq!(pages.get("/assets/..%2f..%2fetc%2fpasswd", "").status, 404);
}

#[test]
fn a_request_without_end_is_cut_off() {
    let pages = Pages::start();
    let cookie = pages.sign_in();
    let large = "x".repeat(20_000);
    let answer =
        pages.post("/server/web1/build", &large, &format!("Cookie: {cookie}\r\nSec-Fetch-Site: same-origin\r\n"));
    assert!((400..500).contains(&answer.status), "{}", answer.status);
}

/// A job that ends with an error after some steps, as hostile as words can be.
fn failing_job(pages: &Pages) -> i64 {
    let job = jobs::start(&pages.ctx, "build", Some("web1"), |ctx| {
        let step = progress::step(ctx.progress(), "one", "<script>alert(1)</script>");
        step.advance(1, 2, Unit::Items);
        step.finish("two & \"three\"");
        Err::<serde_json::Value, _>(Error::mistake_with("<img src=x onerror=alert(1)>", "do <b>this</b>"))
    });
    let job = job.unwrap();
    assert_eq!(jobs::subscribe(&pages.ctx, job, 0).unwrap().count(), 4);
    job
}

#[test]
fn hostile_words_reach_a_page_as_words() {
    let pages = Pages::start();
    let cookie = pages.sign_in();
    let job = failing_job(&pages);
    for path in [format!("/job/{job}"), format!("/job/{job}/events?after=0")] {
        let body: String = match path.contains("events") {
            true => pages.stream(&cookie, &path, "").collect::<Vec<_>>().join("\n"),
            false => pages.get_as(&cookie, &path).body,
        };
        assert!(body.contains("alert(1)") && body.contains("three"), "{body}");
        // What is to be said aloud is set as text, never as HTML.
        let html: String = body.split("\n\n").filter(|event| !event.contains("event: say")).collect();
        for raw in ["<script>alert", "<img", "<b>", "\"three\""] {
            assert!(!html.contains(raw), "{raw} in {html}");
        }
    }
}

#[test]
fn a_stream_goes_on_after_the_number_it_is_given() {
    let pages = Pages::start();
    let cookie = pages.sign_in();
    let job = failing_job(&pages);
    let read = |query: &str, header: &str| {
        let lines: Vec<String> = pages.stream(&cookie, &format!("/job/{job}/events{query}"), header).collect();
        lines.join("\n")
    };
    let whole = read("", "");
    assert!(whole.contains("text/event-stream"), "{whole}");
    assert!(whole.contains("id: 4") && whole.contains("event: end"), "{whole}");
    assert!(whole.contains("step-0") && whole.contains("id=\"outcome\""), "{whole}");
    // The step's own events are 1 to 3: who has seen them gets the end and not the step again.
    for rest in [read("?after=3", ""), read("", "Last-Event-ID: 3\r\n"), read("?after=0", "Last-Event-ID: 3\r\n")] {
        assert!(!rest.contains("step-0") && rest.contains("id=\"outcome\"") && rest.contains("event: end"), "{rest}");
    }
    let nothing = read("", "Last-Event-ID: 4\r\n");
    assert!(!nothing.contains("event: patch") && nothing.contains("event: end"), "{nothing}");
    assert!(read("", "Last-Event-ID: nonsense\r\n").contains("step-0"), "nonsense is no number");
    assert_eq!(pages.get_as(&cookie, "/job/999/events").status, 404);
}

#[test]
fn a_running_job_is_told_as_it_happens() {
    let pages = Pages::start();
    let cookie = pages.sign_in();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let job = jobs::start(&pages.ctx, "trial", Some("web1"), move |ctx| {
        let step = progress::step(ctx.progress(), "boot", "Boot it");
        wait.recv().unwrap();
        step.finish("running");
        Ok(serde_json::json!({"seconds": 1.5, "checks": [{"name": "front", "passed": true, "detail": "status 200"}]}))
    });
    let job = job.unwrap();
    let page = pages.get_as(&cookie, &format!("/job/{job}")).body;
    assert!(page.contains("data-events=") && page.contains(r#"<noscript><meta http-equiv="refresh""#), "{page}");
    let mut lines = pages.stream(&cookie, &format!("/job/{job}/events"), "");
    assert!(lines.any(|l| l.contains("Boot it")), "the step while it runs");
    go.send(()).unwrap();
    let rest: Vec<String> = lines.collect();
    assert!(rest.iter().any(|l| l.contains("status 200")), "{rest:?}");
    assert!(rest.iter().any(|l| l == "event: end"), "{rest:?}");
    let page = pages.get_as(&cookie, &format!("/job/{job}")).body;
    assert!(!page.contains("data-events=") && !page.contains("http-equiv"), "an ended job's page stands still");
    assert!(page.contains("✓ Trial of web1"), "{page}");
}

#[test]
fn two_programs_share_one_home_and_one_address() {
    let pages = Pages::start();
    let second = common::serve(&pages.ctx);
    assert!(second.already);
    assert_eq!(second.address, pages.serving.address);
    assert_eq!(pages.get(&second.link[second.link.find("/?").unwrap()..], "").status, 303);
}
