//! Changing text by forms: one change per form, by key, with nothing lost and nothing overwritten.

mod common;

use common::{Answer, Pages, fleet};
use regrow_ops::acts::{self, Which};
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

/// The newest act of a kind.
fn act(pages: &Pages, kind: &str) -> i64 {
    let which = Which { kind: Some(kind.to_owned()), ..Which::default() };
    acts::list(&pages.ctx, &which, 1).unwrap().acts.pop().unwrap_or_else(|| panic!("nobody did {kind}")).id
}

#[test]
fn what_was_done_is_undone_by_a_click_byte_for_byte() {
    let pages = Pages::with(fleet::write);
    let browser = Browser::new(&pages);
    let before = disk(&pages);
    assert_eq!(browser.set("system.timezone", "Europe/Berlin", "").status, 303);
    let drafted = text_of(&pages, "d1");
    // A draft that was set aside comes back, and goes on as it was.
    assert_eq!(browser.post("/draft/d1/discard", "").status, 303);
    let discard = act(&pages, "discard");
    let page = browser.get("/acts").body;
    assert!(page.contains(&format!("action=\"/acts/{discard}/undo\"")), "{page}");
    assert!(page.contains("take the draft d1 back") && page.contains("regrow undo"), "{page}");
    let back = browser.post(&format!("/acts/{discard}/undo"), "");
    assert_eq!((back.status, back.header("location")), (303, Some("/draft/d1")), "{}", back.body);
    assert_eq!(text_of(&pages, "d1"), drafted);

    let landed = browser.post("/draft/d1/land", "message=Berlin+time");
    let place = landed.header("location").unwrap().to_owned();
    let land = act(&pages, "land");
    let page = browser.get(&place).body;
    assert!(page.contains("Undo this landing") && page.contains(&format!("regrow undo {land}")), "{page}");
    let tokens = browser.tokens();
    let undone = browser.post_with(&format!("/acts/{land}/undo"), &tokens, "");
    assert_eq!(undone.status, 303, "{}", undone.body);
    assert_eq!(undone.header("location"), Some(&*format!("/changeset/{}", head(&pages))));
    assert_eq!(disk(&pages), before);
    assert!(!browser.get(&place).body.contains("Undo this landing"), "it is undone already");
    let again = browser.post_with(&format!("/acts/{land}/undo"), &tokens, "");
    assert_eq!((again.status, again.header("location")), (303, undone.header("location")), "a double click is one");
    assert_eq!(disk(&pages), before);
    let by = act(&pages, "undo");
    let page = browser.get("/acts").body;
    assert!(page.contains(&format!("href=\"#act-{by}\">undone by act {by}</a>")), "{page}");
    // The undo is an act as any other.
    assert_eq!(browser.post(&format!("/acts/{by}/undo"), "").status, 303);
    assert!(disk(&pages).contains("Europe/Berlin"));
}

#[test]
fn what_cannot_be_undone_any_more_says_why_and_changes_nothing() {
    let pages = Pages::with(fleet::write);
    let browser = Browser::new(&pages);
    assert_eq!(browser.set("system.timezone", "Europe/Berlin", "").status, 303);
    let edit = act(&pages, "edit");
    assert_eq!(browser.post("/draft/d1/land", "message=Berlin+time").status, 303);
    let land = act(&pages, "land");
    let refused = browser.post(&format!("/acts/{edit}/undo"), "");
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert!(refused.body.contains("Not undone: The draft d1 was landed or discarded since."), "{}", refused.body);
    // The same key again since: it is asked, in a draft.
    regrow_ops::set(&pages.ctx, "web1", "system.timezone", "Asia/Tokyo", None).unwrap();
    let now = disk(&pages);
    let asked = browser.post(&format!("/acts/{land}/undo"), "");
    let to = asked.header("location").unwrap_or_else(|| panic!("{}", asked.body)).to_owned();
    assert!(to.starts_with("/draft/") && to.ends_with("/conflicts"), "{to}");
    assert!(browser.get(&to).body.contains("Asia/Tokyo"));
    assert_eq!(disk(&pages), now);
    // What was begun is set aside, which is said in words on the page of acts.
    let made = drafts::create(&pages.ctx, Some("A <b>new</b> one"), "ann").unwrap().id;
    let begun = acts::list(&pages.ctx, &Which::default(), 1).unwrap().acts[0].id;
    let gone = browser.post(&format!("/acts/{begun}/undo"), "");
    assert_eq!(gone.header("location"), Some(&*format!("/acts?undone={begun}")), "{}", gone.body);
    let page = browser.get(&format!("/acts?undone={begun}")).body;
    assert!(page.contains(&format!("set the draft {made} aside")) && !page.contains("<b>new"), "{page}");
    for (id, status) in [("0", 404), ("99999", 404), ("x", 404), ("-1", 404), ("99999999999999999999", 404)] {
        assert_eq!(browser.post(&format!("/acts/{id}/undo"), "").status, status, "{id}");
    }
    for query in ["undone=0", "undone=99999", &format!("undone={land}")] {
        assert!(!browser.get(&format!("/acts?{query}")).body.contains("role=\"status\""), "{query}");
    }
}

/// A draft with a step that takes back each of the two newest changesets, made on the page of the timeline.
fn desk(pages: &Pages, browser: &Browser<'_>) -> String {
    let newest = regrow_ops::log(&pages.ctx, None, None, 2).unwrap().changes;
    let made = browser.post("/move", &format!("kind=revert&pick={}&pick={}", newest[0].revision, newest[1].revision));
    assert_eq!(made.status, 303, "{}", made.body);
    made.header("location").unwrap().strip_prefix("/draft/").unwrap().to_owned()
}

#[test]
fn steps_are_ticked_off_and_on_byte_for_byte() {
    let pages = Pages::with(fleet::write);
    let browser = Browser::new(&pages);
    let before = disk(&pages);
    let id = desk(&pages, &browser);
    let press = |step: &str, what: &str| browser.post(&format!("/draft/{id}/step"), &format!("step={step}&do={what}"));
    let both = text_of(&pages, &id);
    assert!(both.contains("\"Alice Example\"") && both.contains("change the text"), "{both}");
    let page = browser.get(&format!("/draft/{id}")).body;
    for words in ["2 of 2 ticked", "takes back", "Alice has married", "regrow draft steps", "--separate"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let off = press("2", "off");
    assert_eq!(off.header("location"), Some(&*format!("/draft/{id}#step-2")), "{}", off.body);
    assert!(text_of(&pages, &id).contains("Alice Exampleson"));
    let page = browser.get(&format!("/draft/{id}")).body;
    assert!(page.contains("1 of 2 ticked") && page.contains("aria-checked=\"false\""), "{page}");
    assert!(!page.contains("users.alice.comment"), "the preview follows: {page}");
    assert!(!page.contains("land-separately"), "there is one: {page}");
    press("1", "off");
    assert_eq!(text_of(&pages, &id), before);
    assert!(browser.get(&format!("/draft/{id}")).body.contains("As it is, it changes nothing"));
    // What is done by hand beside them stays, whatever is ticked.
    assert_eq!(browser.set("limits.tasks", "300", "").status, 303);
    let own = text_of(&pages, &id);
    assert_ne!(own, before);
    press("1", "on");
    press("2", "on");
    press("2", "up");
    let page = browser.get(&format!("/draft/{id}")).body;
    assert!(page.contains("Edits of its own beyond the steps"), "{page}");
    assert!(page.find("id=\"step-2\"").unwrap() < page.find("id=\"step-1\"").unwrap(), "{page}");
    assert_eq!(press("1", "drop").header("location"), Some(&*format!("/draft/{id}#steps")));
    assert_eq!(press("2", "drop").status, 303);
    assert_eq!(text_of(&pages, &id), own);
    for (step, what) in [("1", "on"), ("x", "on"), ("", "on"), ("-1", "up"), ("99999999999", "up"), ("2", "eat")] {
        assert_eq!(press(step, what).status, 409, "{step} {what}");
    }
    assert_eq!(browser.post("/draft/disk/step", "step=1&do=on").status, 409);
    assert_eq!(browser.post("/draft/nope/step", "step=1&do=on").status, 404);
}

#[test]
fn each_step_lands_as_a_changeset_of_its_own_in_order() {
    let pages = Pages::with(fleet::write);
    let browser = Browser::new(&pages);
    let first = disk(&pages)
        .replace("Alice Exampleson", "Alice Example")
        .replace("mend the text, not the server", "change the text, not the server");
    let id = desk(&pages, &browser);
    let step = format!("/draft/{id}/step");
    assert_eq!(browser.post(&step, "step=1&do=squash").status, 409, "there is none before it");
    assert_eq!(browser.post(&step, "step=2&do=squash").status, 303);
    assert!(browser.get(&format!("/draft/{id}")).body.contains("lands with the one before"));
    assert_eq!(browser.post(&step, "step=2&do=separate").status, 303);
    let words = "message=Greet+as+before%0D%0A%0D%0AIt+was+%3Cb%3Ebetter%3C/b%3E.";
    assert_eq!(browser.post(&step, &format!("step=1&do=reword&{words}")).status, 303);
    let page = browser.get(&format!("/draft/{id}")).body;
    assert!(page.contains("Greet as before") && page.contains("better") && !page.contains("<b>better"), "{page}");
    let landed = browser.post(&format!("/draft/{id}/land-separately"), "message=not+needed");
    assert_eq!((landed.status, landed.header("location")), (303, Some("/history")), "{}", landed.body);
    let log = regrow_ops::log(&pages.ctx, None, None, 2).unwrap().changes;
    let subjects: Vec<&str> = log.iter().map(|c| &*c.subject).collect();
    assert_eq!(subjects, ["Revert \"Alice has married\"", "Greet as before"]);
    assert!(log[1].body.starts_with("It was <b>better</b>."), "{}", log[1].body);
    assert_eq!(disk(&pages), first);
    assert!(drafts::list(&pages.ctx).unwrap().is_empty());
}

#[test]
fn a_step_in_conflict_leads_to_its_decision() {
    let pages = Pages::with(fleet::write);
    let browser = Browser::new(&pages);
    regrow_ops::set(&pages.ctx, "web1", "system.timezone", "Europe/Berlin", None).unwrap();
    let old = head(&pages);
    regrow_ops::set(&pages.ctx, "web1", "system.timezone", "Asia/Tokyo", None).unwrap();
    let made = browser.post("/move", &format!("kind=revert&pick={old}"));
    assert_eq!(made.header("location"), Some("/draft/d1/conflicts"), "{}", made.body);
    let page = browser.get("/draft/d1").body;
    let step = page.split("id=\"step-1\"").nth(1).unwrap().split("</li>").next().unwrap();
    assert!(step.contains("href=\"/draft/d1/conflicts\"") && step.contains("1 place to decide"), "{step}");
    assert_eq!(browser.post("/draft/d1/step", "step=1&do=off").status, 303);
    assert!(!browser.get("/draft/d1").body.contains("to decide"));
}

#[test]
fn ticked_parts_go_into_a_draft_of_their_own() {
    let pages = Pages::with(fleet::write);
    let browser = Browser::new(&pages);
    let before = disk(&pages);
    assert_eq!(browser.set("system.timezone", "Europe/Berlin", "").status, 303);
    let berlin = text_of(&pages, "d1");
    assert!(!browser.get("/draft/d1").body.contains("/draft/d1/split"), "there is nothing to divide");
    assert_eq!(browser.set("system.hostname", "big", "").status, 303);
    let page = browser.get("/draft/d1").body;
    assert!(page.contains(&format!("name=\"key\" value=\"{FILE}:system.hostname\"")), "{page}");
    for bad in ["", "key=a", "file=../../etc/passwd", &format!("key={FILE}:services"), "key=%3A%3D"] {
        let answer = browser.post("/draft/d1/split", bad);
        assert!([409, 422].contains(&answer.status), "{bad}: {} {}", answer.status, answer.body);
    }
    let made = browser.post("/draft/d1/split", &format!("key={FILE}:system.hostname&title=Name"));
    assert_eq!((made.status, made.header("location")), (303, Some("/draft/d2")), "{}", made.body);
    assert_eq!(text_of(&pages, "d1"), berlin);
    assert!(text_of(&pages, "d2").contains("\"big\"") && !text_of(&pages, "d2").contains("Berlin"));
    assert_eq!(drafts::get(&pages.ctx, "d2").unwrap().title, "Name");
    assert_eq!(disk(&pages), before);
}
