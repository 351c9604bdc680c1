//! Published ports: listeners on the host whose connections end inside a server's network namespace.
//!
//! A server has a network namespace of its own with nothing but loopback, so that nothing outside is reachable from it.
//! A port it publishes (`network.publish`) is a listener on the host; each connection accepted there is joined to a new
//! connection made *inside* the namespace. The server needs no address, and a machine replaces another one under the same
//! listeners without closing them:
//!
//! * **paused** (at first): connections wait in the listener's backlog, as they do for a busy server.
//! * **open**: connections are accepted and joined to the machine whose namespace was given.
//!
//! One thread carries all connections of a proxy ([`pump`]'s loop), at most [`MAX_CONNECTIONS`] at a time; more wait in
//! the backlog. A side that ends its half of a connection leaves the other half working, and an idle connection may stay
//! as long as both sides wish. The proxy dies with the process; restarting the supervisor is what brings it back.

mod pump;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use serde::{Deserialize, Serialize};

use pump::{Command, Pump};

/// How many connections one proxy carries at a time; each needs two file descriptors.
pub const MAX_CONNECTIONS: usize = 1024;
/// How many connections wait in a listener's backlog while paused (the kernel may have a lower limit).
const BACKLOG: i32 = 1024;

/// One published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Port {
    /// The address and port on the host.
    pub host: SocketAddr,
    /// The port inside, on loopback.
    pub inside: u16,
}

/// Why a port cannot be published.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another program listens there.
    #[error(
        "cannot publish {host}: another program listens there; end it (`ss -ltnp` names it) or publish another port"
    )]
    InUse {
        /// The address.
        host: SocketAddr,
    },
    /// The address is none of this machine's.
    #[error("cannot publish {host}: this machine has no such address")]
    NoSuchAddress {
        /// The address.
        host: SocketAddr,
    },
    /// Any other refusal of the kernel.
    #[error("cannot publish {host}")]
    Listen {
        /// The address.
        host: SocketAddr,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// The same address twice, to different ports inside.
    #[error("{host} is published twice, to port {} and to port {}", ports.0, ports.1)]
    Twice {
        /// The address.
        host: SocketAddr,
        /// Both ports inside.
        ports: (u16, u16),
    },
    /// The machine's network could not be entered, or the thread that carries connections could not start.
    #[error("cannot carry connections to the server: {doing}")]
    Carry {
        /// The act that failed.
        doing: &'static str,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
}

/// The published ports of one server. See the module.
#[derive(Debug)]
pub struct Proxy {
    commands: Sender<Command>,
    wake: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
    listening: Mutex<BTreeMap<SocketAddr, Listening>>,
}

#[derive(Debug)]
struct Listening {
    inside: u16,
    /// As bound: differs from the key where port 0 was asked for.
    local: SocketAddr,
}

impl Proxy {
    /// A paused proxy without ports.
    ///
    /// # Errors
    /// [`Error::Carry`] if the kernel has no thread or descriptor left.
    pub fn new() -> Result<Proxy, Error> {
        let carry = |doing| move |source: std::io::Error| Error::Carry { doing, source };
        let wake =
            eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).map_err(|e| carry("make an event")(e.into()))?;
        let wake = Arc::new(wake);
        let (commands, receiver) = channel();
        let pump = Pump::new(wake.clone(), receiver).map_err(carry("make a queue of events"))?;
        let thread = std::thread::Builder::new()
            .name("regrow-ports".to_owned())
            .spawn(move || pump.run())
            .map_err(carry("start a thread"))?;
        Ok(Proxy { commands, wake, thread: Some(thread), listening: Mutex::default() })
    }

    /// Listens on the ports that are not listened on yet, and changes nothing about the others.
    ///
    /// Returns the new addresses. This is the check to make before anything is stopped: when it succeeds, [`Proxy::set`]
    /// with ports from before and from here cannot fail for lack of a port.
    ///
    /// # Errors
    /// If one of them cannot be had; then none is taken.
    pub fn add(&self, ports: &BTreeSet<Port>) -> Result<Vec<SocketAddr>, Error> {
        one_target_per_address(ports)?;
        let mut listening = self.lock();
        let mut new = Vec::new();
        for port in ports.iter().filter(|p| !listening.contains_key(&p.host)) {
            let (listener, local) = listen(port.host)?;
            new.push((*port, listener, local));
        }
        let addresses = new.iter().map(|(port, ..)| port.host).collect();
        for (port, listener, local) in new {
            self.tell(|answer| Command::Listen { port, listener, answer })?
                .map_err(|source| Error::Listen { host: port.host, source })?;
            listening.insert(port.host, Listening { inside: port.inside, local });
        }
        Ok(addresses)
    }

    /// Listens on exactly these ports: takes new ones, points all to their port inside, closes the rest.
    ///
    /// # Errors
    /// As [`Proxy::add`]; then nothing is closed or re-pointed.
    pub fn set(&self, ports: &BTreeSet<Port>) -> Result<(), Error> {
        self.add(ports)?;
        let mut listening = self.lock();
        let wanted: BTreeMap<SocketAddr, u16> = ports.iter().map(|p| (p.host, p.inside)).collect();
        listening.retain(|host, _| wanted.contains_key(host));
        for (host, port) in listening.iter_mut() {
            port.inside = wanted[host];
        }
        self.tell(|answer| Command::Set { wanted, answer })
    }

    /// The ports listened on, with the address actually bound.
    pub fn ports(&self) -> Vec<Port> {
        self.lock().values().map(|l| Port { host: l.local, inside: l.inside }).collect()
    }

    /// Joins connections to the machine whose network namespace this is (`/proc/PID/ns/net`), from the next one on.
    ///
    /// # Errors
    /// If the namespace cannot be entered; then the proxy is paused.
    pub fn open(&self, network: OwnedFd) -> Result<(), Error> {
        self.tell(|answer| Command::Open { network, answer })?
            .map_err(|source| Error::Carry { doing: "enter its network", source })
    }

    /// Lets new connections wait. When this returns no further one reaches the machine; existing ones go on.
    ///
    /// # Errors
    /// If the thread that carries connections is gone.
    pub fn pause(&self) -> Result<(), Error> {
        self.tell(|answer| Command::Pause { answer })
    }

    /// Closes all existing connections. For when their machine is gone.
    ///
    /// # Errors
    /// If the thread that carries connections is gone.
    pub fn disconnect(&self) -> Result<(), Error> {
        self.tell(|answer| Command::Disconnect { answer })
    }

    /// How many connections are being carried now.
    ///
    /// # Errors
    /// If the thread that carries connections is gone.
    pub fn connections(&self) -> Result<usize, Error> {
        self.tell(|answer| Command::Count { answer })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Listening>> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell<T>(&self, command: impl FnOnce(Sender<T>) -> Command) -> Result<T, Error> {
        let gone = || Error::Carry {
            doing: "reach the thread that carries them",
            source: std::io::ErrorKind::BrokenPipe.into(),
        };
        let (sender, answer) = channel();
        self.commands.send(command(sender)).map_err(|_| gone())?;
        self.ring();
        answer.recv().map_err(|_| gone())
    }

    fn ring(&self) {
        // The only failure is a full counter, and then the thread is awake already.
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.commands.send(Command::Stop);
        self.ring();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn one_target_per_address(ports: &BTreeSet<Port>) -> Result<(), Error> {
    let mut seen = BTreeMap::new();
    for port in ports {
        if let Some(other) = seen.insert(port.host, port.inside) {
            return Err(Error::Twice { host: port.host, ports: (other, port.inside) });
        }
    }
    Ok(())
}

fn listen(host: SocketAddr) -> Result<(OwnedFd, SocketAddr), Error> {
    let listener = (|| {
        let family = if host.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
        // Connections that a former supervisor left in TIME_WAIT must not keep us from listening.
        sockopt::set_socket_reuseaddr(&socket, true)?;
        if host.is_ipv6() {
            sockopt::set_ipv6_v6only(&socket, true)?;
        }
        net::bind(&socket, &host)?;
        net::listen(&socket, BACKLOG)?;
        let local = SocketAddr::try_from(net::getsockname(socket.as_fd())?)?;
        Ok((socket, local))
    })();
    listener.map_err(|e| match e {
        Errno::ADDRINUSE => Error::InUse { host },
        Errno::ADDRNOTAVAIL => Error::NoSuchAddress { host },
        e => Error::Listen { host, source: e.into() },
    })
}

#[cfg(test)]
mod tests;
