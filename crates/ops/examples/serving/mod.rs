//! A running `regrow serve`, and a browser as simple as can be: what the programs that measure pages share.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Whatever went wrong, in words.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// A running `regrow serve`; it ends with this value.
#[derive(Debug)]
pub(crate) struct Serving {
    child: Child,
    /// Where it listens.
    pub(crate) address: String,
    link: String,
}

impl Serving {
    /// Starts it and waits until it says where it listens.
    pub(crate) fn start(regrow: &Path, fleet: &Path, home: &Path) -> Result<Serving, Error> {
        let child = Command::new(regrow)
            .args(["--fleet"])
            .arg(fleet)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .env("REGROW_HOME", home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let mut serving = Serving { child, address: String::new(), link: String::new() };
        let until = Instant::now() + Duration::from_secs(30);
        while Instant::now() < until {
            if let Ok(json) = std::fs::read(home.join("serve.json"))
                && let Ok(told) = serde_json::from_slice::<serde_json::Value>(&json)
            {
                serving.address = told["address"].as_str().unwrap_or_default().to_owned();
                serving.link = told["link"].as_str().unwrap_or_default().to_owned();
                return Ok(serving);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err("regrow serve did not begin to answer".into())
    }

    /// Opens the one-time link; the session's cookie.
    pub(crate) fn sign_in(&self) -> Result<String, Error> {
        let path = self.link.split_once(&self.address).map(|(_, path)| path).ok_or("a strange link")?;
        let mut connection = Connection::open(&self.address)?;
        let answer = connection.get(path, "")?;
        answer.cookies.into_iter().next().ok_or_else(|| "no session".into())
    }

    /// Megabytes resident now, and at most so far.
    #[allow(dead_code, reason = "not every program asks")]
    pub(crate) fn memory(&self) -> Result<(f64, f64), Error> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let of = |name: &str| -> Option<f64> {
            let line = status.lines().find_map(|l| l.strip_prefix(name))?;
            Some(line.split_whitespace().next()?.parse::<f64>().ok()? * 1024.0 / 1e6)
        };
        Ok((of("VmRSS:").ok_or("no VmRSS")?, of("VmHWM:").ok_or("no VmHWM")?))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One connection that stays open.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    host: String,
}

/// What the server answers.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: u16,
    /// Where a form leads to.
    #[allow(dead_code, reason = "not every program asks")]
    pub(crate) location: Option<String>,
    /// The cookies that it sets, as they are sent back.
    pub(crate) cookies: Vec<String>,
    /// The page.
    pub(crate) body: Vec<u8>,
}

impl Connection {
    /// Opens one.
    pub(crate) fn open(address: &str) -> Result<Connection, Error> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Connection { stream: BufReader::new(stream), host: address.to_owned() })
    }

    /// Asks for a page.
    pub(crate) fn get(&mut self, path: &str, cookie: &str) -> Result<Answer, Error> {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\nCookie: {cookie}\r\n\r\n", self.host))?;
        self.answer()
    }

    /// Sends a form, encoded already.
    #[allow(dead_code, reason = "not every program asks")]
    pub(crate) fn post(&mut self, path: &str, cookie: &str, form: &str) -> Result<Answer, Error> {
        let kind = "application/x-www-form-urlencoded";
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nCookie: {cookie}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{form}",
            self.host,
            form.len()
        ))?;
        self.answer()
    }

    /// Follows a stream of events to its end, which ends the connection, too.
    #[allow(dead_code, reason = "not every program asks")]
    pub(crate) fn follow(mut self, path: &str, cookie: &str) -> Result<(), Error> {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\nCookie: {cookie}\r\n\r\n", self.host))?;
        let mut line = String::new();
        while self.stream.read_line(&mut line)? > 0 {
            if line.trim_end() == "event: end" {
                return Ok(());
            }
            line.clear();
        }
        Err(format!("the events of {path} broke off").into())
    }

    fn send(&mut self, request: &str) -> Result<(), Error> {
        Ok(self.stream.get_mut().write_all(request.as_bytes())?)
    }

    fn answer(&mut self) -> Result<Answer, Error> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or("no status")?;
        let mut answer = Answer { status, location: None, cookies: Vec::new(), body: Vec::new() };
        let mut length = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            let value = value.trim();
            match &*name.to_ascii_lowercase() {
                "content-length" => length = value.parse()?,
                "location" => answer.location = Some(value.to_owned()),
                "set-cookie" => answer.cookies.extend(value.split(';').next().map(str::to_owned)),
                _ => {}
            }
        }
        answer.body.resize(length, 0);
        self.stream.read_exact(&mut answer.body)?;
        Ok(answer)
    }
}
