//! The one thread that carries a proxy's connections: an event loop over non-blocking sockets.
//!
//! A socket belongs to the network namespace of the thread that made it, wherever it is used later. So this thread
//! enters the machine's namespace while the proxy is open, makes its connections there, and goes back home when it is
//! paused (a thread left inside would keep a dead machine's namespace alive).

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fs::{Mode, OFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, sockopt};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{MAX_CONNECTIONS, Port};

/// What [`super::Proxy`] asks of the thread; each is answered when done.
#[derive(Debug)]
pub(super) enum Command {
    /// Carry this listener too.
    Listen { port: Port, listener: OwnedFd, answer: Sender<io::Result<()>> },
    /// Close the listeners that are not wanted, re-point the others.
    Set { wanted: BTreeMap<SocketAddr, u16>, answer: Sender<()> },
    /// Accept, and connect in this namespace.
    Open { network: OwnedFd, answer: Sender<io::Result<()>> },
    /// Do not accept.
    Pause { answer: Sender<()> },
    /// Close every connection.
    Disconnect { answer: Sender<()> },
    /// Say how many connections there are.
    Count { answer: Sender<usize> },
    /// End.
    Stop,
}

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;
/// How often one connection is served before the others get their turn.
const ROUNDS: usize = 8;
/// How many connections one listener accepts before the others get their turn.
const ACCEPTS: usize = 64;
/// How long to leave the backlog alone when descriptors or memory have run out.
const BREATH: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

const WAKE: u64 = 0;

pub(super) struct Pump {
    epoll: OwnedFd,
    wake: Arc<OwnedFd>,
    commands: Receiver<Command>,
    /// The namespace this thread was born in.
    home: OwnedFd,
    open: bool,
    /// Out of descriptors: accept again after a breath.
    exhausted: bool,
    listeners: BTreeMap<u64, Listener>,
    /// By token; a connection's two sockets have the tokens `n` and `n + 1`, `n` even.
    connections: BTreeMap<u64, Connection>,
    next: u64,
    chunk: Vec<u8>,
}

struct Listener {
    socket: OwnedFd,
    port: Port,
    watched: EventFlags,
}

impl Pump {
    pub(super) fn new(wake: Arc<OwnedFd>, commands: Receiver<Command>) -> io::Result<Pump> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &*wake, EventData::new_u64(WAKE), EventFlags::IN)?;
        // Of the calling thread: the one that runs starts in the same.
        let home = rustix::fs::open("/proc/thread-self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Pump {
            epoll,
            wake,
            commands,
            home,
            open: false,
            exhausted: false,
            listeners: BTreeMap::new(),
            connections: BTreeMap::new(),
            next: 2,
            chunk: Vec::with_capacity(CHUNK),
        })
    }

    pub(super) fn run(mut self) {
        let mut events = Vec::with_capacity(256);
        loop {
            let timeout = self.exhausted.then_some(&BREATH);
            match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout) {
                Ok(_) | Err(Errno::INTR) => {}
                // Cannot happen with a valid descriptor and buffer; ending closes the listeners, which is visible.
                Err(_) => return,
            }
            if self.exhausted {
                self.exhausted = false;
                self.watch_listeners();
            }
            for event in events.drain(..) {
                let event: epoll::Event = event;
                let (token, flags) = (event.data.u64(), event.flags);
                if token == WAKE {
                    let mut count = [0; 8];
                    let _ = rustix::io::read(&*self.wake, &mut count);
                    if self.obey() {
                        return;
                    }
                } else if self.listeners.contains_key(&token) {
                    self.accept(token);
                } else {
                    self.serve(token & !1, flags);
                }
            }
        }
    }

    /// Carries out what was asked; true to end.
    fn obey(&mut self) -> bool {
        while let Ok(command) = self.commands.try_recv() {
            // Whoever asked may have gone; that changes nothing here.
            match command {
                Command::Listen { port, listener, answer } => {
                    let token = self.token();
                    self.listeners.insert(token, Listener { socket: listener, port, watched: EventFlags::empty() });
                    self.watch_listeners();
                    let _ = answer.send(Ok(()));
                }
                Command::Set { wanted, answer } => {
                    // Closing the descriptor takes it out of the queue of events as well: nobody else has it.
                    self.listeners.retain(|_, l| wanted.contains_key(&l.port.host));
                    for listener in self.listeners.values_mut() {
                        listener.port.inside = wanted[&listener.port.host];
                    }
                    let _ = answer.send(());
                }
                Command::Open { network, answer } => {
                    let entered = enter(&network);
                    self.open = entered.is_ok();
                    if entered.is_err() {
                        let _ = enter(&self.home);
                    }
                    self.watch_listeners();
                    let _ = answer.send(entered);
                }
                Command::Pause { answer } => {
                    self.open = false;
                    let _ = enter(&self.home);
                    self.watch_listeners();
                    let _ = answer.send(());
                }
                Command::Disconnect { answer } => {
                    self.connections.clear();
                    self.watch_listeners();
                    let _ = answer.send(());
                }
                Command::Count { answer } => {
                    let _ = answer.send(self.connections.len());
                }
                Command::Stop => return true,
            }
        }
        false
    }

    fn token(&mut self) -> u64 {
        let token = self.next;
        self.next += 2;
        token
    }

    /// Looks at the backlogs exactly when a connection could be taken from them.
    fn watch_listeners(&mut self) {
        let ready = self.open && !self.exhausted && self.connections.len() < MAX_CONNECTIONS;
        let wanted = if ready { EventFlags::IN } else { EventFlags::empty() };
        for (token, listener) in &mut self.listeners {
            watch(&self.epoll, &listener.socket, *token, &mut listener.watched, wanted);
        }
    }

    fn accept(&mut self, token: u64) {
        for _ in 0..ACCEPTS {
            if !self.open || self.connections.len() >= MAX_CONNECTIONS {
                break;
            }
            let Some(listener) = self.listeners.get(&token) else { break };
            let inside = listener.port.inside;
            match net::accept_with(&listener.socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
                Ok(client) => {
                    // A failed connection closes the client's, as a server without that port would.
                    if let Ok(connection) = Connection::new(client, inside) {
                        let token = self.token();
                        self.connections.insert(token, connection);
                        self.serve(token, EventFlags::empty());
                    }
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) => {
                    self.exhausted = true;
                    break;
                }
                // The client went away while it waited.
                Err(_) => {}
            }
        }
        self.watch_listeners();
    }

    fn serve(&mut self, token: u64, flags: EventFlags) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        match connection.advance(flags, &mut self.chunk) {
            Ok(true) => connection.watch(&self.epoll, token),
            Ok(false) | Err(_) => {
                let was_full = self.connections.len() >= MAX_CONNECTIONS;
                self.connections.remove(&token);
                if was_full {
                    self.watch_listeners();
                }
            }
        }
    }
}

pub(super) fn enter(network: &OwnedFd) -> io::Result<()> {
    Ok(move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// Changes what a socket is watched for. One watched for nothing is taken out: the kernel would report a hang-up over
/// and over.
fn watch(epoll: &OwnedFd, socket: &OwnedFd, token: u64, now: &mut EventFlags, wanted: EventFlags) {
    if *now == wanted {
        return;
    }
    let data = EventData::new_u64(token);
    let changed = if now.is_empty() {
        epoll::add(epoll, socket, data, wanted)
    } else if wanted.is_empty() {
        epoll::delete(epoll, socket)
    } else {
        epoll::modify(epoll, socket, data, wanted)
    };
    if changed.is_ok() {
        *now = wanted;
    }
}

/// Two joined connections.
struct Connection {
    client: OwnedFd,
    inside: OwnedFd,
    port: u16,
    connecting: Connecting,
    up: Flow,
    down: Flow,
    client_watched: EventFlags,
    inside_watched: EventFlags,
}

#[derive(PartialEq, Eq)]
enum Connecting {
    Version4,
    Version6,
    Done,
}

/// One direction.
#[derive(Default)]
struct Flow {
    /// Read and not yet written; empty unless the receiver is slow.
    pending: Vec<u8>,
    /// How much of it was written.
    written: usize,
    /// The sender has ended, and the receiver was told.
    ended: bool,
}

impl Connection {
    fn new(client: OwnedFd, port: u16) -> io::Result<Connection> {
        let _ = sockopt::set_tcp_nodelay(&client, true);
        let (inside, connecting) = match connect((Ipv4Addr::LOCALHOST, port).into()) {
            Ok(socket) => (socket, Connecting::Version4),
            Err(_) => (connect((Ipv6Addr::LOCALHOST, port).into())?, Connecting::Version6),
        };
        Ok(Connection {
            client,
            inside,
            port,
            connecting,
            up: Flow::default(),
            down: Flow::default(),
            client_watched: EventFlags::empty(),
            inside_watched: EventFlags::empty(),
        })
    }

    /// Moves what can be moved; false when both directions have ended.
    fn advance(&mut self, flags: EventFlags, chunk: &mut Vec<u8>) -> io::Result<bool> {
        if self.connecting != Connecting::Done {
            if !flags.intersects(EventFlags::OUT | EventFlags::ERR | EventFlags::HUP) {
                return Ok(true);
            }
            match sockopt::socket_error(&self.inside)? {
                Ok(()) => self.connecting = Connecting::Done,
                // Programs that listen on ::1 only.
                Err(Errno::CONNREFUSED) if self.connecting == Connecting::Version4 => {
                    self.inside = connect((Ipv6Addr::LOCALHOST, self.port).into())?;
                    self.inside_watched = EventFlags::empty();
                    self.connecting = Connecting::Version6;
                    return Ok(true);
                }
                Err(e) => return Err(e.into()),
            }
        }
        self.up.advance(&self.client, &self.inside, chunk)?;
        self.down.advance(&self.inside, &self.client, chunk)?;
        Ok(!(self.up.ended && self.down.ended))
    }

    fn watch(&mut self, epoll: &OwnedFd, token: u64) {
        let (client, inside) = if self.connecting == Connecting::Done {
            (self.up.reading() | self.down.writing(), self.down.reading() | self.up.writing())
        } else {
            (EventFlags::empty(), EventFlags::OUT)
        };
        watch(epoll, &self.client, token, &mut self.client_watched, client);
        watch(epoll, &self.inside, token + 1, &mut self.inside_watched, inside);
    }
}

impl Flow {
    fn reading(&self) -> EventFlags {
        if self.pending.is_empty() && !self.ended { EventFlags::IN } else { EventFlags::empty() }
    }

    fn writing(&self) -> EventFlags {
        if self.pending.is_empty() { EventFlags::empty() } else { EventFlags::OUT }
    }

    fn advance(&mut self, from: &OwnedFd, to: &OwnedFd, chunk: &mut Vec<u8>) -> io::Result<()> {
        for _ in 0..ROUNDS {
            while self.written < self.pending.len() {
                match net::send(to, &self.pending[self.written..], SendFlags::NOSIGNAL) {
                    Ok(n) => self.written += n,
                    Err(Errno::AGAIN) => return Ok(()),
                    Err(Errno::INTR) => {}
                    Err(e) => return Err(e.into()),
                }
            }
            // An idle connection holds no memory.
            (self.pending, self.written) = (Vec::new(), 0);
            if self.ended {
                return Ok(());
            }
            chunk.clear();
            match net::recv(from, spare_capacity(chunk), RecvFlags::empty()) {
                // Told at once, as nothing is pending: a flow that has ended is watched for nothing, so nobody would come
                // back for it after the last round.
                Ok((_, 0)) => {
                    net::shutdown(to, Shutdown::Write)?;
                    self.ended = true;
                }
                Ok(_) => {
                    let sent = match net::send(to, chunk, SendFlags::NOSIGNAL) {
                        Ok(n) => n,
                        Err(Errno::AGAIN | Errno::INTR) => 0,
                        Err(e) => return Err(e.into()),
                    };
                    self.pending = chunk[sent..].to_vec();
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

/// Begins to connect in the namespace that this thread is in.
fn connect(to: SocketAddr) -> io::Result<OwnedFd> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
    let _ = sockopt::set_tcp_nodelay(&socket, true);
    match net::connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (OwnedFd, OwnedFd) {
        // Packets, so that each is read by itself.
        net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::NONBLOCK, None).unwrap()
    }

    #[test]
    fn an_end_in_any_round_is_passed_on() {
        for packets in 0..=2 * ROUNDS {
            let ((sender, from), (to, receiver)) = (pair(), pair());
            for _ in 0..packets {
                net::send(&sender, b"x", SendFlags::empty()).unwrap();
            }
            drop(sender);
            let mut flow = Flow::default();
            while !flow.ended {
                assert!(!flow.reading().is_empty(), "{packets} packets: not ended, and watched for nothing");
                flow.advance(&from, &to, &mut Vec::with_capacity(CHUNK)).unwrap();
            }
            let mut byte = [0];
            for _ in 0..packets {
                assert_eq!(net::recv(&receiver, &mut byte, RecvFlags::empty()).unwrap(), (1, 1));
            }
            assert_eq!(net::recv(&receiver, &mut byte, RecvFlags::empty()), Ok((0, 0)), "{packets} packets: no end");
        }
    }
}
