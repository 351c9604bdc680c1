//! The timeline, changesets and comparisons as requests: what is said, what is refused, and that a revert is one draft.

mod common;

use common::{Pages, fleet};
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
