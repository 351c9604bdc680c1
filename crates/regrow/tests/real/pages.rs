//! The pages on real packages: in a real browser, and across a kill of `regrow serve`.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;
use thirtyfour::prelude::*;

use crate::browser::{Browser, browse};
use crate::fleet::Real;
use crate::one_at_a_time;

/// `regrow serve` in a process of its own; killed when dropped.
pub(crate) struct Served {
    child: Child,
    address: SocketAddr,
    pub(crate) link: String,
}

impl Served {
    pub(crate) fn start(real: &Real, listen: &str) -> Served {
        let mut command = real.command(&["--json", "serve", "--listen", listen]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        let link = said["link"].as_str().unwrap().to_owned();
        Served { child, address: said["address"].as_str().unwrap().parse().unwrap(), link }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn send(&self, request: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        BufReader::new(stream)
    }

    /// GET without chunks: the whole answer, or a stream of lines.
    fn get(&self, path: &str, headers: &str) -> BufReader<TcpStream> {
        self.send(&format!("GET {path} HTTP/1.0\r\nHost: {}\r\n{headers}\r\n", self.address))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn whole(mut answer: BufReader<TcpStream>) -> String {
    let mut text = String::new();
    answer.read_to_string(&mut text).unwrap();
    text
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("no {before:?} in {text}")).1;
    rest.split_once(after).map_or(rest, |(found, _)| found)
}

/// What a stream told: the numbers of its events, and the rows that came with them.
#[derive(Debug, Default)]
struct Told {
    numbers: Vec<i64>,
    rows: BTreeSet<String>,
    ended: bool,
}

impl Told {
    /// Reads to the end, or until `enough` numbers came.
    fn read(&mut self, lines: impl Iterator<Item = std::io::Result<String>>, enough: usize) {
        let mut waiting = Vec::new();
        for line in lines {
            // A stream whose program was killed just ends.
            let Ok(line) = line else { return };
            if let Some(id) = line.strip_prefix("id: ") {
                self.numbers.push(id.parse().unwrap());
            }
            if line.contains("id=\"step-") {
                waiting.push(between(&line, "id=\"", "\"").to_owned());
            }
            self.ended |= line == "event: end";
            // An event counts when it is whole: a browser drops the others.
            if line.is_empty() {
                self.rows.extend(waiting.drain(..));
                if self.numbers.len() >= enough {
                    return;
                }
            }
        }
    }
}

#[test]
fn a_job_goes_on_when_the_pages_are_killed_and_is_followed_from_the_last_event() {
    let _one = one_at_a_time();
    let real = Real::locked();
    let served = Served::start(&real, "127.0.0.1:0");
    let path = served.link[served.link.find("/?").unwrap()..].to_owned();
    let cookie = between(&whole(served.get(&path, "")), "set-cookie: ", ";").to_owned();
    let cookie = format!("Cookie: {cookie}\r\n");
    let page = whole(served.get("/server/web1", &cookie));
    let field = |name: &str| between(&page, &format!("name=\"{name}\" value=\""), "\"").to_owned();
    let form = format!("session={}&once={}", field("session"), field("once"));
    let answer = whole(served.send(&format!(
        "POST /server/web1/build HTTP/1.0\r\nHost: {}\r\n{cookie}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        served.address,
        form.len()
    )));
    let job = between(&answer, "location: ", "\r\n").to_owned();

    let mut told = Told::default();
    told.read(served.get(&format!("{job}/events?after=0"), &cookie).lines(), 2);
    assert!(!told.ended, "the build must take longer than its first events");
    let address = served.address.to_string();
    // kill -9.
    drop(served);

    let served = Served::start(&real, &address);
    let last = told.numbers.last().copied().unwrap();
    let resumed = format!("{cookie}Last-Event-ID: {last}\r\n");
    told.read(served.get(&format!("{job}/events?after=0"), &resumed).lines(), usize::MAX);
    assert!(told.ended, "{told:?}");
    let mut once = told.numbers.clone();
    // The end repeats the number of the last event.
    once.pop();
    assert!(once.windows(2).all(|w| w[0] < w[1]), "an event was told twice: {:?}", told.numbers);
    let page = whole(served.get(&job, &cookie));
    assert!(page.contains("Built"), "{page}");
    let rows: BTreeSet<String> =
        page.split("id=\"step-").skip(1).map(|r| format!("step-{}", r.split('"').next().unwrap())).collect();
    assert_eq!(told.rows, rows, "an event was lost");
    assert!(rows.len() > 1, "{page}");
}

#[test]
fn a_job_is_stopped_by_its_button_and_leaves_nothing() {
    let _one = one_at_a_time();
    let real = Real::locked();
    let served = Served::start(&real, "127.0.0.1:0");
    browse(async |browser| {
        let driver = &browser.driver;
        driver.goto(&served.link).await?;
        driver.goto(served.url("/server/web1")).await?;
        driver.find(By::Css("button[value=build]")).await?.click().await?;
        wait_for(driver, "#steps tr").await?;
        driver.find(By::Css("#stop button")).await?.click().await?;
        wait_for(driver, "#outcome .bad").await?;
        let text = driver.find(By::Id("outcome")).await?.text().await?;
        assert!(text.contains("Interrupted"), "{text}");
        Ok(())
    });
    assert_eq!(real.json(&["build", "web1"])["server"], "web1", "the server is free again");
    // The locks of layers stay: they are names, not work.
    let left: Vec<_> =
        std::fs::read_dir(real.home().join("scratch")).unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(left.iter().all(|name| name == "layer-locks"), "{left:?}");
}

/// Waits until an element is there; the page may be loaded anew meanwhile. If it does not come, the page is told.
pub(crate) async fn wait_for(driver: &WebDriver, css: &'static str) -> WebDriverResult<()> {
    let query = driver.query(By::Css(css)).wait(Duration::from_secs(180), Duration::from_millis(50));
    if let Err(e) = query.first().await {
        panic!("no {css} on {}: {e}\n{}", driver.current_url().await?, text_of(driver, "main").await?);
    }
    Ok(())
}

pub(crate) async fn text_of(driver: &WebDriver, css: &'static str) -> WebDriverResult<String> {
    driver.find(By::Css(css)).await?.text().await
}

/// No mistake of accessibility in any look of the page that is shown.
pub(crate) async fn for_everybody(browser: &Browser, what: &str) -> WebDriverResult<()> {
    for (width, dark) in [(320, true), (320, false), (1280, true), (1280, false)] {
        browser.look(width, dark).await?;
        let mistakes = browser.mistakes().await?;
        assert!(mistakes.is_empty(), "{what} at {width}, dark {dark}: {}", mistakes.join("\n"));
        let wide = browser.ask("document.documentElement.scrollWidth").await?.as_u64().unwrap();
        assert!(wide <= width.into(), "{what}: {wide} pixels wide at {width}");
    }
    Ok(())
}

/// How much the page has moved by itself since it was loaded (the browser's own measure; 0.1 counts as good).
async fn moved(driver: &WebDriver) -> WebDriverResult<f64> {
    let script = "const done = arguments[arguments.length - 1]; let sum = 0;
        const seen = (list) => { for (const e of list.getEntries()) if (!e.hadRecentInput) sum += e.value; };
        new PerformanceObserver(seen).observe({type: 'layout-shift', buffered: true});
        setTimeout(() => done(sum), 100);";
    Ok(driver.execute_async(script, vec![]).await?.json().as_f64().unwrap())
}

#[test]
fn the_buttons_build_try_switch_send_back_keep_and_roll_back_a_real_server() {
    let _one = one_at_a_time();
    let real = Real::locked();
    let served = Served::start(&real, "127.0.0.1:0");
    browse(async |browser| {
        let driver = &browser.driver;
        driver.goto(&served.link).await?;
        browser.look(1280, false).await?;

        driver.goto(served.url("/server/web1")).await?;
        driver.find(By::Css("button[value=build]")).await?.click().await?;
        wait_for(driver, "#outcome .good").await?;

        // A trial: the console while it boots, checks as they tick, and its own pages.
        driver.goto(served.url("/server/web1/trial")).await?;
        driver.find(By::Css("form[action$='/trial'] button")).await?.click().await?;
        wait_for(driver, "#ticks tr:nth-child(3)").await?;
        assert!(text_of(driver, "#countdown").await?.contains("checks passed"));
        wait_for(driver, "#outcome .good").await?;
        assert!(moved(driver).await? < 0.1, "the page moved while progress streamed: {}", moved(driver).await?);
        assert!(text_of(driver, "#console").await?.contains("systemd"), "{}", text_of(driver, "#console").await?);
        wait_for(driver, "#kept .good, #kept.good, .notice.good").await?;
        let link = driver.find(By::Css("#kept a")).await?.attr("href").await?.unwrap();
        assert!(http(&link).contains("grown from text"), "{link}");
        driver.refresh().await?;
        for_everybody(&browser, "a kept trial").await?;
        driver.find(By::Css("form[action$='/trial/end'] button")).await?.click().await?;
        driver.query(By::Css("#kept a")).wait(Duration::from_secs(20), Duration::from_millis(50)).not_exists().await?;
        assert!(TcpStream::connect(address_of(&link)).is_err(), "its port is closed");

        // A switch that is well.
        driver.goto(served.url("/server/web1/switch")).await?;
        for_everybody(&browser, "before a switch").await?;
        driver.find(By::Css("form[action$='/switch'] button")).await?.click().await?;
        wait_for(driver, "#outcome .good").await?;
        assert!(moved(driver).await? < 0.1, "the page moved while progress streamed: {}", moved(driver).await?);
        assert!(real.http().unwrap().1.contains("grown from text"));
        let first = real.status()["running"]["revision"].as_str().unwrap().to_owned();

        // One whose check never passes: sent back, and held.
        real.json(&["set", "web1", "checks.front.status", "500", "-m", "expect the impossible"]);
        driver.goto(served.url("/server/web1/switch")).await?;
        driver.find(By::Css("form[action$='/switch'] button")).await?.click().await?;
        wait_for(driver, "form[action$='/go-back'] button:enabled").await?;
        wait_for(driver, "#countdown [data-left]").await?;
        for_everybody(&browser, "a switch that is being judged").await?;
        driver.find(By::Css("form[action$='/go-back'] button")).await?.click().await?;
        wait_for(driver, "#outcome .bad").await?;
        driver.refresh().await?;
        let page = text_of(driver, "main").await?;
        assert!(page.contains("Held") && page.contains("sent back by"), "{page}");
        assert!(page.contains("Try again") && page.contains("Revert"), "{page}");
        for_everybody(&browser, "a held revision").await?;
        assert_eq!(real.status()["running"]["revision"], *first);

        // The same again, and kept by a person's word.
        driver.find(By::Css("form[action$='/switch'] button")).await?.click().await?;
        wait_for(driver, "form[action$='/keep'] button:enabled").await?;
        driver.find(By::Css("form[action$='/keep'] button")).await?.click().await?;
        wait_for(driver, "#outcome .good").await?;
        assert!(text_of(driver, "#outcome").await?.contains("ept by"), "{}", text_of(driver, "#outcome").await?);
        assert_ne!(real.status()["running"]["revision"], *first);

        driver.refresh().await?;
        driver.find(By::Css("form[action$='/rollback'] button")).await?.click().await?;
        wait_for(driver, "#outcome .good").await?;
        assert_eq!(real.status()["running"]["revision"], *first);
        Ok(())
    });
}

fn address_of(url: &str) -> SocketAddr {
    url.trim_start_matches("http://").trim_end_matches('/').parse().unwrap()
}

fn http(url: &str) -> String {
    let mut stream = TcpStream::connect(address_of(url)).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
    whole(BufReader::new(stream))
}
