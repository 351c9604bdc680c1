//! Who may: accounts, roles, sign-in and its limits, TLS, and where the pages refuse to listen.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::{Answer, Pages};
use regrow_ops::accounts::{self, Role};
use regrow_ops::acts::{self, Which};
use regrow_ops::context::{Clock, Context, Setup};
use regrow_ops::jobs;
use regrow_web::{Serve, TlsFiles};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, ClientConnection, RootCertStore, crypto};

const PASSWORD: &str = "correct horse battery staple";
const SAME: &str = "Sec-Fetch-Site: same-origin\r\n";

/// Pages with one account for each role: vera (view), eddie (edit), susan (switch).
fn with_accounts() -> Pages {
    let pages = Pages::with(common::fleet::write);
    for (name, role) in [("vera", Role::View), ("eddie", Role::Edit), ("susan", Role::Switch)] {
        accounts::add(&pages.ctx, name, role, PASSWORD).unwrap();
    }
    pages
}

fn try_to_sign_in(pages: &Pages, name: &str, password: &str) -> Answer {
    let form = format!("name={name}&password={}&then=%2Fhistory", password.replace(' ', "+"));
    pages.post("/sign-in", &form, SAME)
}

/// Signs in and returns the cookie.
fn sign_in(pages: &Pages, name: &str) -> String {
    let answer = try_to_sign_in(pages, name, PASSWORD);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/history")), "{}", answer.body);
    answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}

fn post_as(pages: &Pages, cookie: &str, path: &str, form: &str) -> Answer {
    pages.post(path, form, &format!("Cookie: {cookie}\r\n{SAME}"))
}

#[test]
fn each_role_may_what_it_says_and_is_told_the_rest_in_words() {
    let pages = with_accounts();
    let bad = [
        ("build", [403, 303, 303]),
        ("trial", [403, 303, 303]),
        ("switch", [403, 403, 303]),
        ("rollback", [403, 403, 303]),
    ];
    for (verb, expected) in bad {
        for (name, expected) in ["vera", "eddie", "susan"].into_iter().zip(expected) {
            let cookie = sign_in(&pages, name);
            let page = pages.get_as(&cookie, "/server/web1");
            assert_eq!(page.status, 200);
            let button = page.body.split("<button").find(|b| b.contains(&format!("value=\"{verb}\""))).unwrap();
            let button = button.split('>').next().unwrap();
            if expected == 403 {
                assert!(button.contains("disabled"), "{name} is offered {verb}: {button}");
                assert!(page.body.contains(&format!("{name} has the role ")), "and nobody says why");
            }
            // Also if the page is not asked.
            let form = format!("session={}&once={}", page.field("session"), page.field("once"));
            let answer = post_as(&pages, &cookie, &format!("/server/web1/{verb}"), &form);
            // Another job may still have the server: that is no question of roles.
            let status = if answer.status == 409 { 303 } else { answer.status };
            assert_eq!(status, expected, "{name} {verb}: {}", answer.body);
            if expected == 403 {
                assert!(answer.body.contains("This needs the role") && answer.body.contains("Nothing was done"));
            }
        }
    }
    // A job that changes what is online is ended only by those who may change it.
    let switch = jobs::list(&pages.ctx, Some("web1"), 30).unwrap().into_iter().find(|j| j.verb == "switch").unwrap();
    for (name, may) in [("eddie", false), ("susan", true)] {
        let cookie = sign_in(&pages, name);
        let form = format!("session={}", pages.get_as(&cookie, "/server/web1").field("session"));
        let answer = post_as(&pages, &cookie, &format!("/job/{}/stop", switch.id), &form);
        assert_eq!(answer.status != 403, may, "{name}: {} {}", answer.status, answer.body);
    }
    for (name, may) in [("vera", false), ("eddie", true)] {
        let cookie = sign_in(&pages, name);
        let page = pages.get_as(&cookie, "/server/web1");
        let form = format!("session={}&once={}&kind=revert&pick=HEAD", page.field("session"), page.field("once"));
        let answer = post_as(&pages, &cookie, "/move", &form);
        assert_eq!(answer.body.contains("This needs the role"), !may, "{name}: {} {}", answer.status, answer.body);
    }
    for (name, may) in [("vera", false), ("eddie", true)] {
        let cookie = sign_in(&pages, name);
        let page = pages.get_as(&cookie, "/server/web1/hunt");
        assert_eq!(page.body.contains(&format!("{name} has the role ")), !may, "the page says why there is no hunt");
        let form = format!("session={}&once={}&what=check:front", page.field("session"), page.field("once"));
        let answer = post_as(&pages, &cookie, "/server/web1/hunt", &form);
        assert_eq!(answer.status, if may { 422 } else { 403 }, "{name}: {}", answer.body);
    }
    // Who may undo is who may do: the landing of a text, and the making of an account.
    regrow_ops::set(&pages.ctx, "web1", "system.timezone", "Asia/Tokyo", None).unwrap();
    accounts::add(&pages.ctx, "olga", Role::View, PASSWORD).unwrap();
    let newest = acts::list(&pages.ctx, &Which::default(), 2).unwrap().acts;
    let (account, land) = (newest[0].id, newest[1].id);
    for (name, may) in [("vera", [false, false]), ("eddie", [false, true]), ("susan", [true, false])] {
        let cookie = sign_in(&pages, name);
        let page = pages.get_as(&cookie, "/acts").body;
        for (act, may) in [account, land].into_iter().zip(may) {
            let button = page.contains(&format!("action=\"/acts/{act}/undo\""));
            assert_eq!(button, may, "{name} {act}: {page}");
            let tokens = pages.get_as(&cookie, "/server/web1");
            let form = format!("session={}&once={}", tokens.field("session"), tokens.field("once"));
            let answer = post_as(&pages, &cookie, &format!("/acts/{act}/undo"), &form);
            // What eddie has undone is not undone again.
            let status = if may {
                303
            } else if (name, act) == ("susan", land) {
                409
            } else {
                403
            };
            assert_eq!(answer.status, status, "{name} {act}: {}", answer.body);
        }
    }
    assert!(accounts::get(&pages.ctx, "olga").unwrap().is_none());
    // The steps and parts of a draft.
    let draft = regrow_ops::revert(&pages.ctx, &["HEAD"], Default::default()).unwrap().draft.unwrap().id;
    for (name, may) in [("vera", false), ("eddie", true)] {
        let cookie = sign_in(&pages, name);
        let page = pages.get_as(&cookie, &format!("/draft/{draft}")).body;
        assert!(page.contains("1 of 1 ticked") && page.contains("role=\"checkbox\"") == may, "{name}: {page}");
        let tokens = pages.get_as(&cookie, "/server/web1");
        let form = format!("session={}&once={}", tokens.field("session"), tokens.field("once"));
        for what in ["step", "split", "land-separately"] {
            let answer = post_as(&pages, &cookie, &format!("/draft/{draft}/{what}"), &form);
            assert_eq!(answer.body.contains("This needs the role"), !may, "{name} {what}: {}", answer.body);
        }
    }
    let vera = sign_in(&pages, "vera");
    for path in ["/", "/history", "/acts", "/jobs", "/go?q=web1", "/server/web1", "/server/web1/hunt", "/password"] {
        assert_eq!(pages.get_as(&vera, path).status, 200, "{path}");
    }
    assert_eq!(pages.get_as(&vera, "/accounts").status, 403);
    assert_eq!(post_as(&pages, &vera, "/what/nobody/has/thought/of", "").status, 403);
}

#[test]
fn what_is_online_is_undone_as_a_job_by_those_who_may_switch() {
    let pages = with_accounts();
    let report = serde_json::json!({"from_revision": "a".repeat(40), "to_revision": "b".repeat(40)});
    let switch = jobs::start(&pages.ctx, "switch", Some("web1"), move |_| Ok(report)).unwrap();
    assert!(jobs::subscribe(&pages.ctx, switch, 0).unwrap().all(|e| e.is_ok()));
    let act =
        acts::list(&pages.ctx, &Which { kind: Some("switch".to_owned()), ..Which::default() }, 1).unwrap().acts[0].id;
    let place = format!("/acts/{act}/undo");
    let press = |cookie: &str| {
        let page = pages.get_as(cookie, "/server/web1");
        post_as(&pages, cookie, &place, &format!("session={}&once={}", page.field("session"), page.field("once")))
    };
    let eddie = sign_in(&pages, "eddie");
    let page = pages.get_as(&eddie, "/acts").body;
    assert!(page.contains("needs the role switch") && !page.contains(&place), "{page}");
    assert_eq!(press(&eddie).status, 403);
    let susan = sign_in(&pages, "susan");
    let page = pages.get_as(&susan, "/acts").body;
    assert!(page.contains(&place) && page.contains("roll web1 back to aaaaaaaaaaaa"), "{page}");
    let began = press(&susan);
    let job =
        began.header("location").and_then(|to| to.strip_prefix("/job/")).unwrap_or_else(|| panic!("{}", began.body));
    let job: i64 = job.parse().unwrap();
    assert!(jobs::subscribe(&pages.ctx, job, 0).unwrap().all(|e| e.is_ok()));
    // Nothing is online here, so there is nothing to undo any more, which the job says.
    let page = pages.get_as(&susan, &format!("/job/{job}")).body;
    assert!(page.contains("Undo of web1") && page.contains("Nothing is online on web1 since"), "{page}");
    let form = format!("session={}", pages.get_as(&eddie, "/server/web1").field("session"));
    assert_eq!(post_as(&pages, &eddie, &format!("/job/{job}/stop"), &form).status, 403);
}

#[test]
fn acts_say_who_and_from_where() {
    let pages = with_accounts();
    let cookie = sign_in(&pages, "eddie");
    let page = pages.get_as(&cookie, "/server/web1");
    let form = format!("session={}&once={}", page.field("session"), page.field("once"));
    assert_eq!(post_as(&pages, &cookie, "/server/web1/build", &form).status, 303);
    try_to_sign_in(&pages, "eddie", "wrong");
    try_to_sign_in(&pages, "correct-horse", "eddie");
    let listed = acts::list(&pages.ctx, &Which::default(), 50).unwrap().acts;
    let has = |kind: &str, actor: &str, words: &str| {
        listed
            .iter()
            .any(|a| a.kind == kind && a.actor == actor && a.words.contains(words) && a.from == "page 127.0.0.1")
    };
    assert!(has("build", "eddie", "build of web1"), "{listed:?}");
    assert!(has("sign-in", "eddie", "signed in"), "{listed:?}");
    assert!(has("sign-in", "nobody", "tried to sign in as eddie"), "{listed:?}");
    assert!(!listed.iter().any(|a| a.words.contains("correct-horse")), "a password in the wrong field is not kept");
    let shown = pages.get_as(&cookie, "/acts?who=eddie").body;
    assert!(shown.contains("build of web1") && !shown.contains("tried to sign in"), "{shown}");
    assert!(shown.contains("regrow acts --by eddie"), "{shown}");
}

#[test]
fn a_wrong_password_and_a_wrong_name_look_the_same_and_take_as_long() {
    let pages = with_accounts();
    let time = |name: &str| {
        let since = Instant::now();
        let answer = try_to_sign_in(&pages, name, "not the password");
        assert_eq!(answer.status, 401);
        (since.elapsed(), answer.body.replace(name, "NAME"))
    };
    // The first ones warm up what is made once.
    let (_, known) = time("vera");
    let (_, unknown) = time("nobody");
    assert_eq!(known, unknown);
    // Hashing takes tens of milliseconds, finding out that there is no account takes none: far from one another. What a
    // busy machine holds up once is looked at again.
    let mut seen = Vec::new();
    for (account, nobody) in [("eddie", "nobody1"), ("susan", "nobody2"), ("vera", "nobody3"), ("eddie", "nobody4")] {
        let (known, unknown) = (time(account).0, time(nobody).0);
        if unknown * 3 > known {
            return;
        }
        seen.push((known, unknown));
    }
    panic!("a name that nobody has is answered sooner each time: {seen:?}");
}

#[test]
fn signing_in_needs_our_own_page_and_goes_on_at_an_address_of_ours_only() {
    let pages = with_accounts();
    let form = format!("name=vera&password={}&then=", PASSWORD.replace(' ', "+"));
    for header in ["Sec-Fetch-Site: cross-site\r\n", "Sec-Fetch-Site: same-site\r\n", "Origin: http://evil.example\r\n"]
    {
        let answer = pages.post("/sign-in", &form, header);
        assert_eq!(answer.status, 403, "{header}");
        assert!(answer.header("set-cookie").is_none());
    }
    for there in ["//evil.example", "https:%2F%2Fevil.example", "%2F%5Cevil.example", "%0d%0aX: y"] {
        let answer = pages.post("/sign-in", &format!("{form}{there}"), SAME);
        assert_eq!((answer.status, answer.header("location")), (303, Some("/")), "{there}");
    }
    let cookie = pages.post("/sign-in", &format!("{form}%2F"), SAME);
    let cookie = cookie.header("set-cookie").unwrap();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "there is no TLS here: {cookie}");
}

#[test]
fn a_session_ends_with_signing_out_a_new_password_or_the_account() {
    let pages = with_accounts();
    let (here, there) = (sign_in(&pages, "vera"), sign_in(&pages, "vera"));
    let token = pages.get_as(&here, "/").field("session");
    assert_eq!(post_as(&pages, &here, "/sign-out", "session=wrong").status, 403);
    let out = post_as(&pages, &here, "/sign-out", &format!("session={token}"));
    assert!(out.status == 303 && out.header("set-cookie").unwrap().contains("Max-Age=0"), "{}", out.head);
    assert_eq!(pages.get_as(&here, "/").status, 401);
    assert_eq!(pages.get_as(&there, "/").status, 200, "the other browser stays in");

    let token = pages.get_as(&there, "/password").field("session");
    let change = |now: &str, new: &str, again: &str| {
        let form = format!("session={token}&now={now}&new={new}&again={again}").replace(' ', "+");
        post_as(&pages, &there, "/password", &form)
    };
    for (now, new, again, words) in [
        ("wrong", "a new long password", "a new long password", "not your password"),
        (PASSWORD, "a new long password", "another one", "not the same"),
        (PASSWORD, "short", "short", "fewer than 12"),
    ] {
        let answer = change(now, new, again);
        assert!(answer.status == 422 && answer.body.contains(words), "{}: {}", answer.status, answer.body);
    }
    let other = sign_in(&pages, "vera");
    let answer = change(PASSWORD, "a new long password", "a new long password");
    assert_eq!(answer.status, 303, "{}", answer.body);
    let fresh = answer.header("set-cookie").unwrap().split(';').next().unwrap();
    assert_eq!(pages.get_as(fresh, "/").status, 200, "who changed it stays in");
    for old in [&there, &other] {
        assert_eq!(pages.get_as(old, "/").status, 401, "everywhere else it ended");
    }
    accounts::remove(&pages.ctx, "vera").unwrap();
    assert_eq!(pages.get_as(fresh, "/").status, 401);
}

#[test]
fn a_role_holds_from_the_next_request_on() {
    let pages = with_accounts();
    let cookie = sign_in(&pages, "eddie");
    accounts::set_role(&pages.ctx, "eddie", Role::Switch).unwrap();
    assert_eq!(pages.get_as(&cookie, "/accounts").status, 200);
    accounts::set_role(&pages.ctx, "eddie", Role::View).unwrap();
    assert_eq!(pages.get_as(&cookie, "/accounts").status, 403);
}

#[test]
fn accounts_are_made_changed_and_removed_on_their_page_each_form_once() {
    let pages = with_accounts();
    let cookie = sign_in(&pages, "susan");
    let page = pages.get_as(&cookie, "/accounts");
    let session = page.field("session");
    // The form for a new account is the last one.
    let once = |page: &Answer| {
        page.body.rsplit("name=\"once\" value=\"").next().unwrap().split('"').next().unwrap().to_owned()
    };
    let add = |once: &str, name: &str, password: &str| {
        post_as(
            &pages,
            &cookie,
            "/accounts",
            &format!("session={session}&once={once}&name={name}&role=edit&password={password}"),
        )
    };
    let token = once(&page);
    let bad = add(&token, "bob", "short");
    assert!(
        bad.status == 422 && bad.body.contains("fewer than 12") && bad.body.contains("value=\"bob\""),
        "{}",
        bad.body
    );
    assert!(!bad.body.contains("short\""), "a password is not sent back");
    for _ in 0..2 {
        assert_eq!(add(&token, "bob", "a-long-enough-password").status, 303, "twice the same form is one account");
    }
    assert_eq!(add(&once(&bad), "bob", "a-long-enough-password").status, 422, "another form meets the account");
    assert_eq!(add("0000", "tim", "a-long-enough-password").status, 409, "a form of an earlier run");

    let fresh = || once(&pages.get_as(&cookie, "/accounts"));
    let change = |name: &str, what: &str, more: &str| {
        post_as(
            &pages,
            &cookie,
            &format!("/accounts/{name}/{what}"),
            &format!("session={session}&once={}{more}", fresh()),
        )
    };
    assert_eq!(change("bob", "role", "&role=switch").status, 303);
    assert_eq!(accounts::get(&pages.ctx, "bob").unwrap().unwrap().role, Role::Switch);
    assert_eq!(change("bob", "role", "&role=king").status, 422);
    assert_eq!(change("nobody", "remove", "").status, 422);
    assert_eq!(change("bob", "explode", "").status, 422);
    assert_eq!(change("bob", "remove", "").status, 303);
    let last = change("susan", "remove", "");
    assert!(last.status == 422 && last.body.contains("last account"), "{}", last.body);
    let no_token = post_as(&pages, &cookie, "/accounts/vera/remove", "session=&once=");
    assert_eq!(no_token.status, 403);
}

/// Pages whose clock stands until the test puts it forward.
fn with_hands(hands: &'static AtomicI64) -> Pages {
    Pages::with_setup(common::fleet::write, |setup| Setup { clock: Clock::Hands(hands), ..setup })
}

#[test]
fn who_guesses_waits_and_whose_account_it_is_gets_in_soon() {
    static HANDS: AtomicI64 = AtomicI64::new(1_800_000_000);
    let pages = with_hands(&HANDS);
    accounts::add(&pages.ctx, "vera", Role::View, PASSWORD).unwrap();
    let mut refused = None;
    for n in 0..20 {
        let answer = try_to_sign_in(&pages, "vera", &format!("guess number {n}"));
        if answer.status == 429 {
            refused = Some((n, answer));
            break;
        }
        assert_eq!(answer.status, 401);
    }
    let (n, answer) = refused.expect("guessing goes on for ever");
    assert!((5..8).contains(&n), "{n}");
    let wait: i64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    assert!(answer.body.contains("too many tries"), "{}", answer.body);
    assert_eq!(try_to_sign_in(&pages, "vera", PASSWORD).status, 429, "the right password is not looked at either");
    HANDS.fetch_add(wait, Ordering::SeqCst);
    assert_eq!(try_to_sign_in(&pages, "vera", PASSWORD).status, 303, "after the wait");
    // From where the account has signed in, only the address counts.
    for _ in 0..9 {
        assert_eq!(try_to_sign_in(&pages, "vera", "wrong again and again").status, 401);
    }
}

#[test]
fn hostile_requests_meet_words_and_no_session() {
    let pages = with_accounts();
    let huge = "a".repeat(20_000_000);
    let answer = pages.send_what_is_taken(&format!(
        "POST /sign-in HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\nname=",
        pages.serving.address,
        huge.len() + 5
    ), huge.as_bytes());
    assert!((400..500).contains(&answer), "{answer}");
    for cookie in ["", "regrow", "../../../etc/passwd", &"0".repeat(64), &"f".repeat(9000), "a; a=b; ;;=", "\u{7f}"] {
        let name = format!("regrow_{}", pages.serving.address.port());
        let answer = pages.get("/", &format!("Cookie: {name}={cookie}\r\n"));
        assert!([400, 401, 431].contains(&answer.status), "{cookie}: {}", answer.status);
    }
    let cookie = sign_in(&pages, "susan");
    for path in [
        "/../../etc/passwd",
        "/server/..%2f..%2fetc%2fpasswd",
        "/server/%00",
        "/server/%ff%fe",
        "/assets/../../etc/passwd",
        "/job/-1",
        "/job/99999999999999999999",
        "/server/web1/hunt/-1",
        "/server/web1/hunt/99999999999999999999",
        "/server/web1/hunt?check=%3Cscript%3E&bad=--output%3D%2Ftmp%2Fx",
        "/server/..%2f..%2fetc/hunt",
        "/acts?before=x",
        "/acts?undone=9223372036854775807",
        "/acts?before=-9223372036854775808",
        "/acts?who=%27%3B%20DROP%20TABLE%20acts%3B--",
        "/go?q=%3Cscript%3E&piece=found",
        "/history?from=--output%3D%2Ftmp%2Fx",
        "/move?kind=revert&pick=--output%3D%2Ftmp%2Fx",
        "/sign-in?then=javascript:alert(1)",
    ] {
        let answer = pages.get_as(&cookie, path);
        assert!(answer.status < 500, "{path}: {} {}", answer.status, answer.body);
        assert!(
            !answer.body.contains("root:") && !answer.body.contains("<script>") && !answer.body.contains("javascript:"),
            "{path}"
        );
    }
    for method in ["TRACE", "CONNECT", "PUT", "DELETE", "GET /\u{0}"] {
        let answer = pages.send_raw(&format!(
            "{method} / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nCookie: {cookie}\r\n\r\n",
            pages.serving.address
        ));
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{method}: {answer}");
    }
    assert_eq!(pages.get_as(&cookie, "/").status, 200, "and it still answers");
}

#[test]
fn other_machines_are_let_in_over_tls_and_by_account_only() {
    let dir = tempfile::tempdir().unwrap();
    let files = certificate(dir.path());
    let options = |tls: Option<TlsFiles>| {
        let mut options = Serve::new(common::context(dir.path(), &dir.path().join("home")));
        options.listen = "0.0.0.0:0".parse().unwrap();
        options.tls = tls;
        options
    };
    let refusal = |tls| regrow_web::serve(options(tls), |_| panic!("it listens")).unwrap_err();
    let e = refusal(None);
    assert!(e.exit_code() == 2 && e.to_string().contains("--tls-cert"), "{e}");
    let e = refusal(Some(files.clone()));
    assert!(e.exit_code() == 2 && e.to_string().contains("regrow account add"), "{e}");
    accounts::add(&common::context(dir.path(), &dir.path().join("home")), "susan", Role::Switch, PASSWORD).unwrap();
    assert!(refusal(None).to_string().contains("--tls-cert"), "an account alone is not enough");
    let e = refusal(Some(TlsFiles { key: dir.path().join("none.pem"), ..files }));
    assert!(e.exit_code() == 2 && e.to_string().contains("none.pem"), "{e}");
}

/// Writes a new certificate for `localhost` and its key.
fn certificate(dir: &Path) -> TlsFiles {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let files = TlsFiles { certificate: dir.join("cert.pem"), key: dir.join("key.pem") };
    // The key first: whoever looks in between sees two that do not go together, and looks again.
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    files
}

/// One request over TLS by whoever trusts `certificate`, and no other.
fn over_tls(address: SocketAddr, certificate: &[u8], request: &str) -> std::io::Result<Answer> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut tls = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut tcp = TcpStream::connect(("127.0.0.1", address.port()))?;
    tcp.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    Ok(Answer::parse(&String::from_utf8(bytes).unwrap()))
}

#[test]
fn over_tls_cookies_are_secure_links_are_none_and_a_renewed_certificate_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let files = certificate(dir.path());
    let ctx: Context = common::context(dir.path(), &dir.path().join("home"));
    accounts::add(&ctx, "susan", Role::Switch, PASSWORD).unwrap();
    let (sender, receiver) = mpsc::channel();
    let mut options = Serve::new(ctx);
    options.listen = "0.0.0.0:0".parse().unwrap();
    options.tls = Some(files.clone());
    options.names = vec!["localhost".to_owned()];
    std::thread::spawn(move || regrow_web::serve(options, |serving| sender.send(serving.clone()).unwrap()));
    let serving = receiver.recv_timeout(Duration::from_secs(20)).unwrap();
    let port = serving.address.port();
    assert_eq!(serving.url, format!("https://localhost:{port}/"));
    assert_eq!(serving.link, format!("https://localhost:{port}/sign-in"), "no one-time link");
    assert_eq!(regrow_web::new_link(&dir.path().join("home")).unwrap().link, serving.link);

    let old = std::fs::read(&files.certificate).unwrap();
    let get = |certificate: &[u8], path: &str, more: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n{more}\r\n");
        over_tls(serving.address, certificate, &request)
    };
    let answer = get(&old, "/", "").unwrap();
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("strict-transport-security"), Some("max-age=31536000"));
    assert!(answer.body.contains("name=\"password\"") && !answer.body.contains("one-time link"), "{}", answer.body);

    let form = format!("name=susan&password={}", PASSWORD.replace(' ', "+"));
    let request = format!(
        "POST /sign-in HTTP/1.1\r\nHost: localhost:{port}\r\nOrigin: https://localhost:{port}\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    let answer = over_tls(serving.address, &old, &request).unwrap();
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-regrow_") && cookie.contains("; Secure"), "{cookie}");
    let cookie = format!("Cookie: {}\r\n", cookie.split(';').next().unwrap());
    assert_eq!(get(&old, "/acts", &cookie).unwrap().status, 200);

    // A link that somebody made for this home lets nobody in from elsewhere, nor does plain HTTP get an answer.
    let link = "0".repeat(64);
    assert_eq!(get(&old, &format!("/?token={link}"), "").unwrap().status, 401);
    let mut plain = TcpStream::connect(("127.0.0.1", port)).unwrap();
    plain.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut bytes = Vec::new();
    let _ = plain.read_to_end(&mut bytes);
    assert!(!bytes.starts_with(b"HTTP"), "{bytes:?}");

    certificate(dir.path());
    let new = std::fs::read(&files.certificate).unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    // The other side looks at the files by and by; each connection tells whether it has.
    let taken = loop {
        match get(&new, "/", &cookie) {
            Ok(answer) => break answer,
            Err(e) => assert!(Instant::now() < until, "the new certificate was not taken: {e}"),
        }
        std::thread::yield_now();
    };
    assert_eq!(taken.status, 200, "sessions go on");
    assert!(get(&old, "/", &cookie).is_err(), "the old one is gone");
}
