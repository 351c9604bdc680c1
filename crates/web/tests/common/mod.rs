//! The pages as they run for a person, on a free port, with a home of their own; and a client that sends exactly what it is told.
#![allow(dead_code, reason = "each test program uses its part")]

pub(crate) mod browser;
pub(crate) mod fleet;
pub(crate) mod images;
pub(crate) mod work;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use regrow_ops::context::{Clock, Context, Setup};
use regrow_web::{Serve, Serving};

/// Running pages. They answer until the test program ends.
pub(crate) struct Pages {
    dir: tempfile::TempDir,
    pub(crate) ctx: Context,
    pub(crate) serving: Serving,
}

/// A context with this fleet and this home.
pub(crate) fn context(fleet: &Path, home: &Path) -> Context {
    Context::new(setup(fleet, home))
}

fn setup(fleet: &Path, home: &Path) -> Setup {
    Setup {
        fleet: Some(fleet.to_owned()),
        home: home.to_owned(),
        actor: "tester".to_owned(),
        // No program of its own: jobs are threads.
        program: "".into(),
        clock: Clock::System,
    }
}

impl Pages {
    /// Serves an empty directory as the fleet.
    pub(crate) fn start() -> Pages {
        Pages::with(|_| {})
    }

    /// Serves what `fill` puts into the fleet's directory.
    pub(crate) fn with(fill: impl FnOnce(&Path)) -> Pages {
        Pages::with_setup(fill, |setup| setup)
    }

    /// The same with another clock or actor.
    pub(crate) fn with_setup(fill: impl FnOnce(&Path), change: impl FnOnce(Setup) -> Setup) -> Pages {
        let dir = tempfile::tempdir().unwrap();
        let fleet = dir.path().join("fleet");
        std::fs::create_dir(&fleet).unwrap();
        fill(&fleet);
        let ctx = Context::new(change(setup(&fleet, &dir.path().join("home"))));
        let serving = serve(&ctx);
        Pages { dir, ctx, serving }
    }

    pub(crate) fn home(&self) -> std::path::PathBuf {
        self.dir.path().join("home")
    }

    pub(crate) fn fleet(&self) -> std::path::PathBuf {
        self.dir.path().join("fleet")
    }

    /// The whole address of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.serving.address)
    }

    /// A new one-time link.
    pub(crate) fn link(&self) -> String {
        regrow_web::new_link(&self.home()).unwrap().link
    }

    /// Opens a link and returns the cookie, as a `Cookie:` header has it.
    pub(crate) fn sign_in(&self) -> String {
        let link = self.link();
        let path = &link[link.find("/?").unwrap()..];
        let answer = self.get(path, "");
        assert_eq!(answer.status, 303, "{}", answer.body);
        answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
    }

    /// GET with further header lines, each ending in CRLF.
    pub(crate) fn get(&self, path: &str, headers: &str) -> Answer {
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\r\n",
            self.serving.address
        ))
    }

    /// GET with a session.
    pub(crate) fn get_as(&self, cookie: &str, path: &str) -> Answer {
        self.get(path, &format!("Cookie: {cookie}\r\n"))
    }

    /// POST of a form with further header lines.
    pub(crate) fn post(&self, path: &str, form: &str, headers: &str) -> Answer {
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n{headers}\r\n{form}",
            self.serving.address,
            form.len(),
        ))
    }

    /// Sends bytes and reads the answer to its end.
    pub(crate) fn send(&self, request: &str) -> Answer {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        Answer::parse(&String::from_utf8(bytes).unwrap())
    }

    /// Sends bytes and reads whatever comes back, be it an answer or not.
    pub(crate) fn send_raw(&self, request: &str) -> String {
        let mut stream = self.connect();
        let _ = stream.write_all(request.as_bytes());
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Sends a head and as much of a body as the other side takes; returns the status.
    pub(crate) fn send_what_is_taken(&self, head: &str, body: &[u8]) -> u16 {
        let mut stream = self.connect();
        stream.write_all(head.as_bytes()).unwrap();
        // It may hang up in the middle: that is what is wanted.
        let _ = stream.write_all(body);
        let mut bytes = [0u8; 64];
        let read = stream.read(&mut bytes).unwrap_or(0);
        // A connection that is cut off before its answer was read is as good as "too large".
        let line = String::from_utf8_lossy(&bytes[..read]).into_owned();
        line.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(413)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.serving.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    /// Opens a live stream; returns its lines.
    pub(crate) fn stream(&self, cookie: &str, path: &str, headers: &str) -> impl Iterator<Item = String> + use<> {
        let mut stream = self.connect();
        // HTTP/1.0: no chunks between the lines.
        let request =
            format!("GET {path} HTTP/1.0\r\nHost: {}\r\nCookie: {cookie}\r\n{headers}\r\n", self.serving.address);
        stream.write_all(request.as_bytes()).unwrap();
        BufReader::new(stream).lines().map(|l| l.unwrap())
    }
}

/// Serves in a thread; returns once it answers.
pub(crate) fn serve(ctx: &Context) -> Serving {
    let (sender, receiver) = mpsc::channel();
    let mut options = Serve::new(ctx.clone());
    options.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    std::thread::spawn(move || regrow_web::serve(options, |serving| sender.send(serving.clone()).unwrap()));
    receiver.recv_timeout(Duration::from_secs(20)).expect("the pages did not come up")
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn parse(text: &str) -> Answer {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer but {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|l| l.split_once(": "));
        lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }

    /// The value of the first hidden field of this name.
    pub(crate) fn field(&self, name: &str) -> String {
        let marker = format!("name=\"{name}\" value=\"");
        let from = self.body.find(&marker).unwrap_or_else(|| panic!("no field {name} in {}", self.body)) + marker.len();
        self.body[from..].split('"').next().unwrap().to_owned()
    }
}
