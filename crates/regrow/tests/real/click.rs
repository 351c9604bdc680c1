//! The first changes of somebody who clicks while an editor is open on the same file: the whole way in a real browser,
//! on real packages, with git as the witness that nothing but the intended lines ever changed.

use std::time::Duration;

use thirtyfour::prelude::*;

use crate::browser::{Browser, browse};
use crate::fleet::Real;
use crate::one_at_a_time;
use crate::pages::{Served, for_everybody, text_of, wait_for};

/// Lines that a text lost and won, in its order, without context.
#[derive(Debug, Default, PartialEq)]
struct Lines {
    gone: Vec<String>,
    new: Vec<String>,
}

impl Lines {
    fn new(gone: &[&str], new: &[&str]) -> Lines {
        let owned = |lines: &[&str]| lines.iter().map(|&l| l.to_owned()).collect();
        Lines { gone: owned(gone), new: owned(new) }
    }
}

/// What git says differs in `server.toml`; `range` is what `git diff` takes.
fn differs(real: &Real, range: &[&str]) -> Lines {
    let mut args = vec!["diff", "--no-color", "--no-ext-diff", "--unified=0"];
    args.extend(range);
    args.extend(["--", "servers/web1/server.toml"]);
    let mut lines = Lines::default();
    for line in real.git(&args).lines().filter(|l| !l.starts_with("---") && !l.starts_with("+++")) {
        if let Some(gone) = line.strip_prefix('-') {
            lines.gone.push(gone.to_owned());
        } else if let Some(new) = line.strip_prefix('+') {
            lines.new.push(new.to_owned());
        }
    }
    lines
}

/// Replaces parts of web1's text as an editor does: a new file beside it, then renamed into its place.
fn by_hand(real: &Real, replacements: &[(&str, &str)]) {
    let path = real.text("server.toml");
    let mut text = std::fs::read_to_string(&path).unwrap();
    for (old, new) in replacements {
        assert_eq!(text.matches(old).count(), 1, "{old:?} in {text}");
        text = text.replace(old, new);
    }
    let beside = real.text(".server.toml.swp");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(&beside, &path).unwrap();
}

/// Types over what a field holds.
async fn fill(driver: &WebDriver, css: &str, value: &str) -> WebDriverResult<()> {
    let field = driver.find(By::Css(css)).await?;
    field.clear().await?;
    field.send_keys(value).await
}

async fn press(driver: &WebDriver, css: &str) -> WebDriverResult<()> {
    let button = driver.find(By::Css(css)).await?;
    button.scroll_into_view().await?;
    button.click().await
}

/// Lands the draft that is shown, as one changeset.
async fn land(driver: &WebDriver, message: &str) -> WebDriverResult<()> {
    fill(driver, "#message", message).await?;
    press(driver, "form[action$='/land'] button").await?;
    let done = driver.query(By::Css("form[action$='/land']")).wait(Duration::from_secs(30), Duration::from_millis(50));
    done.not_exists().await?;
    Ok(())
}

/// Presses Switch and waits for its end.
async fn switch(browser: &Browser, served: &Served, mark: &'static str) -> WebDriverResult<()> {
    let driver = &browser.driver;
    driver.goto(served.url("/server/web1/switch")).await?;
    press(driver, "form[action$='/switch'] button").await?;
    wait_for(driver, mark).await
}

#[test]
fn what_is_clicked_and_what_is_typed_both_become_the_server_and_neither_breaks_the_other() {
    let _one = one_at_a_time();
    let real = Real::new();
    // A server with PostgreSQL alone.
    let front = "[checks.front]\nhttp   = \"http://localhost/\"\nstatus = 200\nbody   = \"grown from text\"\n\n";
    let published = format!("publish = [\"127.0.0.1:{}:80\"]\n", real.port);
    by_hand(
        &real,
        &[
            ("nginx      = \"*\"\n", ""),
            ("[services.nginx]\nenabled = true\n\n", ""),
            (&published, ""),
            (front, ""),
            ("\n[checks.nginx]\nunit = \"nginx\"\n", ""),
        ],
    );
    real.commit("PostgreSQL alone");
    real.json(&["lock", "web1"]);

    let served = Served::start(&real, "127.0.0.1:0");
    browse(async |browser| {
        let driver = &browser.driver;
        browser.look(1280, false).await?;
        driver.goto(&served.link).await?;

        // nginx from the catalog, on a port of this machine.
        driver.goto(served.url("/add/web1")).await?;
        driver.find(By::Css("a[href='/add/web1/nginx']")).await?.click().await?;
        fill(driver, "[name='a:publish.80']", "127.0.0.1:1").await?;
        press(driver, "#add button.main").await?;
        wait_for(driver, "aside.banner").await?;

        // Another port by the form, while an editor changes a key and a comment of the same file.
        driver.goto(served.url("/server/web1/network/-")).await?;
        by_hand(
            &real,
            &[
                ("comment = \"Alice Example\"", "comment = \"Alice Liddell\""),
                ("# A person. Ids are given once", "# The one who is called at night. Ids are given once"),
            ],
        );
        let hand = differs(&real, &[]);
        assert_eq!(hand.gone.len(), 2, "{hand:?}");
        fill(driver, "[name='f:network.publish']", &format!("127.0.0.1:{}:80", real.port)).await?;
        press(driver, "form.object .save button.main").await?;
        wait_for(driver, "aside.banner").await?;

        // The preview says it in words, and as text exactly what was clicked; the build starts by itself.
        driver.find(By::Css("aside.banner a[href^='/draft/']")).await?.click().await?;
        wait_for(driver, "#words li").await?;
        let draft = driver.current_url().await?.path().rsplit('/').next().unwrap().to_owned();
        let clicked = differs(&real, &["main", &format!("refs/regrow/drafts/{draft}")]);
        let publish = format!("publish = [\"127.0.0.1:{}:80\"]", real.port);
        assert_eq!(clicked.gone, Vec::<String>::new());
        for line in ["nginx = \"*\"", "[services.nginx]", "enabled = true", "[checks.nginx]", &publish] {
            assert!(clicked.new.iter().any(|l| l == line), "{line} is not in {clicked:?}");
        }
        assert!(text_of(driver, "#words").await?.contains("nginx"));
        let shown = browser.ask("document.querySelector('#text').textContent").await?;
        for line in &clicked.new {
            assert!(shown.as_str().unwrap().contains(&format!("+{line}")), "{line} is not in {shown}");
        }
        for_everybody(&browser, "a draft with its preview").await?;
        browser.look(1280, false).await?;
        press(driver, "form[action$='/try'] button").await?;
        wait_for(driver, "#outcome .good").await?;

        // It lands without the hand edits, and the hand edits stay.
        driver.goto(served.url(&format!("/draft/{draft}"))).await?;
        land(driver, "Serve the front page with nginx").await?;
        assert_eq!(differs(&real, &["HEAD^", "HEAD"]), clicked, "landed is what was shown");
        assert_eq!(differs(&real, &[]), hand, "the edits on disk are as they were");

        // The hand edits are the first of the drafts.
        driver.goto(served.url("/drafts")).await?;
        driver.find(By::Css("main a[href='/draft/disk']")).await?.click().await?;
        land(driver, "Say who is called at night").await?;
        assert_eq!(differs(&real, &["HEAD^", "HEAD"]), hand);
        assert_eq!(differs(&real, &[]), Lines::default());

        switch(&browser, &served, "#outcome .good").await?;
        assert_eq!(real.http().unwrap().0, 200);
        let good = real.status()["running"]["revision"].as_str().unwrap().to_owned();

        // A check that cannot pass: it goes back by itself, and is held.
        driver.goto(served.url("/server/web1/checks/nginx")).await?;
        fill(driver, "[name='f:checks.nginx.status']", "500").await?;
        fill(driver, "[name='f:checks.nginx.timeout']", "3").await?;
        press(driver, "form.object .save button.main").await?;
        wait_for(driver, "aside.banner").await?;
        driver.find(By::Css("aside.banner a[href^='/draft/']")).await?.click().await?;
        land(driver, "Expect the impossible").await?;
        assert_eq!(differs(&real, &["HEAD^", "HEAD"]), Lines::new(&["status = 200"], &["status = 500", "timeout = 3"]));
        switch(&browser, &served, "#outcome .bad").await?;
        driver.refresh().await?;
        let page = text_of(driver, "main").await?;
        assert!(page.contains("Held") && page.contains("500"), "{page}");
        assert_eq!(real.status()["running"]["revision"], *good);
        assert_eq!(real.http().unwrap().0, 200, "the old one answers");

        // Taken back by a changeset of its own; then it is well again.
        press(driver, "#after form[action$='/revert'] button").await?;
        wait_for(driver, "#message").await?;
        press(driver, "form[action$='/land'] button").await?;
        let landed = driver.query(By::Css("form[action$='/land']"));
        landed.wait(Duration::from_secs(30), Duration::from_millis(50)).not_exists().await?;
        assert_eq!(differs(&real, &["HEAD~2", "HEAD"]), Lines::default(), "every byte is back");
        switch(&browser, &served, "#outcome .good").await?;
        assert_ne!(real.status()["running"]["revision"], *good);
        assert!(real.status()["running"]["revision"].is_string());
        Ok(())
    });
}
