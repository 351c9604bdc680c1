//! A file server on loopback that can misbehave on request.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// How a file is served wrongly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// One bit of the byte at this offset is flipped (from the end, if negative).
    Flip(i64),
    /// The first answers, as many as said, have this status; then it is served.
    Status(u16, usize),
    /// The first answers, as many as said, break off after so many bytes; then it is served.
    BreakOff(u64, usize),
    /// So many bytes are sent, then nothing until [`FileServer::release`].
    Hold(u64),
    /// The file ends there, and the server believes it.
    Truncate(u64),
    /// `Range` is ignored.
    NoRange,
}

/// One request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The path asked for, without a leading `/`.
    pub path: String,
    /// Where the answer was to begin.
    pub offset: u64,
}

#[derive(Debug, Default)]
struct State {
    faults: BTreeMap<String, Vec<Fault>>,
    requests: Vec<Request>,
    released: bool,
    stopped: bool,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// Serves a directory over HTTP until it is dropped.
#[derive(Debug)]
pub struct FileServer {
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl FileServer {
    /// Serves `root` on a free port of 127.0.0.1.
    pub fn start(root: &Path) -> FileServer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port on loopback");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared { root: root.to_owned(), state: Mutex::default(), changed: Condvar::new() });
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.state().stopped {
                    break;
                }
                let shared = accepting.clone();
                std::thread::spawn(move || {
                    // A client that goes away is no fault of the server.
                    let _ = serve(&shared, stream);
                });
            }
        });
        FileServer { shared, address }
    }

    /// Its address, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves every path that ends with `path` wrongly. Several faults of one path add up.
    pub fn fault(&self, path: &str, fault: Fault) {
        self.shared.state().faults.entry(path.to_owned()).or_default().push(fault);
    }

    /// Serves everything rightly again.
    pub fn mend(&self) {
        self.shared.state().faults.clear();
    }

    /// Lets go what [`Fault::Hold`] holds, now and later.
    pub fn release(&self) {
        self.shared.state().released = true;
        self.shared.changed.notify_all();
    }

    /// The requests so far, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.clone()
    }

    /// How often a path that ends with `path` was asked for.
    pub fn count(&self, path: &str) -> usize {
        self.requests().iter().filter(|r| r.path.ends_with(path)).count()
    }

    /// Waits until a path that ends with `path` was asked for.
    pub fn wait_for(&self, path: &str) {
        let mut state = self.shared.state();
        while !state.requests.iter().any(|r| r.path.ends_with(path)) {
            state = self.shared.changed.wait(state).unwrap_or_else(|e| e.into_inner());
        }
    }
}

impl Drop for FileServer {
    fn drop(&mut self) {
        {
            let mut state = self.shared.state();
            (state.stopped, state.released) = (true, true);
        }
        self.shared.changed.notify_all();
        // Wakes the accepting thread, which then ends.
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(shared: &Shared, mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let mut wanted = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? <= 2 {
            break;
        }
        if let Some(range) = header.to_ascii_lowercase().strip_prefix("range: bytes=") {
            wanted = range.trim().trim_end_matches('-').parse().unwrap_or(0);
        }
    }
    // Every path in a test is plain: no part leads out of the root.
    let file = std::fs::read(shared.root.join(&path));
    let mut faults = {
        let mut state = shared.state();
        state.requests.push(Request { path: path.clone(), offset: wanted });
        let mut found = Vec::new();
        for (suffix, faults) in &mut state.faults {
            if path.ends_with(suffix.as_str()) {
                faults.retain_mut(|fault| {
                    if let Fault::Status(_, times) | Fault::BreakOff(_, times) = fault {
                        if *times == 0 {
                            return false;
                        }
                        *times -= 1;
                    }
                    found.push(fault.clone());
                    true
                });
            }
        }
        found
    };
    shared.changed.notify_all();
    if let Some(Fault::Status(status, _)) = faults.iter().find(|f| matches!(f, Fault::Status(..))) {
        return write!(stream, "HTTP/1.1 {status} Trouble\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    let Ok(mut bytes) = file else {
        return write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    for fault in &faults {
        match fault {
            Fault::Flip(at) => {
                let at = if *at < 0 { bytes.len() as i64 + at } else { *at } as usize;
                bytes[at] ^= 1;
            }
            Fault::Truncate(end) => bytes.truncate(*end as usize),
            Fault::NoRange => wanted = 0,
            _ => {}
        }
    }
    let size = bytes.len() as u64;
    if wanted > 0 && wanted >= size {
        return write!(
            stream,
            "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */{size}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
    let body = &bytes[wanted as usize..];
    if wanted > 0 {
        write!(stream, "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {wanted}-{}/{size}\r\n", size - 1)?;
    } else {
        write!(stream, "HTTP/1.1 200 OK\r\n")?;
    }
    write!(stream, "Content-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    faults.retain(|f| matches!(f, Fault::BreakOff(..) | Fault::Hold(_)));
    match faults.first() {
        Some(Fault::BreakOff(after, _)) => stream.write_all(&body[..body.len().min(*after as usize)]),
        Some(Fault::Hold(after)) => {
            let (now, later) = body.split_at(body.len().min(*after as usize));
            stream.write_all(now)?;
            stream.flush()?;
            let mut state = shared.state();
            while !state.released {
                state = shared.changed.wait(state).unwrap_or_else(|e| e.into_inner());
            }
            drop(state);
            stream.write_all(later)
        }
        _ => stream.write_all(body),
    }
}
