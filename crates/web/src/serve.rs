//! From "serve" to a listening program and back to silence.
//!
//! One program per home: who asks a second time gets a new link to the first. `REGROW_HOME/serve.json` (readable by its
//! owner only, there while the program runs) tells scripts where it listens:
//!
//! ```json
//! {"address": "127.0.0.1:7420", "url": "http://127.0.0.1:7420/", "link": "http://127.0.0.1:7420/?token=…", "pid": 17, "fleet": "/srv/fleet"}
//! ```

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use regrow_host::lock::{FileLock, Wait};
use regrow_host::{FsError, fs};
use regrow_ops::{Context, accounts};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::app::{App, Peer, Reach, router};
use crate::guard::Hosts;
use crate::session::{LINK_LIFE, Sessions};
use crate::tls::{Certificate, TlsFiles};

/// Where the pages are without further words.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7420);

/// How to serve.
#[derive(Debug, Clone)]
pub struct Serve {
    /// The fleet and the home; all operations go through it.
    pub context: Context,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The certificate and its key. Where other machines can reach us nothing is served without.
    pub tls: Option<TlsFiles>,
    /// Names besides `localhost` that a browser may call us by, where other machines can reach us.
    pub names: Vec<String>,
}

impl Serve {
    /// The usual: loopback only.
    pub fn new(context: Context) -> Serve {
        Serve { context, listen: DEFAULT_LISTEN, tls: None, names: Vec::new() }
    }
}

/// Where the pages are, told once they answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Serving {
    /// Where it listens.
    pub address: SocketAddr,
    /// The address of the first page.
    pub url: String,
    /// The one-time link that lets a browser in. A secret until it is opened.
    pub link: String,
    /// The process.
    pub pid: u32,
    /// The fleet's directory, if there is one.
    pub fleet: Option<PathBuf>,
    /// Whether another process was serving already; then the link is a new one to it.
    #[serde(skip)]
    pub already: bool,
}

/// Why the pages cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Other machines can reach the address, and nothing would be encrypted.
    #[error(
        "{address} can be reached by other machines, and nothing would be encrypted; give a certificate (--tls-cert FILE --tls-key FILE), or listen on 127.0.0.1 and forward the port (`ssh -L 7420:127.0.0.1:7420 HOST`)"
    )]
    NoTls {
        /// The address.
        address: SocketAddr,
    },
    /// Other machines can reach the address, and nobody could sign in.
    #[error(
        "{address} can be reached by other machines, and there is no account yet; make one first: `regrow account add NAME --role switch`"
    )]
    NoAccount {
        /// The address.
        address: SocketAddr,
    },
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Tls(#[from] crate::tls::Error),
    /// The accounts cannot be read.
    #[error("cannot tell who may sign in")]
    Accounts(#[source] Box<regrow_ops::Error>),
    /// The address is taken or does not exist here.
    #[error("cannot listen on {address}; choose another with --listen ADDRESS:PORT")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// The home is served already, for another fleet.
    #[error("process {pid} serves the fleet {} from this home at {url}; end it first, or use another home (REGROW_HOME=DIR)", fleet.display())]
    OtherFleet {
        /// Who.
        pid: u32,
        /// Its fleet.
        fleet: PathBuf,
        /// Where.
        url: String,
    },
    /// Nobody serves this home.
    #[error("nobody serves {}; start it with `regrow serve`", home.display())]
    NotServing {
        /// The home.
        home: PathBuf,
    },
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FsError),
    /// The machinery below could not be started.
    #[error("cannot start answering")]
    Start(#[source] std::io::Error),
}

impl Error {
    /// The exit code of the program: 2 for the person's mistake, 3 for the surroundings.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::NoTls { .. } | Error::NoAccount { .. } | Error::OtherFleet { .. } => 2,
            Error::Tls(e) => e.exit_code(),
            Error::Accounts(e) => e.exit_code(),
            Error::Listen { .. } | Error::NotServing { .. } | Error::File(_) | Error::Start(_) => 3,
        }
    }
}

/// Answers until [`regrow_host::cancel`] is asked for (Ctrl-C, SIGTERM), then lets running answers end.
///
/// `ready` hears where once the pages answer. If this home is served already, `ready` hears of a new link to that and the call returns at once.
///
/// # Errors
/// See [`Error`].
pub fn serve(options: Serve, ready: impl FnOnce(&Serving)) -> Result<(), Error> {
    let address = options.listen;
    if !address.ip().to_canonical().is_loopback() {
        if options.tls.is_none() {
            return Err(Error::NoTls { address });
        }
        let list = accounts::list(&options.context).map_err(|e| Error::Accounts(Box::new(e)))?;
        if list.accounts.is_empty() {
            return Err(Error::NoAccount { address });
        }
    }
    // Before anything is made: a certificate that cannot be used is said at once.
    let certificate = options.tls.clone().map(Certificate::load).transpose()?;
    let home = options.context.home().path().to_owned();
    fs::create_dir_all(&home)?;
    let Some(_lock) = FileLock::exclusive(home.join("serve.lock"), Wait::No)? else {
        let running = new_link(&home)?;
        match (&running.fleet, options.context.fleet_optional()) {
            (Some(theirs), Some(ours)) if canonical(theirs) != canonical(ours) => {
                return Err(Error::OtherFleet { pid: running.pid, fleet: theirs.clone(), url: running.url });
            }
            _ => ready(&running),
        }
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("web")
        .enable_all()
        .build()
        .map_err(Error::Start)?;
    let served = runtime.block_on(answer(options, certificate, &home, ready));
    // A thread that is still in the middle of something must not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(5));
    fs::remove_file(home.join("serve.json"))?;
    served
}

/// A new one-time link to the process that serves `home`; where it listens beyond this machine, the address to sign in at.
///
/// # Errors
/// [`Error::NotServing`] if there is none.
pub fn new_link(home: &Path) -> Result<Serving, Error> {
    let nobody = || Error::NotServing { home: home.to_owned() };
    if FileLock::exclusive(home.join("serve.lock"), Wait::No)?.is_some() {
        return Err(nobody());
    }
    let json = fs::read_optional(home.join("serve.json"))?.ok_or_else(nobody)?;
    let running: Serving = serde_json::from_slice(&json).map_err(|_| nobody())?;
    let link = match running.address.ip().to_canonical().is_loopback() {
        true => format!("{}?token={}", running.url, Sessions::open(home)?.new_link()?.reveal()),
        false => format!("{}sign-in", running.url),
    };
    Ok(Serving { link, already: true, ..running })
}

fn canonical(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// How many connections may be open at once, and how long a request's head may take.
const MOST_CONNECTIONS: usize = 256;
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How often the certificate's files are looked at.
const CERTIFICATE_LOOK: Duration = Duration::from_secs(2);
/// How long running answers may take to end.
const END_TIME: Duration = Duration::from_secs(3);
/// How often the wish to stop is looked at; signals are handled outside of this crate.
const STOP_LOOK: Duration = Duration::from_millis(100);

async fn answer(
    options: Serve,
    certificate: Option<Certificate>,
    home: &Path,
    ready: impl FnOnce(&Serving),
) -> Result<(), Error> {
    let listen = |source| Error::Listen { address: options.listen, source };
    let listener = TcpListener::bind(options.listen).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;

    let sessions = Sessions::open(home)?;
    let reach = Reach { tls: certificate.is_some(), loopback: address.ip().to_canonical().is_loopback() };
    let scheme = if reach.tls { "https" } else { "http" };
    let url = match options.names.first().filter(|_| !reach.loopback) {
        Some(name) => format!("{scheme}://{name}:{}/", address.port()),
        None => format!("{scheme}://{}/", reachable(address)),
    };
    let hosts = Hosts { any_address: !reach.loopback, names: options.names };
    let (stop, stopping) = watch::channel(false);
    let serving = Serving {
        address,
        link: match reach.loopback {
            true => format!("{url}?token={}", sessions.new_link()?.reveal()),
            false => format!("{url}sign-in"),
        },
        url,
        pid: std::process::id(),
        fleet: options.context.fleet_optional().map(Path::to_owned),
        already: false,
    };
    let (context, ending) = (options.context.clone(), stopping.clone());
    // It ends soon after we do, and what it had not written down is worked out another time.
    std::thread::Builder::new()
        .name("remember".to_owned())
        .spawn(move || {
            regrow_ops::remember::changesets(&context, &|| *ending.borrow() || ending.has_changed().is_err())
        })
        .map_err(Error::Start)?;
    let app = App::new(options.context, sessions, hosts, reach, address.port(), stopping).map_err(Error::Start)?;
    let app = Arc::new(app);
    let router = router(app);
    let json = serde_json::to_vec_pretty(&serving).map_err(|e| Error::Start(e.into()))?;
    fs::write_atomic_with_mode(home.join("serve.json"), &json, 0o600)?;
    ready(&serving);
    // The words are on the terminal now; the link in the file ends with its use or its age, like any other.
    drop(serving);

    let certificate = certificate.map(Arc::new);
    let renewing = certificate.clone().map(|c| tokio::spawn(renew(c)));
    let connections = GracefulShutdown::new();
    let free = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut look = tokio::time::interval(STOP_LOOK);
    loop {
        // A place first: who comes while all are taken waits in the kernel's backlog.
        let place = tokio::select! {
            place = free.clone().acquire_owned() => place,
            () = stop_asked(&mut look) => break,
        };
        let Ok(place) = place else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop_asked(&mut look) => break,
        };
        let Ok((stream, peer)) = accepted else {
            // Out of file descriptors, or a connection gone before it began: neither is a reason to end.
            tokio::time::sleep(STOP_LOOK).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let service = from_peer(&router, peer.ip());
        match certificate.as_ref().map(|c| c.acceptor()) {
            None => {
                let connection = connections.watch(http().serve_connection(TokioIo::new(stream), service));
                tokio::spawn(async move {
                    // What goes wrong on one connection is between it and its browser.
                    let _ = connection.await;
                    drop(place);
                });
            }
            Some(acceptor) => {
                let watcher = connections.watcher();
                tokio::spawn(async move {
                    // Who does not speak TLS, or takes too long over it, is nobody's browser.
                    if let Ok(Ok(stream)) = tokio::time::timeout(HEAD_TIME, acceptor.accept(stream)).await {
                        let _ = watcher.watch(http().serve_connection(TokioIo::new(stream), service)).await;
                    }
                    drop(place);
                });
            }
        }
    }
    drop(listener);
    if let Some(renewing) = renewing {
        renewing.abort();
    }
    // Live streams end now; the browser asks again and hears that nobody is there.
    let _ = stop.send(true);
    let _ = tokio::time::timeout(END_TIME, connections.shutdown()).await;
    // Jobs have processes of their own and go on; the next pages show them.
    Ok(())
}

/// Takes a new certificate when the files have changed, or at once on SIGHUP. One that cannot be used changes nothing.
async fn renew(certificate: Arc<Certificate>) {
    let mut asked = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok();
    let mut look = tokio::time::interval(CERTIFICATE_LOOK);
    loop {
        let at_once = async {
            match &mut asked {
                Some(asked) => asked.recv().await,
                None => std::future::pending().await,
            }
        };
        let asked = tokio::select! {
            _ = look.tick() => false,
            _ = at_once => true,
        };
        let certificate = certificate.clone();
        let _ = tokio::task::spawn_blocking(move || certificate.look_again(asked)).await;
    }
}

/// How one connection is read.
fn http() -> hyper::server::conn::http1::Builder {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(64 * 1024);
    http
}

/// Answers the requests of one connection, each told where it comes from.
fn from_peer(
    router: &Router,
    peer: IpAddr,
) -> impl hyper::service::Service<
    hyper::Request<Incoming>,
    Response = axum::response::Response,
    Error = Infallible,
    Future: Send,
> + use<> {
    let router = TowerToHyperService::new(router.clone());
    // An IPv4 address is one, also where a socket for both kinds tells it as IPv6.
    let peer = Peer(peer.to_canonical());
    hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        hyper::service::Service::call(&router, request)
    })
}

async fn stop_asked(look: &mut tokio::time::Interval) {
    while !regrow_host::cancel::requested() {
        look.tick().await;
    }
}

/// The address to type: "any" means this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Kept here so that the words in [`Error`] and the life of links stay together.
const _: () = assert!(LINK_LIFE.as_secs() == 24 * 3600, "the page on used links says: within a day");
