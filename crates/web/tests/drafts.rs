//! Changing text by forms: one change per form, by key, with nothing lost and nothing overwritten.

mod common;

use common::{Answer, Pages, fleet};
use regrow_ops::drafts;

const FILE: &str = "servers/web1/server.toml";

/// A browser: a session, its form token, and the cookie of its draft.
struct Browser<'p> {
    pages: &'p Pages,
    cookies: std::cell::RefCell<Vec<String>>,
}

impl Browser<'_> {
    fn new(pages: &Pages) -> Browser<'_> {
        Browser { pages, cookies: vec![pages.sign_in()].into() }
    }

    fn headers(&self) -> String {
        format!("Cookie: {}\r\n", self.cookies.borrow().join("; "))
    }

    fn get(&self, path: &str) -> Answer {
        self.pages.get(path, &self.headers())
    }

    /// A fresh pair of tokens, as a page has them.
    fn tokens(&self) -> String {
        let page = self.get("/drafts");
        assert_eq!(page.status, 200, "{}", page.body);
        format!("session={}&once={}", page.field("session"), page.field("once"))
    }

    fn post_with(&self, path: &str, tokens: &str, form: &str) -> Answer {
        let answer = self.pages.post(path, &format!("{tokens}&{form}"), &self.headers());
        if let Some(cookie) = answer.header("set-cookie") {
            let cookie = cookie.split(';').next().unwrap().to_owned();
            let name = cookie.split('=').next().unwrap().to_owned();
            let mut cookies = self.cookies.borrow_mut();
            cookies.retain(|c| !c.starts_with(&format!("{name}=")));
            if !cookie.ends_with('=') {
                cookies.push(cookie);
            }
        }
        answer
    }

    fn post(&self, path: &str, form: &str) -> Answer {
        self.post_with(path, &self.tokens(), form)
    }

    fn set(&self, key: &str, value: &str, more: &str) -> Answer {
        let form = format!("target=server:web1&then=/server/web1&do=set&key={key}&value={value}{more}");
        self.post("/edit", &form)
    }
}

fn disk(pages: &Pages) -> String {
    std::fs::read_to_string(pages.fleet().join(FILE)).unwrap()
}

fn text_of(pages: &Pages, id: &str) -> String {
    let bytes = drafts::files_of(&pages.ctx, id).unwrap().read(FILE).unwrap().unwrap();
    String::from_utf8(bytes).unwrap()
}

fn head(pages: &Pages) -> String {
    regrow_ops::log(&pages.ctx, None, None, 1).unwrap().changes.remove(0).revision
}

#[test]
fn a_change_goes_into_a_draft_and_lands_with_its_message() {
    let pages = Pages::with(fleet::write);
    let browser = Browser::new(&pages);
    let before = disk(&pages);
    let tokens = browser.tokens();
    let form = "target=server:web1&then=/server/web1&do=set&key=system.timezone&value=Europe/Berlin";
    let answer = browser.post_with("/edit", &tokens, form);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/server/web1")), "{}", answer.body);
    assert_eq!(disk(&pages), before, "nothing is written yet");
    // The same form again is the same change.
    let again = browser.post_with("/edit", &tokens, form);
    assert_eq!((again.status, drafts::list(&pages.ctx).unwrap().len()), (303, 1));

    let page = browser.get("/drafts").body;
    assert!(page.contains("Edits on disk") && page.contains("web1: system") && page.contains("current"), "{page}");
    let page = browser.get("/draft/d1").body;
    for part in [
        "Europe/Berlin",
        "system.timezone",
        "Land as one changeset",
        "id=\"words\"",
        "id=\"text\"",
        "regrow draft land d1",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(browser.get("/history").body.contains("Current draft"), "the banner is on every page");

    let head_before = head(&pages);
    let empty = browser.post("/draft/d1/land", "message=+");
    assert_eq!(empty.status, 409, "{}", empty.body);
    assert_eq!(head(&pages), head_before);
    let landed = browser.post("/draft/d1/land", "message=Berlin+time");
    assert_eq!(landed.status, 303, "{}", landed.body);
    assert_eq!(landed.header("location").unwrap(), format!("/changeset/{}", head(&pages)));
    assert_ne!(disk(&pages), before);
    assert!(disk(&pages).contains("timezone = \"Europe/Berlin\""));
    assert!(!browser.get("/history").body.contains("Current draft"), "what landed is no current draft");
    assert_eq!(browser.get("/draft/d1").status, 404);
}

#[test]
fn a_form_without_a_change_changes_nothing_and_says_so() {
    let pages = Pages::with(fleet::write);
    let browser = Browser::new(&pages);
    for form in [
        "target=server:web1&then=/server/web1",
        "target=server:web1&o:system.timezone=%22UTC%22&f:system.timezone=UTC&t:system.timezone=text",
    ] {
        let answer = browser.post("/edit", form);
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(answer.body.contains("Nothing was changed"), "{}", answer.body);
    }
    let text = disk(&pages)
        .replace('\n', "\r\n")
        .replace('%', "%25")
        .replace('&', "%26")
        .replace('+', "%2B")
        .replace('#', "%23");
    let answer = browser.post("/edit", &format!("do=file&path={FILE}&text={text}"));
    assert!(answer.body.contains("Nothing was changed"), "{}", answer.body);
    assert!(drafts::list(&pages.ctx).unwrap().is_empty());
}

#[test]
fn what_cannot_be_taken_comes_back_at_its_field() {
    let pages = Pages::with(fleet::write);
    let browser = Browser::new(&pages);
    let answer = browser.set("limits.memory", "%5B%3Cb%3E", "");
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert!(
        answer.body.contains("[&lt;b&gt;") || answer.body.contains("[&#60;b&#62;"),
        "what was typed is kept: {}",
        answer.body
    );
    assert!(answer.body.contains("aria-invalid") && answer.body.contains("limits.memory"), "{}", answer.body);
    for (form, status) in [
        ("target=server:nowhere&do=set&key=a&value=1", 422),
        ("target=&do=set&key=a&value=1", 422),
        ("target=server:web1&edit=%7B", 422),
        ("target=file:../../etc/x.toml&do=set&key=a&value=1", 409),
        ("do=file&path=../../etc/passwd&text=x", 409),
        ("do=file&path=.git/config&text=x", 409),
    ] {
        let answer = browser.post("/edit", form);
        assert_eq!(answer.status, status, "{form}: {}", answer.body);
    }
    assert!(drafts::list(&pages.ctx).unwrap().is_empty(), "no draft is made for what cannot be");
    let foreign = browser.post_with("/edit", "session=x&once=y", "target=server:web1&do=set&key=a&value=1");
    assert_eq!(foreign.status, 403);
}

#[test]
fn two_browsers_and_an_editor_lose_nothing() {
    let pages = Pages::with(fleet::write);
    let (ann, bob) = (Browser::new(&pages), Browser::new(&pages));
    assert_eq!(ann.set("system.timezone", "Europe/Berlin", "").status, 303);
    let seen = drafts::get(&pages.ctx, "d1").unwrap().tip;
    let same = format!("&draft=d1&tip={seen}");
    assert_eq!(ann.set("limits.memory", "2+GiB", &same).status, 303);
    assert_eq!(bob.set("limits.tasks", "300", &same).status, 303, "another key");
    let text = text_of(&pages, "d1");
    assert!(text.contains("2 GiB") && text.contains("300") && text.contains("Europe/Berlin"), "{text}");

    // The same key asks, with base, theirs and yours.
    let clash = bob.set("limits.memory", "3+GiB", &same);
    assert_eq!(clash.status, 409, "{}", clash.body);
    for value in ["2 GiB", "3 GiB"] {
        assert!(clash.body.contains(value), "{}", clash.body);
    }
    let at = clash.field("at:0").replace("&quot;", "\"").replace("&#34;", "\"");
    let at = at.replace('%', "%25").replace('&', "%26").replace('+', "%2B").replace('"', "%22");
    let tokens = format!("session={}&once={}", clash.field("session"), clash.field("once"));
    let form = format!(
        "target=server:web1&then=/&do=set&key=limits.memory&value=3+GiB{same}&at:0={at}&pick:0=value&value:0=5+GiB"
    );
    let saved = bob.post_with("/edit", &tokens, &form);
    assert_eq!(saved.status, 303, "{}", saved.body);
    assert!(text_of(&pages, "d1").contains("5 GiB"));

    // An editor changes a comment and the time zone; landing asks about the time zone only.
    let by_hand = format!("# by hand\n{}", disk(&pages));
    std::fs::write(pages.fleet().join(FILE), &by_hand).unwrap();
    let landed = ann.post("/draft/d1/land", "message=Room");
    assert_eq!(landed.status, 303, "{}", landed.body);
    let now = disk(&pages);
    for part in ["# by hand\n", "5 GiB", "300", "Europe/Berlin"] {
        assert!(now.contains(part), "{part}: {now}");
    }
    let page = ann.get("/draft/disk").body;
    assert!(page.contains("by hand") && page.contains("Edits on disk: 1 file"), "{page}");
    let landed = ann.post("/draft/disk/land", &format!("file={FILE}&message=By+hand"));
    assert_eq!(landed.status, 303, "{}", landed.body);
    assert!(drafts::on_disk(&pages.ctx).unwrap().is_none());
}

#[test]
fn a_conflict_with_a_changeset_is_decided_on_its_page() {
    let pages = Pages::with(fleet::write);
    let browser = Browser::new(&pages);
    assert_eq!(browser.set("system.timezone", "Europe/Berlin", "").status, 303);
    regrow_ops::set(&pages.ctx, "web1", "system.timezone", "Asia/Tokyo", None).unwrap();
    assert!(browser.get("/draft/d1").body.contains("1 place to decide"));
    let landed = browser.post("/draft/d1/land", "message=x");
    assert_eq!(landed.header("location"), Some("/draft/d1/conflicts"), "{}", landed.body);
    let page = browser.get("/draft/d1/conflicts");
    assert!(
        page.body.contains("Asia/Tokyo") && page.body.contains("Europe/Berlin") && page.body.contains("Yours"),
        "{}",
        page.body
    );
    let at = page.field("at:0").replace("&quot;", "\"").replace("&#34;", "\"").replace('"', "%22");
    let bad = browser.post("/draft/d1/conflicts", &format!("at:0={at}&pick:0=value&value:0=%5B"));
    assert!(bad.status == 422 && bad.body.contains("Another value") && bad.body.contains("alert"), "{}", bad.body);
    assert!(browser.get("/draft/d1").body.contains("1 place to decide"));
    let decided = browser.post("/draft/d1/conflicts", &format!("at:0={at}&pick:0=yours"));
    assert_eq!(decided.header("location"), Some("/draft/d1"), "{}", decided.body);
    assert_eq!(browser.post("/draft/d1/land", "message=Berlin").status, 303);
    assert!(disk(&pages).contains("Europe/Berlin"));
}

#[test]
fn a_discarded_draft_comes_back() {
    let pages = Pages::with(fleet::write);
    let browser = Browser::new(&pages);
    assert_eq!(browser.post("/drafts", "title=%3Cb%3EMore+room").status, 303);
    let page = browser.get("/drafts").body;
    assert!(!page.contains("<b>") && page.contains("More room"), "{page}");
    assert_eq!(browser.post("/draft/d1/rename", "title=Less+room").status, 303);
    assert_eq!(browser.post("/draft/d1/discard", "").header("location"), Some("/drafts"));
    assert!(drafts::list(&pages.ctx).unwrap().is_empty());
    assert!(browser.get("/drafts").body.contains("Discarded"));
    assert_eq!(browser.post("/draft/d1/restore", "").status, 303);
    assert_eq!(drafts::get(&pages.ctx, "d1").unwrap().title, "Less room");
    assert_eq!(browser.post("/draft/d1/leave", "").status, 303);
    assert!(!browser.get("/").body.contains("Current draft"));
    for path in ["/draft/nope", "/draft/..%2fmain", "/draft/d1%0a", "/draft/nope/conflicts"] {
        assert_eq!(browser.get(path).status, 404, "{path}");
    }
    assert_eq!(browser.post("/draft/nope/land", "message=x").status, 404);
    assert_eq!(browser.post("/draft/d1/eat", "").status, 404);
}
