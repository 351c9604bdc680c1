//! "A first change in five minutes" of README.md, done by its own words: a person who has read nothing else looks for
//! the bold words on the page and presses what bears them.

use std::time::Duration;

use thirtyfour::prelude::*;

use crate::browser::browse;
use crate::fleet::Real;
use crate::one_at_a_time;
use crate::pages::{Served, text_of, wait_for};

/// The section, as it is read.
fn section() -> &'static str {
    let readme = include_str!("../../../../README.md");
    let rest = readme.split_once("## A first change in five minutes").expect("the section").1;
    rest.split_once("\n## ").expect("the next section").0
}

/// The bold words in their order, each once.
fn bold() -> Vec<&'static str> {
    let mut words: Vec<&str> = Vec::new();
    for word in section().split("**").skip(1).step_by(2) {
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

/// The first link or button that bears these words, alone or with more after them ("Switch to 1a2b3c").
async fn named(driver: &WebDriver, words: &str) -> WebDriverResult<WebElement> {
    let bears = format!("normalize-space()='{words}' or starts-with(normalize-space(), '{words} ')");
    let path = format!("//main//*[self::a or self::button][{bears}]|//aside//a[{bears}]");
    driver.query(By::XPath(path)).wait(Duration::from_secs(30), Duration::from_millis(50)).first().await
}

async fn press(driver: &WebDriver, words: &str) -> WebDriverResult<()> {
    assert!(section().contains(words), "the README does not speak of {words:?}");
    let found = match named(driver, words).await {
        Ok(found) => found,
        Err(e) => panic!("no {words:?} on {}: {e}\n{}", driver.current_url().await?, text_of(driver, "main").await?),
    };
    found.scroll_into_view().await?;
    found.click().await
}

/// Types into the field that bears this label.
async fn fill(driver: &WebDriver, label: &str, value: &str) -> WebDriverResult<()> {
    let path = format!("//label[starts-with(normalize-space(), '{label}')]");
    let label = driver.query(By::XPath(path)).wait(Duration::from_secs(30), Duration::from_millis(50)).first().await?;
    let field = driver.find(By::Id(label.attr("for").await?.expect("a label is for a field"))).await?;
    field.clear().await?;
    field.send_keys(value).await
}

#[test]
fn the_first_change_goes_as_the_readme_tells_it() {
    let _one = one_at_a_time();
    let real = Real::locked();
    real.json(&["switch", "web1"]);
    let served = Served::start(&real, "127.0.0.1:0");
    let bold = bold();
    let [save, preview, try_it, land, switch, revert, _add] = bold[..] else { panic!("other bold words: {bold:?}") };
    browse(async |browser| {
        let driver = &browser.driver;
        browser.look(1280, false).await?;
        driver.goto(&served.link).await?;
        press(driver, "web1").await?;
        let page = text_of(driver, "main").await?;
        assert!(page.contains("What web1 is made of") && section().contains("What web1 is made of"), "{page}");
        press(driver, "/etc/motd").await?;
        fill(driver, "content", "Grown by a newcomer.").await?;
        press(driver, save).await?;
        wait_for(driver, "aside.banner").await?;
        assert_eq!(real.git(&["status", "--porcelain"]), "", "the file of the fleet has not changed yet");

        press(driver, preview).await?;
        for layer in ["#words", "#effects", "#keys", "#text"] {
            wait_for(driver, layer).await?;
        }
        let draft = driver.current_url().await?;
        press(driver, try_it).await?;
        wait_for(driver, "#ticks tr").await?;
        wait_for(driver, "#outcome .good").await?;
        wait_for(driver, "#kept a").await?;

        driver.goto(draft.as_str()).await?;
        fill(driver, "What the change is for", "Greet with another line").await?;
        press(driver, land).await?;
        driver.goto(served.url("/")).await?;
        press(driver, "web1").await?;
        press(driver, switch).await?;
        wait_for(driver, "#outcome .good").await?;
        let motd = real.ok(&["exec", "web1", "--", "cat", "/etc/motd"]);
        assert_eq!(motd.trim_end(), "Grown by a newcomer.");
        let good = real.status()["running"]["revision"].as_str().unwrap().to_owned();

        // Now break it, and watch it not break.
        driver.goto(served.url("/")).await?;
        press(driver, "web1").await?;
        press(driver, "front").await?;
        fill(driver, "status", "500").await?;
        fill(driver, "timeout", "5").await?;
        press(driver, save).await?;
        press(driver, preview).await?;
        fill(driver, "What the change is for", "Break it").await?;
        press(driver, land).await?;
        driver.goto(served.url("/")).await?;
        press(driver, "web1").await?;
        press(driver, switch).await?;
        wait_for(driver, "#outcome .bad").await?;
        driver.refresh().await?;
        let page = text_of(driver, "main").await?;
        assert!(page.contains("Held") && page.contains("500"), "{page}");
        assert_eq!(real.http().unwrap().0, 200, "the old image answers on");
        assert_eq!(real.status()["running"]["revision"], *good);

        press(driver, revert).await?;
        press(driver, land).await?;
        driver.goto(served.url("/")).await?;
        press(driver, "web1").await?;
        press(driver, switch).await?;
        wait_for(driver, "#outcome .good").await?;
        assert_ne!(real.status()["running"]["revision"], *good);
        Ok(())
    });
}
