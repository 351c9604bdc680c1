//! The timeline, changesets and comparisons as requests: what is said, what is refused, and that a revert is one draft.

mod common;

use common::{Pages, fleet, images};
use regrow_ops::{changes, drafts};

fn revisions(pages: &Pages) -> Vec<String> {
    changes::log(&pages.ctx, None, None, 10).unwrap().changes.into_iter().map(|c| c.revision).collect()
}

#[test]
fn the_timeline_tells_in_words_what_happened_and_what_was_proven() {
    let pages = Pages::with(fleet::write);
    fleet::prove(&pages.ctx);
    let cookie = pages.sign_in();
    let page = pages.get_as(&cookie, "/history").body;
    assert!(page.contains("Alice has married") && page.contains("is described as"), "{page}");
    for word in ["built", "trialled", "switched", "trial failed"] {
        assert!(page.contains(&format!("</span>{word}</span>")), "no badge {word}: {page}");
    }
    assert_eq!(page.matches("name=\"pick\"").count(), 3);
    let all = revisions(&pages);
    assert!(page.contains(&format!("/changeset/{}", all[0])));
    // From an older one on, and only of one server.
    let older = pages.get_as(&cookie, &format!("/history?from={}&server=web1", all[2])).body;
    assert_eq!(older.matches("name=\"pick\"").count(), 1, "{older}");
    let none = pages.get_as(&cookie, "/history?server=nobody");
    assert_eq!(none.status, 200);
}

#[test]
fn two_ticked_changesets_are_compared_older_first() {
    let pages = Pages::with(fleet::write);
    let cookie = pages.sign_in();
    let all = revisions(&pages);
    let answer = pages.get_as(&cookie, &format!("/compare?pick={}&pick={}", all[0], all[2]));
    assert_eq!((answer.status, answer.header("location")), (303, Some(&*format!("/compare/{}..{}", all[2], all[0]))));
    let page = pages.get_as(&cookie, answer.header("location").unwrap()).body;
    assert!(page.contains("The content of /etc/motd changes"), "{page}");
    assert!(page.contains("not locked yet") && page.contains("<ins>+"), "{page}");
    for query in ["", "?pick=", &format!("?pick={}", all[0]), "?pick=a&pick=b&pick=c"] {
        assert_eq!(pages.get_as(&cookie, &format!("/compare{query}")).status, 400, "{query}");
    }
    for pair in ["nothing", "--all..HEAD", "HEAD..", "..", "HEAD...HEAD", "HEAD..%2Fetc", "nope..HEAD"] {
        let status = pages.get_as(&cookie, &format!("/compare/{pair}")).status;
        assert!([404, 409].contains(&status), "{pair}: {status}");
    }
    // Hand edits are a text as any other.
    fleet::edit(&pages.fleet(), "servers/web1/server.toml", "timeout = 60", "timeout = 61");
    let page = pages.get_as(&cookie, "/compare/HEAD..disk").body;
    assert!(page.contains("may take 61 s, not 60 s"), "{page}");
}

#[test]
fn a_changeset_shows_its_evidence_and_is_taken_back_in_one_draft() {
    let pages = Pages::with(fleet::write);
    fleet::prove(&pages.ctx);
    let cookie = pages.sign_in();
    let all = revisions(&pages);
    let place = format!("/changeset/{}", all[1]);
    let page = pages.get_as(&cookie, &place);
    assert_eq!(page.status, 200);
    assert!(page.body.contains("Alice has married") && page.body.contains("users.alice.comment"), "{}", page.body);
    assert!(page.body.contains("regrow switch web1 --at"), "{}", page.body);
    let revert = page.body.split(&format!("action=\"{place}/revert\"")).nth(1).unwrap();
    let once = revert.split("name=\"once\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let form = format!("session={}&once={once}", page.field("session"));
    let headers = format!("Cookie: {cookie}\r\n");
    let first = pages.post(&format!("{place}/revert"), &form, &headers);
    assert_eq!(first.status, 303, "{}", first.body);
    assert!(first.header("set-cookie").unwrap().starts_with("regrow_draft_"));
    let again = pages.post(&format!("{place}/revert"), &form, &headers);
    assert_eq!(again.header("location"), first.header("location"), "the same form sent again is the same draft");
    let made = drafts::list(&pages.ctx).unwrap();
    assert_eq!(made.len(), 1);
    assert_eq!(made[0].title, "Revert \"Alice has married\"");
    assert!(drafts::conflicts(&pages.ctx, &made[0].id).unwrap().is_empty());

    let strange = pages.post(&format!("{place}/revert"), "session=1&once=2", &headers);
    assert_eq!(strange.status, 403);
    for none in ["/changeset/nothing", "/changeset/--all", "/changeset/HEAD..HEAD", "/changeset/HEAD~99"] {
        assert!([404, 409].contains(&pages.get_as(&cookie, none).status), "{none}");
    }
}

#[test]
fn ticked_changesets_are_taken_back_or_copied_in_one_draft_after_a_look() {
    let pages = Pages::with(fleet::write);
    let cookie = pages.sign_in();
    let all = revisions(&pages);
    let headers = format!("Cookie: {cookie}\r\n");
    let timeline = pages.get_as(&cookie, "/history").body;
    assert!(timeline.contains("formaction=\"/move\" name=\"kind\" value=\"revert\""), "{timeline}");
    for query in ["", "?kind=revert", "?kind=wish&pick=HEAD", "?kind=pick&pick=--all"] {
        assert_eq!(pages.get_as(&cookie, &format!("/move{query}")).status, 400, "{query}");
    }
    let first = all.last().unwrap();
    assert_eq!(pages.get_as(&cookie, &format!("/move?kind=revert&pick={first}")).status, 409, "nothing before it");
    let looked = pages.get_as(&cookie, &format!("/move?kind=revert&pick={}", all[1]));
    assert_eq!(looked.status, 200, "{}", looked.body);
    for words in ["Take back 1 changeset", "Alice has married", "servers/web1/server.toml", "regrow revert "] {
        assert!(looked.body.contains(words), "{words}: {}", looked.body);
    }
    assert!(drafts::list(&pages.ctx).unwrap().is_empty(), "looking makes nothing");
    let (session, once) = (looked.field("session"), looked.field("once"));
    let form = format!("session={session}&once={once}&kind=revert&pick={}&onto=", all[1]);
    assert_eq!(pages.post("/move", &form.replace(&session, "x"), &headers).status, 403);
    let made = pages.post("/move", &form, &headers);
    let again = pages.post("/move", &form, &headers);
    assert_eq!((made.status, made.header("location")), (303, again.header("location")), "{}", made.body);
    let list = drafts::list(&pages.ctx).unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!(made.header("location"), Some(&*format!("/draft/{}", list[0].id)));
}

#[test]
fn images_of_two_changesets_are_compared_and_a_missing_one_can_be_built() {
    let pages = Pages::with(fleet::write);
    let cookie = pages.sign_in();
    let all = revisions(&pages);
    let texts = format!("/compare/{}..{}", all[1], all[0]);
    let place = format!("{texts}/image/web1");
    let page = pages.get_as(&cookie, &texts).body;
    assert!(page.contains(&format!("href=\"{place}\"")) && page.contains("not built yet"), "{page}");
    let page = pages.get_as(&cookie, &place);
    assert_eq!(page.status, 200);
    assert_eq!(page.body.matches("is not in the store").count(), 2, "{}", page.body);
    assert!(page.body.contains(&format!("regrow build web1 --at {}", &all[0][..12])), "{}", page.body);
    let form = format!("session={}&once={}&at={}", page.field("session"), page.field("once"), page.field("at"));
    let built = pages.post("/server/web1/build", &form, &format!("Cookie: {cookie}\r\n"));
    assert!(built.header("location").is_some_and(|to| to.starts_with("/job/")), "{} {}", built.status, built.body);

    images::make(&pages.ctx);
    assert!(pages.get_as(&cookie, &texts).body.contains("both images are there"));
    let page = pages.get_as(&cookie, &place).body;
    for words in [
        "<code>1.0-1</code>",
        "<code>1.1-1</code>",
        "curl",
        "nginx.service is changed",
        "the user bob is new",
        "mode 0644 → 0640",
        "<del>-change</del><ins>+mend</ins>",
        "/server/web1/why?path=%2Fetc%2Fmotd&amp;at=",
        "--image web1",
        " larger (",
        "/etc/&#60;b&#62;bold",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains("<b>bold"), "{page}");
    let found = pages.get_as(&cookie, &format!("{place}?find=motd")).body;
    assert!(found.contains("<code>/etc/motd</code>") && !found.contains("<code>/etc/passwd</code>"), "{found}");
    let found = pages.get_as(&cookie, &format!("{place}?find=%3Cscript%3E")).body;
    assert!(found.contains("No file that differs has &#60;script&#62;"), "{found}");
    let back = pages.get_as(&cookie, &format!("/compare/{}..{}/image/web1", all[0], all[1])).body;
    assert!(back.contains(" smaller (") && back.contains("the user bob is gone"), "{back}");
    let same = pages.get_as(&cookie, &format!("/compare/HEAD..{}/image/web1", all[0])).body;
    assert!(same.contains("One and the same image"), "{same}");
}

#[test]
fn images_that_nobody_can_have_are_answered_in_words() {
    let pages = Pages::with(fleet::write);
    images::make(&pages.ctx);
    let cookie = pages.sign_in();
    for path in [
        "HEAD~1..HEAD/image/nobody",
        "HEAD~1..HEAD/image/..%2f..%2fetc",
        "HEAD~1..HEAD/image/--all",
        "HEAD~1..HEAD/image/%3Cscript%3E",
        "HEAD~1..HEAD/image/%00",
        "HEAD~1..nope/image/web1",
        "HEAD..disk/image/web1",
        "HEAD..draft:disk/image/web1",
        "HEAD..draft:none/image/web1",
        "--all..HEAD/image/web1",
        "nothing/image/web1",
        "HEAD~99..HEAD/image/web1",
    ] {
        let answer = pages.get_as(&cookie, &format!("/compare/{path}"));
        assert!([404, 409].contains(&answer.status), "{path}: {} {}", answer.status, answer.body);
        assert!(!answer.body.contains("<script>"), "{path}: {}", answer.body);
    }
}

#[test]
fn what_put_a_path_into_an_image_is_told() {
    let pages = Pages::with(fleet::write);
    let cookie = pages.sign_in();
    let ask = |query: &str| pages.get_as(&cookie, &format!("/server/web1/why{query}"));
    assert!(ask("").body.contains("name=\"path\""));
    let missing = ask("?path=/etc/motd");
    assert!(missing.status == 200 && missing.body.contains("is not in the store"), "{}", missing.body);
    assert!(!pages.home().join("store").exists(), "looking makes nothing");
    images::make(&pages.ctx);
    let motd = ask("?path=/etc/motd").body;
    for words in [
        "The text asks for it.",
        "/server/web1/file?path=servers/web1/server.toml&",
        "/changeset/",
        "regrow why web1 /etc/motd",
    ] {
        assert!(motd.contains(words), "{words}: {motd}");
    }
    let nginx = ask("?path=%2Fusr%2Fsbin%2Fnginx&at=HEAD~1").body;
    assert!(nginx.contains("The package nginx 1.0-1 brings it, in the layer base."), "{nginx}");
    let none = ask("?path=/etc/nowhere%3Cscript%3E");
    assert_eq!(none.status, 404);
    assert!(none.body.contains("There is no /etc/nowhere&#60;script&#62; in the image of web1."), "{}", none.body);
    let inside = ask("?path=..%2F..%2Fetc%2Fmotd%2F");
    assert!(inside.body.contains("<code>/etc/motd</code>"), "inside of the image there is no way out: {}", inside.body);
    for query in ["?path=/no/such/place", "?path=%00", "?path=a&at=--all", "?path=a&at=nope", "?path=a&at=HEAD..HEAD"] {
        let answer = ask(query);
        assert!([404, 409].contains(&answer.status), "{query}: {} {}", answer.status, answer.body);
    }
    for server in ["nobody", "..%2fetc", "%3Cb%3E"] {
        assert_eq!(pages.get_as(&cookie, &format!("/server/{server}/why?path=/etc/motd")).status, 404, "{server}");
    }
}
