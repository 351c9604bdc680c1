//! Real sockets; the machine's network is this machine's loopback, or a namespace made for the test.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command as Process, Stdio};
use std::time::Duration;

use super::*;

const SOON: Duration = Duration::from_secs(20);

fn any_port(inside: u16) -> Port {
    Port { host: "127.0.0.1:0".parse().unwrap(), inside }
}

fn proxy(ports: impl IntoIterator<Item = Port>) -> Proxy {
    let proxy = Proxy::new().unwrap();
    proxy.add(&ports.into_iter().collect()).unwrap();
    proxy
}

fn our_network() -> OwnedFd {
    std::fs::File::open("/proc/thread-self/ns/net").unwrap().into()
}

fn client(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.ports()[0].host).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    stream
}

/// A server that answers each connection by one closure, on a port of its own.
fn server(address: &str, answer: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind(address).unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = answer.clone();
            std::thread::spawn(move || answer(stream.unwrap()));
        }
    });
    port
}

fn echo(mut stream: TcpStream) {
    let mut input = stream.try_clone().unwrap();
    let _ = std::io::copy(&mut input, &mut stream);
    let _ = stream.shutdown(Shutdown::Write);
}

fn wait_for_connections(proxy: &Proxy, wanted: usize) {
    let until = std::time::Instant::now() + SOON;
    while proxy.connections().unwrap() != wanted {
        assert!(std::time::Instant::now() < until, "still {} connections", proxy.connections().unwrap());
        std::thread::yield_now();
    }
}

#[test]
fn bytes_pass_both_ways_and_each_half_ends_by_itself() {
    // Answers only after the client has ended its half.
    let port = server("127.0.0.1:0", |mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        all.reverse();
        stream.write_all(&all).unwrap();
    });
    let proxy = proxy([any_port(port)]);
    proxy.open(our_network()).unwrap();
    let mut stream = client(&proxy);
    stream.write_all(b"abc").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "cba");
    wait_for_connections(&proxy, 0);
}

#[test]
fn much_data_to_a_slow_reader_arrives_whole() {
    let port = server("127.0.0.1:0", echo);
    let proxy = proxy([any_port(port)]);
    proxy.open(our_network()).unwrap();
    let mut stream = client(&proxy);
    let data: Vec<u8> = (0..30_000_000u32).map(|n| (n ^ (n >> 8)) as u8).collect();
    let mut sender = stream.try_clone().unwrap();
    let sent = data.clone();
    let writer = std::thread::spawn(move || {
        // Nobody reads yet, so every buffer on the way fills and each stage has to wait for the next.
        sender.write_all(&sent).unwrap();
        sender.shutdown(Shutdown::Write).unwrap();
    });
    wait_for_connections(&proxy, 1);
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    writer.join().unwrap();
    assert!(received == data, "{} bytes of {}", received.len(), data.len());
}

#[test]
fn connections_wait_while_paused_and_reach_whoever_is_opened_next() {
    let port = server("127.0.0.1:0", echo);
    let proxy = proxy([any_port(port)]);
    let mut waiting = client(&proxy);
    waiting.write_all(b"early").unwrap();
    waiting.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut answer = [0; 5];
    assert!(waiting.read_exact(&mut answer).is_err(), "paused, nobody answers");
    assert_eq!(proxy.connections().unwrap(), 0);
    waiting.set_read_timeout(Some(SOON)).unwrap();
    proxy.open(our_network()).unwrap();
    waiting.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"early");

    proxy.pause().unwrap();
    waiting.write_all(b"still").unwrap();
    waiting.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"still", "a pause leaves existing connections alone");
    proxy.disconnect().unwrap();
    assert_eq!(waiting.read(&mut answer).unwrap_or(0), 0, "and disconnect ends them");
}

#[test]
fn a_server_on_version_6_only_is_reached_and_a_closed_port_ends_the_connection() {
    let port = server("[::1]:0", echo);
    let proxy = proxy([any_port(port)]);
    proxy.open(our_network()).unwrap();
    let mut stream = client(&proxy);
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();

    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    proxy.set(&BTreeSet::from([any_port(closed)])).unwrap();
    assert_eq!(client(&proxy).read(&mut [0]).unwrap_or(0), 0);
    stream.write_all(b"y").unwrap();
    stream.read_exact(&mut [0]).unwrap();
}

#[test]
fn a_port_in_use_is_refused_by_name_and_nothing_else_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = taken.local_addr().unwrap();
    let proxy = proxy([]);
    let e = proxy.add(&BTreeSet::from([any_port(80), Port { host, inside: 80 }])).unwrap_err();
    assert!(matches!(e, Error::InUse { host: h } if h == host), "{e}");
    assert!(e.to_string().contains(&host.to_string()), "{e}");
    assert!(proxy.ports().is_empty());
    drop(taken);
    proxy.add(&BTreeSet::from([Port { host, inside: 80 }])).unwrap();
    let e = proxy.add(&BTreeSet::from([Port { host, inside: 80 }, Port { host, inside: 81 }])).unwrap_err();
    assert!(matches!(e, Error::Twice { .. }), "{e}");
    let nowhere = Port { host: "192.0.2.1:80".parse().unwrap(), inside: 80 };
    assert!(matches!(proxy.add(&BTreeSet::from([nowhere])), Err(Error::NoSuchAddress { .. })));
}

#[test]
fn a_changed_list_closes_what_is_gone_and_frees_its_port() {
    let port = server("127.0.0.1:0", echo);
    let proxy = proxy([any_port(port)]);
    let host = proxy.ports()[0].host;
    proxy.set(&BTreeSet::new()).unwrap();
    assert!(TcpStream::connect(host).is_err());
    TcpListener::bind(host).unwrap();
}

#[test]
fn many_connections_at_once_are_all_served_and_more_than_the_limit_wait() {
    rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit {
            current: rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum,
            maximum: rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum,
        },
    )
    .unwrap();
    let port = server("127.0.0.1:0", echo);
    let proxy = proxy([any_port(port)]);
    proxy.open(our_network()).unwrap();
    let mut clients: Vec<TcpStream> = (0..MAX_CONNECTIONS + 50).map(|_| client(&proxy)).collect();
    for (n, stream) in clients.iter_mut().take(MAX_CONNECTIONS).enumerate() {
        stream.write_all(&(n as u32).to_be_bytes()).unwrap();
    }
    for (n, stream) in clients.iter_mut().take(MAX_CONNECTIONS).enumerate() {
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(u32::from_be_bytes(answer), n as u32);
    }
    assert_eq!(proxy.connections().unwrap(), MAX_CONNECTIONS);
    // Those beyond the limit get their turn when others leave.
    let mut late = clients.split_off(MAX_CONNECTIONS);
    drop(clients);
    for stream in &mut late {
        stream.write_all(b"late").unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"late");
    }
}

/// A process in a network namespace of its own with loopback up, that answers connections to port 80 with its name.
fn machine(name: &str) -> (Child, OwnedFd) {
    // `cat` keeps the namespace; it ends with its standard input, that is with this test.
    let mut child = Process::new("unshare")
        .args(["--net", "sh", "-c", "ip link set lo up && echo up && exec cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the programs `unshare` (util-linux) and `ip` (iproute2) are needed, and root");
    let mut up = [0; 3];
    child.stdout.as_mut().unwrap().read_exact(&mut up).unwrap();
    let path = format!("/proc/{}/ns/net", child.id());
    let inside = std::fs::File::open(&path).unwrap();
    let name = name.to_owned();
    let (ready, is_ready) = channel();
    std::thread::spawn(move || {
        pump::enter(&OwnedFd::from(inside)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:80").unwrap();
        ready.send(()).unwrap();
        for stream in listener.incoming() {
            stream.unwrap().write_all(name.as_bytes()).unwrap();
        }
    });
    is_ready.recv().unwrap();
    (child, std::fs::File::open(&path).unwrap().into())
}

#[test]
fn one_listener_serves_first_one_namespace_and_then_another() {
    let (mut old, old_network) = machine("old");
    let (mut new, new_network) = machine("new");
    let proxy = proxy([any_port(80)]);
    let ask = |stream: &mut TcpStream| {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    proxy.open(old_network).unwrap();
    assert_eq!(ask(&mut client(&proxy)), "old");
    proxy.pause().unwrap();
    let mut between = client(&proxy);
    proxy.open(new_network).unwrap();
    assert_eq!(ask(&mut between), "new", "asked during the switch, answered by the new one");
    assert_eq!(ask(&mut client(&proxy)), "new");
    let not_a_network = std::fs::File::open("/proc/self/ns/uts").unwrap();
    assert!(proxy.open(not_a_network.into()).is_err());
    old.kill().unwrap();
    old.wait().unwrap();
    new.kill().unwrap();
    new.wait().unwrap();
}
