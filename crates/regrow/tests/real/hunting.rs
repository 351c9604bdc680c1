//! The hunt for a culprit by clicks only: from a red check to the changeset that broke it, and to the draft without it.

use std::time::Duration;

use thirtyfour::prelude::*;

use crate::browser::{Browser, browse};
use crate::fleet::Real;
use crate::hunt::{Culprit, fleet, online};
use crate::one_at_a_time;
use crate::pages::{Served, for_everybody, text_of, wait_for};

/// Follows a link or presses a button, and waits until the page that it was on is gone.
async fn press(driver: &WebDriver, css: &str) -> WebDriverResult<()> {
    let old = driver.find(By::Css("html")).await?;
    let found = driver.query(By::Css(css)).wait(Duration::from_secs(30), Duration::from_millis(50)).first().await?;
    found.scroll_into_view().await?;
    found.click().await?;
    old.wait_until().wait(Duration::from_secs(30), Duration::from_millis(50)).stale().await
}

/// Waits for the answer of a hunt: some boots, a build and a trial.
async fn answer(driver: &WebDriver) -> WebDriverResult<()> {
    let found = driver.query(By::Css("#answer a.button, #answer form"));
    if let Err(e) = found.wait(Duration::from_secs(900), Duration::from_millis(100)).first().await {
        panic!("no answer: {e}\n{}", text_of(driver, "main").await?);
    }
    Ok(())
}

/// From the page of the server, where `check` is red, to the changeset that mends it. `healthy` says whether nothing else
/// is broken.
async fn hunt(
    browser: &Browser,
    real: &Real,
    served: &Served,
    (check, culprit): (&str, &Culprit),
    healthy: bool,
) -> WebDriverResult<()> {
    let driver = &browser.driver;
    driver.goto(served.url("/")).await?;
    press(driver, "main a[href='/server/web1']").await?;
    let link = format!("main table a[href^='/server/web1/hunt?check={check}&']");
    press(driver, &link).await?;
    let asked = driver.find(By::Css("input[name=what]:checked")).await?;
    assert_eq!(asked.attr("value").await?, Some(format!("check:{check}")), "the red check is chosen");
    press(driver, "form.ask button.main").await?;

    // While it goes on, one sees what is left.
    wait_for(driver, "#strip li").await?;
    assert_eq!(text_of(driver, "h1").await?, format!("What broke the check {check}"));
    assert!(!driver.find_all(By::Css("#strip li.open")).await?.is_empty(), "nothing is in question");
    wait_for(driver, "#judged tr").await?;
    answer(driver).await?;
    let page = text_of(driver, "main").await?;
    let name = format!("Change {}", culprit.number);
    assert!(text_of(driver, "#answer h2").await?.ends_with(&name), "{page}");
    assert!(text_of(driver, "#outcome").await?.contains(&format!("“{name}”")), "{page}");
    let link = format!("#answer h2 a[href='/changeset/{}']", culprit.commit);
    assert_eq!(driver.find_all(By::Css(link)).await?.len(), 1, "{page}");
    assert_eq!(driver.find_all(By::Css("#strip li.culprit")).await?.len(), 1, "{page}");
    assert!(page.contains(if healthy { "tried and healthy" } else { "mended, but not healthy" }), "{page}");
    for_everybody(browser, "a hunt that found its culprit").await?;
    browser.look(1280, false).await?;

    // The draft without it: it was tried, and is landed.
    press(driver, "#answer a.button[href^='/draft/']").await?;
    let page = text_of(driver, "main").await?;
    assert!(page.contains(if healthy { "trialled" } else { "trial failed" }), "{page}");
    let before = real.git(&["rev-parse", "HEAD"]);
    press(driver, "form[action$='/land'] button").await?;
    wait_for(driver, "form[action^='/changeset/']").await?;
    assert_eq!(real.git(&["rev-parse", "HEAD^"]), before, "one changeset landed");
    Ok(())
}

/// The newest revision's checks that do not pass.
fn failing(real: &Real, exit: i32) -> Vec<String> {
    let tried = real.json_with_exit(&["trial", "web1"], exit);
    let checks = tried["checks"].as_array().unwrap().iter().filter(|check| check["passed"] == false);
    checks.map(|check| check["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn culprits_among_a_hundred_changesets_are_found_and_taken_back_by_clicks_only() {
    let _one = one_at_a_time();
    // The second one takes minutes more.
    let both = std::env::var_os("REGROW_TEST_ALL").is_some();
    let (real, [page, database], before) = fleet(both);
    assert!(failing(&real, 1).contains(&"front".to_owned()));
    let bad = real.git(&["rev-parse", "HEAD"]).trim().to_owned();
    let served = Served::start(&real, "127.0.0.1:0");
    browse(async |browser| {
        browser.look(1280, false).await?;
        browser.driver.goto(&served.link).await?;
        hunt(&browser, &real, &served, ("front", &page), !both).await?;
        if both {
            assert!(!failing(&real, 1).contains(&"front".to_owned()), "the first one is mended");
            hunt(&browser, &real, &served, ("database", &database), true).await?;
        }
        Ok(())
    });
    assert!(real.http().unwrap().1.contains("grown from text"));
    assert_eq!(online(&real), before, "the online server was never touched");
    assert_eq!(failing(&real, 0), Vec::<String>::new(), "what was landed is healthy");

    // The command says the same, of what was learned by clicks.
    let again = real.json(&["bisect", "web1", "--check", "front", "--bad", &bad, "--no-proposal"]);
    assert_eq!((&again["culprit"], again["boots"].as_u64()), (&page.commit.into(), Some(0)), "{again:#}");
}
