//! The pages in a real browser: the way without scripts, live progress, the keyboard. Every screen in every look is in
//! `screens.rs`.
//!
//! With `UPDATE_PICTURES` set, the pictures in `docs/pictures/` are drawn anew: see the test of that name.

mod common;

use std::sync::mpsc;
use std::time::Duration;

use common::Pages;
use common::browser::browse;
use common::fleet;
use common::work::{ended_job, running_job};
use thirtyfour::prelude::*;

/// Every page in a state worth looking at: name, path, and how to get there first.
fn every_page(pages: &Pages) -> (Vec<(&'static str, String)>, mpsc::Sender<()>) {
    fleet::prove(&pages.ctx);
    let failed = ended_job(pages);
    let (running, go) = running_job(pages);
    let places = vec![
        ("servers", "/".to_owned()),
        ("server", "/server/web1".to_owned()),
        ("job-failed", format!("/job/{failed}")),
        ("job-running", format!("/job/{running}")),
    ];
    (places, go)
}

const LOOKS: [(u32, bool); 4] = [(1280, false), (1280, true), (320, false), (320, true)];

#[test]
fn mistakes_in_the_text_are_shown_with_their_lines() {
    let pages = Pages::with(|dir| {
        fleet::write(dir);
        fleet::edit(dir, "servers/web1/server.toml", "timeout = 60", "timeot = 60\n\n[checks.\"<script>\"]\nunit = 3");
    });
    browse(async |browser| {
        browser.driver.goto(pages.link()).await?;
        for (width, dark) in LOOKS {
            for path in ["/", "/server/web1"] {
                browser.look(width, dark).await?;
                browser.driver.goto(pages.url(path)).await?;
                let text = browser.driver.find(By::Css(".diagnostics")).await?.text().await?;
                assert!(text.contains("servers/web1/server.toml:") && text.contains("timeot"), "{path}: {text}");
                let mistakes = browser.mistakes().await?;
                assert!(mistakes.is_empty(), "{path} at {width}: {}", mistakes.join("\n"));
            }
        }
        let disabled = browser.driver.find_all(By::Css("button[disabled]")).await?;
        assert_eq!(disabled.len(), 4, "nothing can be done with a text that has mistakes, nor is there a way back");
        Ok(())
    });
}

#[test]
fn a_form_works_without_scripts_and_the_page_reloads_itself_until_the_end() {
    let pages = Pages::with(fleet::write);
    let (job, go) = running_job(&pages);
    browse(async |browser| {
        browser.forbid_scripts().await?;
        browser.driver.goto(pages.link()).await?;
        browser.driver.goto(pages.url(&format!("/job/{job}"))).await?;
        assert!(browser.driver.find(By::Id("outcome")).await?.text().await?.contains("Running"));
        go.send(()).unwrap();
        // Nobody touches the page: only its own reload can show the end.
        wait_for(&browser.driver, "#outcome .good").await?;
        assert!(
            browser
                .driver
                .find(By::Id("outcome"))
                .await?
                .text()
                .await?
                .contains("2 layers in 9.4 s, 1 of them already there")
        );

        browser.driver.goto(pages.url("/server/web1")).await?;
        browser.driver.find(By::Css("button[value=build]")).await?.click().await?;
        wait_for(&browser.driver, "#outcome .bad").await?;
        let url = browser.driver.current_url().await?;
        assert!(url.path().starts_with("/job/"), "{url}");
        // The example has no lock yet, and that is said with the way out.
        let text = browser.driver.find(By::Id("outcome")).await?.text().await?;
        assert!(text.contains("lock"), "{text}");
        Ok(())
    });
}

#[test]
fn progress_is_live_and_moves_nothing() {
    let pages = Pages::with(fleet::write);
    let (job, go) = running_job(&pages);
    browse(async |browser| {
        browser.driver.goto(pages.link()).await?;
        browser.look(1280, false).await?;
        browser.driver.goto(pages.url(&format!("/job/{job}"))).await?;
        browser.ask("window.stays = true").await?;
        let table = "document.querySelector('.steps').getBoundingClientRect().top";
        let before = browser.ask(table).await?;
        go.send(()).unwrap();
        wait_for(&browser.driver, "#outcome .good").await?;
        assert_eq!(browser.ask("window.stays").await?, true, "the page was not loaded again");
        assert_eq!(browser.ask(table).await?, before, "the progress stays where it is");
        assert!(browser.driver.title().await?.starts_with("✓ Build of web1"));
        assert_eq!(browser.driver.find_all(By::Css("#steps tr")).await?.len(), 3, "each step has one row");
        assert!(browser.driver.find(By::Id("report")).await?.text().await?.contains("requested"), "the report came");
        assert!(
            browser.driver.find(By::Id("said")).await?.inner_html().await?.starts_with("Built."),
            "it was said aloud"
        );
        let mistakes = browser.mistakes().await?;
        assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
        Ok(())
    });
}

#[test]
fn the_keyboard_alone_reaches_and_presses_a_button() {
    let pages = Pages::with(fleet::write);
    browse(async |browser| {
        browser.driver.goto(pages.link()).await?;
        browser.driver.goto(pages.url("/server/web1")).await?;
        for _ in 0..200 {
            browser.driver.action_chain().send_keys(Key::Tab).perform().await?;
            let outline = "getComputedStyle(document.activeElement).outlineStyle";
            assert_ne!(browser.ask(outline).await?, "none", "one sees where one is");
            if browser.ask("document.activeElement.value").await? == "build" {
                browser.driver.action_chain().send_keys(Key::Enter).perform().await?;
                wait_for(&browser.driver, "#outcome").await?;
                return Ok(());
            }
        }
        panic!("the button was not reached");
    });
}

/// The screens that the README and the documentation show, of the server that `script/demo` makes, with a draft `d1` and a
/// hunt.
const DEMO: [(&str, &str); 8] = [
    ("servers", "/"),
    ("server", "/server/web1"),
    ("object", "/server/web1/checks/front"),
    ("add", "/add/web1"),
    ("draft", "/draft/d1"),
    ("changesets", "/history"),
    ("switch", "/server/web1/switch"),
    ("hunt", "/server/web1/hunt/1"),
];

/// `UPDATE_PICTURES=1` draws the pictures of `docs/pictures/` from this test's fleet; `UPDATE_PICTURES=http://…?token=…`
/// those of [`DEMO`] from the running pages that this one-time link leads to. Without it only this is tested: that there
/// is something to see.
#[test]
fn pictures_are_drawn_when_asked_for() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/pictures");
    let update = std::env::var("UPDATE_PICTURES").ok();
    let pages = Pages::with(fleet::write);
    let (mut places, go) = every_page(&pages);
    places.retain(|(name, _)| ["servers", "server", "job-running", "job-failed"].contains(name));
    let link = match update.as_deref().filter(|u| u.starts_with("http")) {
        Some(link) => {
            places = DEMO.map(|(name, path)| (name, path.to_owned())).to_vec();
            link.to_owned()
        }
        None => pages.link(),
    };
    let root = link.split("/?").next().unwrap().to_owned();
    browse(async |browser| {
        browser.driver.goto(&link).await?;
        for (name, path) in &places {
            for dark in [false, true] {
                browser.look(1100, dark).await?;
                browser.driver.goto(format!("{root}{path}")).await?;
                let png = browser.picture(1100, 1250).await?;
                assert!(png.len() > 10_000, "{name} is empty");
                if update.is_some() {
                    std::fs::create_dir_all(&dir).unwrap();
                    std::fs::write(dir.join(format!("{name}-{}.png", if dark { "dark" } else { "light" })), png)
                        .unwrap();
                }
            }
        }
        Ok(())
    });
    go.send(()).unwrap();
}

/// Waits until an element is there; the page may be loaded anew meanwhile.
async fn wait_for(driver: &WebDriver, css: &'static str) -> WebDriverResult<()> {
    let query = driver.query(By::Css(css)).wait(Duration::from_secs(30), Duration::from_millis(100));
    query.first().await.map(drop)
}
