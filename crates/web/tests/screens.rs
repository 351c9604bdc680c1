//! Every screen, in every look and every state of a fleet, in a real browser: nothing keeps anybody out.
//!
//! A new screen is one line in [`SCREENS`]. Each is opened in four worlds (a fleet without a server; one with all there can
//! be; one whose text has mistakes; one whose git and record fail) at 1280 and 320 pixels, light and dark, and for its
//! width also at 640 (1280 at a zoom of 200 %). axe must find nothing, nothing may scroll sideways, move by itself or be
//! loaded from elsewhere, the policy must not be hit, all assets together must be small.

mod common;

use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::Pages;
use common::browser::{Browser, browse};
use common::{fleet, images, work};
use regrow_config::edit::Edit;
use regrow_ops::accounts::{self, Role};
use regrow_ops::drafts::{self, Target, Wish};
use regrow_ops::hunt::HuntId;
use regrow_ops::jobs::JobId;
use regrow_ops::{moves, undo};
use thirtyfour::prelude::*;

/// Name and address. `{failed}` and `{running}` are jobs, `{found}` and `{stopped}` hunts, `{head}` the newest changeset,
/// `{draft}` a draft, `{desk}` one with steps, `{undone}` an act that was undone; where a world has none, the page says so,
/// and is looked at as well.
const SCREENS: &[(&str, &str)] = &[
    ("servers", "/"),
    ("server", "/server/web1"),
    ("objects found", "/server/web1?find=alice"),
    ("objects not found", "/server/web1?find=nothing+here"),
    ("object", "/server/web1/users/alice?at=users.alice.shell"),
    ("object: text", "/server/web1/checks/database?view=text"),
    ("object: history", "/server/web1/users/alice?view=history"),
    ("object: effects", "/server/web1/network/-?view=effects"),
    ("object of a role", "/server/web1/system/-"),
    ("file", "/server/web1/file?path=servers/web1/server.toml&line=5"),
    ("object: form", "/server/web1/files/%2Fetc%2Fmotd"),
    ("object that lacks", "/server/web1/users/nobody"),
    ("trial", "/server/web1/trial"),
    ("switch", "/server/web1/switch"),
    ("find the culprit", "/server/web1/hunt?check=front"),
    ("a hunt that found", "/server/web1/hunt/{found}"),
    ("a hunt that was stopped", "/server/web1/hunt/{stopped}"),
    ("drafts", "/drafts"),
    ("draft", "/draft/{draft}"),
    ("draft with conflicts", "/draft/{draft}/conflicts"),
    ("draft with steps", "/draft/{desk}"),
    ("edits on disk", "/draft/disk"),
    ("history", "/history"),
    ("history of a server", "/history?server=web1"),
    ("changeset", "/changeset/{head}"),
    ("compare", "/compare/{head}~1..{head}"),
    ("images compared", "/compare/{head}~1..{head}/image/web1"),
    ("images that are not there", "/compare/{head}~2..{head}/image/web1"),
    ("why", "/server/web1/why?path=/etc/motd&at={head}"),
    ("why not", "/server/web1/why?path=/etc/nothing-of-this-name"),
    ("take back", "/move?kind=revert&pick={head}"),
    ("jobs", "/jobs"),
    ("job that failed", "/job/{failed}"),
    ("job that runs", "/job/{running}"),
    ("acts", "/acts"),
    ("acts of nobody", "/acts?who=nobody"),
    ("acts after an undo", "/acts?undone={undone}"),
    ("accounts", "/accounts"),
    ("go", "/go?q=web"),
    ("go nowhere", "/go?q=nothing+is+called+so"),
    ("things to add", "/add/web1"),
    ("a service to add", "/add/web1/haproxy"),
    ("a service that is there", "/add/web1/nginx"),
    ("a user to add", "/add/web1/user"),
    ("a file to add", "/add/web1/file"),
    ("a timer with a wrong answer", "/add/web1/timer?a:name=a+b"),
    ("packages", "/packages?q=nginx&server=web1"),
    ("no such page", "/nowhere"),
];

/// The same without a session.
const OUTSIDE: &[(&str, &str)] = &[("sign in", "/sign-in"), ("no session", "/history"), ("a used link", "/?token=0")];

const LOOKS: [(u32, bool); 4] = [(1280, false), (1280, true), (320, false), (320, true)];

/// What the addresses of one world are made of.
struct World {
    pages: Pages,
    failed: Option<JobId>,
    running: Option<JobId>,
    found: Option<HuntId>,
    stopped: Option<HuntId>,
    head: String,
    draft: String,
    desk: String,
    undone: i64,
    /// Lets the running job end.
    _go: Option<mpsc::Sender<()>>,
}

impl World {
    fn new(fill: impl FnOnce(&std::path::Path)) -> World {
        let pages = Pages::with(fill);
        let head = fleet::head(&pages.fleet());
        World {
            pages,
            failed: None,
            running: None,
            found: None,
            stopped: None,
            head,
            draft: "none".to_owned(),
            desk: "none".to_owned(),
            undone: 0,
            _go: None,
        }
    }

    /// All there can be.
    fn full() -> World {
        let mut world = World::new(fleet::write);
        let pages = &world.pages;
        fleet::prove(&pages.ctx);
        world.failed = Some(work::ended_job(pages));
        world.found = Some(work::ended_hunt(pages, "front"));
        world.stopped = Some(work::stopped_hunt(pages, "front"));
        let (running, go) = work::running_job(pages);
        (world.running, world._go) = (Some(running), Some(go));
        for (name, role) in [("vera", Role::View), ("susan", Role::Switch)] {
            accounts::add(&pages.ctx, name, role, "correct horse battery staple").unwrap();
        }
        drafts::create(&pages.ctx, Some("Not wanted after all"), "vera").unwrap();
        world.undone = undo::undo(&pages.ctx, None).unwrap().act;
        let both = ["HEAD", "HEAD~1"];
        world.desk = regrow_ops::revert(&pages.ctx, &both, Default::default()).unwrap().draft.unwrap().id;
        let off = moves::Change::Off;
        moves::set_step(&pages.ctx, &world.desk, 2, &off).unwrap();
        // A draft whose key a changeset has changed otherwise meanwhile, and an edit by hand.
        let draft = drafts::create(&pages.ctx, Some("Let Alice Example use another shell"), "vera").unwrap();
        let set = |key: &str, value: &str| Edit::Set { key: key.to_owned(), value: value.to_owned() };
        let edits = vec![set("users.alice.shell", "\"/bin/zsh\""), set("checks.front.status", "204")];
        let wish = Wish { target: Target::Server("web1".to_owned()), edits };
        drafts::edit(&pages.ctx, &draft.id, None, &[wish]).unwrap();
        world.draft = draft.id;
        regrow_ops::set(&pages.ctx, "web1", "users.alice.shell", "\"/bin/sh\"", Some("Alice likes it plain")).unwrap();
        world.head = fleet::head(&pages.fleet());
        images::make(&pages.ctx);
        fleet::edit(&pages.fleet(), "servers/web1/server.toml", "timeout = 60", "timeout = 61");
        world
    }

    fn path(&self, path: &str) -> String {
        let number = |job: Option<JobId>| job.map_or_else(|| "0".to_owned(), |job| job.to_string());
        path.replace("{failed}", &number(self.failed))
            .replace("{running}", &number(self.running))
            .replace("{found}", &number(self.found))
            .replace("{stopped}", &number(self.stopped))
            .replace("{head}", &self.head)
            .replace("{draft}", &self.draft)
            .replace("{desk}", &self.desk)
            .replace("{undone}", &self.undone.to_string())
    }

    /// Opens every screen in every look. Pages may say that something failed only if `failing`.
    fn look_at_every_screen(&self, failing: bool) {
        browse(async |browser| {
            browser.watch().await?;
            browser.driver.goto(self.pages.link()).await?;
            let mut mistakes = Vec::new();
            for (name, path) in SCREENS.iter().chain(OUTSIDE) {
                if *name == OUTSIDE[0].0 {
                    browser.driver.delete_all_cookies().await?;
                }
                let path = self.path(path);
                for (width, dark) in LOOKS {
                    browser.look(width, dark).await?;
                    browser.driver.goto(self.pages.url(&path)).await?;
                    let look = format!("{name} at {width} {}", if dark { "dark" } else { "light" });
                    mistakes.extend(browser.mistakes().await?.iter().map(|m| format!("{look}: {m}")));
                    mistakes.extend(browser.faults(width).await?.iter().map(|m| format!("{look}: {m}")));
                }
                browser.look(640, false).await?;
                mistakes.extend(browser.faults(640).await?.iter().map(|m| format!("{name} at a zoom of 200 %: {m}")));
                let heading = browser.driver.find(By::Css("h1")).await?.text().await?;
                if !failing && heading == "That did not work" {
                    mistakes.push(format!("{name}: {}", browser.driver.find(By::Css("main")).await?.text().await?));
                }
            }
            assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
            Ok(())
        });
    }
}

#[test]
fn no_screen_of_an_empty_fleet_keeps_anybody_out() {
    World::new(fleet::write_empty).look_at_every_screen(false);
}

#[test]
fn no_screen_of_a_full_fleet_keeps_anybody_out() {
    World::full().look_at_every_screen(false);
}

#[test]
fn no_screen_of_a_text_with_mistakes_keeps_anybody_out() {
    let world = World::new(|dir| {
        fleet::write(dir);
        let wrong = "timeot = 60\n\n[checks.\"<script>\"]\nunit = 3\n\n[users.\"an-extremely-long-name-that-does-not-fit-anywhere-and-has-no-break\"]\nx = 1";
        fleet::edit(dir, "servers/web1/server.toml", "timeout = 60", wrong);
        fleet::put(dir, "servers/web2/server.toml", "[system\nhostname = \n");
    });
    world.look_at_every_screen(false);
}

#[test]
fn no_screen_keeps_anybody_out_when_git_and_the_record_fail() {
    let world = World::new(fleet::write);
    let link = world.pages.link();
    // The session is made before the record is gone.
    assert!(link.contains("token="));
    std::fs::write(world.pages.fleet().join(".git/HEAD"), "this is no branch\n").unwrap();
    let record = world.pages.home().join("regrow.db");
    let _ = std::fs::remove_file(&record);
    std::fs::create_dir_all(record.join("not-a-file")).unwrap();
    world.look_at_every_screen(true);
}

/// Moves on with Tab until an element that matches has the focus; what has the focus must always be seen.
async fn tab_to(browser: &Browser, css: &str) -> WebDriverResult<()> {
    for _ in 0..60 {
        browser.press([Key::Tab.into()]).await?;
        let look = "getComputedStyle(document.activeElement).outlineStyle !== 'none' || document.activeElement === document.body";
        assert_eq!(browser.ask(look).await?, true, "one sees where one is on the way to {css}");
        if browser.ask(&format!("document.activeElement.matches({css:?})")).await? == true {
            return Ok(());
        }
    }
    panic!("{css} is not reached by the keyboard");
}

#[test]
fn the_keyboard_alone_goes_everywhere() {
    let pages = Pages::with(fleet::write);
    accounts::add(&pages.ctx, "susan", Role::Switch, "correct horse battery staple").unwrap();
    browse(async |browser| {
        browser.watch().await?;
        browser.driver.goto(pages.url("/history")).await?;
        // The form is in the page's place and has the focus already.
        browser.until("document.activeElement.id === 'name'").await?;
        browser.press("susan".chars()).await?;
        tab_to(&browser, "#password").await?;
        browser.press("correct horse battery staple".chars()).await?;
        browser.press([Key::Enter.into()]).await?;
        browser
            .until("location.pathname === '/history' && document.querySelector('h1')?.textContent === 'Changesets'")
            .await?;

        // The first stop skips the navigation.
        browser.press([Key::Tab.into()]).await?;
        assert_eq!(browser.ask("document.activeElement.className").await?, "skip");
        browser.press([Key::Enter.into()]).await?;
        browser.until("document.activeElement.id === 'main'").await?;

        // Anywhere, by name.
        browser.driver.action_chain().key_down(Key::Control).send_keys("k").key_up(Key::Control).perform().await?;
        browser.until("document.activeElement.id === 'go-q'").await?;
        let mistakes = browser.mistakes().await?;
        assert!(mistakes.is_empty(), "the window: {}", mistakes.join("\n"));
        browser.press("web1".chars()).await?;
        browser.until("document.querySelector('#found a')?.textContent === 'web1'").await?;
        browser.press([Key::Down.into()]).await?;
        browser.until("document.activeElement.matches('#found a')").await?;
        browser.press([Key::Enter.into()]).await?;
        browser.until("location.pathname === '/server/web1'").await?;

        // The keys, and how to switch them off.
        browser.press("?".chars()).await?;
        browser.until("document.querySelector('dialog[open] h2')?.textContent === 'Keys'").await?;
        let mistakes = browser.mistakes().await?;
        assert!(mistakes.is_empty(), "the keys: {}", mistakes.join("\n"));
        browser.press([Key::Escape.into()]).await?;
        browser.until("!document.querySelector('dialog[open]')").await?;
        browser.press("gc".chars()).await?;
        browser.until("location.pathname === '/history'").await?;
        browser.press("?".chars()).await?;
        browser.until("document.querySelector('dialog[open] #keys-on')?.checked === true").await?;
        tab_to(&browser, "#keys-on").await?;
        browser.press([' ']).await?;
        browser.press([Key::Escape.into()]).await?;
        browser.press("?gs".chars()).await?;
        assert_eq!(
            browser.ask("location.pathname === '/history' && !document.querySelector('dialog[open]')").await?,
            true
        );

        // And a button.
        browser.driver.goto(pages.url("/server/web1")).await?;
        tab_to(&browser, "button[value=build]").await?;
        browser.press([Key::Enter.into()]).await?;
        browser.until("location.pathname.startsWith('/job/')").await?;
        Ok(())
    });
}

#[test]
fn accounts_and_ways_work_without_scripts() {
    let pages = Pages::with(fleet::write);
    accounts::add(&pages.ctx, "susan", Role::Switch, "correct horse battery staple").unwrap();
    browse(async |browser| {
        browser.forbid_scripts().await?;
        let driver = &browser.driver;
        let fill = async |id: &'static str, text: &str| driver.query(By::Id(id)).first().await?.send_keys(text).await;
        // A click goes on to another page in its own time. Until the old one is gone, what is found may be found there.
        let follow = async |by: By| {
            let old = driver.find(By::Css("html")).await?;
            driver.query(by).first().await?.click().await?;
            old.wait_until().wait(Duration::from_secs(30), Duration::from_millis(50)).stale().await
        };
        let press = async |css: &'static str| follow(By::Css(css)).await;
        let reads = async |css: &'static str, text: &'static str| {
            let end = Instant::now() + Duration::from_secs(30);
            loop {
                let found = driver.find(By::Css(css)).await;
                let read =
                    if let Ok(element) = found { element.text().await.unwrap_or_default() } else { String::new() };
                if read.contains(text) {
                    return WebDriverResult::Ok(());
                }
                assert!(Instant::now() < end, "{css} never reads {text}, but {read}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        driver.goto(pages.url("/accounts")).await?;
        fill("name", "susan").await?;
        fill("password", "wrong").await?;
        press("main button.main").await?;
        reads("#wrong", "wrong").await?;
        // What was typed is still there, but for the password.
        fill("password", "correct horse battery staple").await?;
        press("main button.main").await?;
        reads("h1", "Accounts").await?;
        fill("name", "bob").await?;
        driver.find(By::Id("new-edit")).await?.click().await?;
        fill("password", "short").await?;
        press("main button.main").await?;
        reads("#wrong", "fewer than 12").await?;
        fill("password", "a long enough password").await?;
        press("main button.main").await?;
        reads("tbody th", "bob").await?;
        assert_eq!(accounts::get(&pages.ctx, "bob").unwrap().unwrap().role, Role::Edit);

        follow(By::LinkText("Go to…")).await?;
        fill("go-q", "web1").await?;
        press("main form button").await?;
        press("#found a").await?;
        reads("h1", "web1").await?;
        press(".who button").await?;
        reads("h1", "Sign in").await?;
        Ok(())
    });
}
