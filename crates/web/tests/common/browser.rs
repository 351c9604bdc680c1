//! A real browser without a window, driven through chromedriver; both end with the test.

use std::future::Future;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::process::{Child, Command, Stdio};

use futures_util::FutureExt;
use serde_json::json;
use thirtyfour::prelude::*;

const HOW: &str =
    "the browser tests need Chromium and its driver: install the Debian packages chromium and chromium-driver";

/// chromedriver on a free port, and every process it starts.
struct Driver {
    child: Child,
    port: u16,
}

impl Driver {
    fn start() -> Driver {
        let mut command = Command::new("chromedriver");
        // Its own process group, so that no browser outlives it.
        command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{HOW} (chromedriver: {e})"));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.map_while(Result::ok).find_map(|line| {
            line.strip_prefix("ChromeDriver was started successfully on port ")?.trim_end_matches('.').parse().ok()
        });
        Driver { child, port: port.unwrap_or_else(|| panic!("chromedriver ended without saying its port; {HOW}")) }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(group) = rustix::process::Pid::from_raw(self.child.id() as i32) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// A browser.
pub(crate) struct Browser {
    pub(crate) driver: WebDriver,
}

/// Runs a test with a fresh browser that has seen nothing.
pub(crate) fn browse<F: Future<Output = WebDriverResult<()>>>(test: impl FnOnce(Browser) -> F) {
    let profile = tempfile::tempdir().unwrap();
    let chromedriver = Driver::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut caps = DesiredCapabilities::chrome();
        for flag in [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            &format!("--user-data-dir={}", profile.path().display()),
        ] {
            caps.add_arg(flag).unwrap();
        }
        caps.set_binary("/usr/bin/chromium").unwrap();
        let driver = WebDriver::new(format!("http://127.0.0.1:{}", chromedriver.port), caps).await;
        let driver = driver.unwrap_or_else(|e| panic!("no browser came up: {e}; {HOW}"));

        // Also after a failed assertion the browser ends in order: an abandoned one is waited for, for minutes.
        let outcome = AssertUnwindSafe(test(Browser { driver: driver.clone() })).catch_unwind().await;
        let _ = driver.quit().await;
        match outcome {
            Ok(outcome) => outcome.unwrap(),
            Err(panic) => resume_unwind(panic),
        }
    });
}

impl Browser {
    /// Looks like a screen of this width, light or dark.
    pub(crate) async fn look(&self, width: u32, dark: bool) -> WebDriverResult<()> {
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.driver.cdp().send_raw("Emulation.setEmulatedMedia", media).await?;
        let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.driver.cdp().send_raw("Emulation.setDeviceMetricsOverride", size).await?;
        Ok(())
    }

    /// From here on each page keeps what its policy forbids and what its scripts fail with: see [`Browser::faults`].
    pub(crate) async fn watch(&self) -> WebDriverResult<()> {
        let source = "window.faults = [];
            document.addEventListener('securitypolicyviolation', (e) => faults.push(`policy: ${e.violatedDirective} ${e.blockedURI} ${e.sample}`));
            addEventListener('error', (e) => faults.push(`script: ${e.message}`));
            addEventListener('unhandledrejection', (e) => faults.push(`script: ${e.reason}`));
            window.shift = 0;
            new PerformanceObserver((list) => { for (const e of list.getEntries()) if (!e.hadRecentInput) shift += e.value; })
                .observe({type: 'layout-shift', buffered: true});";
        self.driver.cdp().send_raw("Page.addScriptToEvaluateOnNewDocument", json!({"source": source})).await?;
        Ok(())
    }

    /// What is wrong with the page as loaded: what its policy forbade, its scripts failed with, was loaded from elsewhere,
    /// is too large, moved by itself, or lies outside of the window.
    pub(crate) async fn faults(&self, width: u32) -> WebDriverResult<Vec<String>> {
        let script = "const found = [...(window.faults ?? ['not watched'])];
            const loaded = performance.getEntriesByType('resource').filter((r) => !r.name.endsWith('/events') && !r.name.includes('/events?'));
            for (const r of loaded) if (!r.name.startsWith(location.origin + '/')) found.push(`from elsewhere: ${r.name}`);
            const assets = loaded.filter((r) => r.name.includes('/assets/')).reduce((sum, r) => sum + r.decodedBodySize, 0);
            if (assets > 60 * 1024) found.push(`${assets} bytes of assets`);
            if (shift > 0.01) found.push(`moves by itself: ${shift}`);
            const wide = document.documentElement.scrollWidth;
            if (wide > arguments[0]) found.push(`${wide} pixels wide: ` + [...document.querySelectorAll('main *, header *')]
                .filter((e) => e.getBoundingClientRect().right > arguments[0] + 1).slice(0, 3).map((e) => e.outerHTML.slice(0, 120)).join(' | '));
            if (document.querySelectorAll('h1').length !== 1) found.push('not one heading');
            if (!document.title.endsWith('Regrow')) found.push(`title: ${document.title}`);
            if (document.querySelectorAll('[style], style, script:not([src])').length) found.push('inline style or script');
            const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
            for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) { found.push(`twice the id ${id}`); break; }
            return found;";
        let found = self.driver.execute(script, vec![json!(width)]).await?;
        Ok(serde_json::from_value(found.json().clone()).unwrap())
    }

    /// Sends keys to whatever has the focus.
    pub(crate) async fn press(&self, keys: impl IntoIterator<Item = char>) -> WebDriverResult<()> {
        // All at once: keys that belong together must not be held up in between by a busy machine.
        self.driver.action_chain().send_keys(keys.into_iter().collect::<String>()).perform().await
    }

    /// Waits until an expression on the page is true; the page may be loaded anew meanwhile.
    pub(crate) async fn until(&self, expression: &str) -> WebDriverResult<()> {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
        loop {
            // While a page goes, its questions have no answer.
            if self.ask(expression).await.is_ok_and(|v| v == true) {
                return Ok(());
            }
            let where_ = self.driver.current_url().await?;
            assert!(std::time::Instant::now() < end, "never true at {where_}: {expression}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// No page may run a script from here on.
    pub(crate) async fn forbid_scripts(&self) -> WebDriverResult<()> {
        self.driver.cdp().send_raw("Emulation.setScriptExecutionDisabled", json!({"value": true})).await?;
        Ok(())
    }

    /// The value of an expression on the page.
    pub(crate) async fn ask(&self, expression: &str) -> WebDriverResult<serde_json::Value> {
        Ok(self.driver.execute(format!("return ({expression})"), vec![]).await?.json().clone())
    }

    /// What axe finds wrong with the page: rule, element, why. Empty is good.
    pub(crate) async fn mistakes(&self) -> WebDriverResult<Vec<String>> {
        if self.ask("typeof axe").await? != "object" {
            self.driver.execute(include_str!("../vendor/axe.min.js"), vec![]).await?;
        }
        let script = "const done = arguments[arguments.length - 1];
            axe.run(document, {resultTypes: ['violations'], rules: {'target-size': {enabled: true}}}).then(
                (r) => done(r.violations.flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.html}: ${n.failureSummary}`))),
                (e) => done([String(e)]));";
        let found = self.driver.execute_async(script, vec![]).await?;
        Ok(serde_json::from_value(found.json().clone()).unwrap())
    }

    /// A picture of the page, `height` pixels high at most.
    pub(crate) async fn picture(&self, width: u32, most: u32) -> WebDriverResult<Vec<u8>> {
        let height = self
            .ask("Math.ceil(document.body.getBoundingClientRect().height)")
            .await?
            .as_u64()
            .unwrap_or(900)
            .min(most.into());
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 2, "mobile": false});
        self.driver.cdp().send_raw("Emulation.setDeviceMetricsOverride", size).await?;
        self.driver.screenshot_as_png().await
    }
}
