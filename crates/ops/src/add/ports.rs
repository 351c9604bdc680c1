//! Ports of this machine that nobody uses yet.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use regrow_config::Fleet;

/// Where people expect the port `inside` of a server on the machine that runs it.
fn usual(inside: u16) -> u16 {
    match inside {
        80 => 8080,
        443 => 8443,
        22 => 2222,
        25 => 2525,
        // What only root may listen on, people move up by a round number.
        1..1024 => 10_000 + inside,
        other => other,
    }
}

/// A port of this machine for the port `inside` of a server: the usual one, or the next that neither a server of the
/// fleet nor a program listens on.
pub(super) fn free(fleet: &Fleet, inside: u16, also_taken: &[u16]) -> u16 {
    let published = fleet.servers.values().flat_map(|s| s.network.publish.iter().map(|p| p.host.port()));
    let taken: BTreeSet<u16> = published.chain(also_taken.iter().copied()).collect();
    let start = usual(inside);
    let listening = |port: u16| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).is_err();
    (start..=u16::MAX)
        .chain(1024..start)
        .filter(|port| !taken.contains(port))
        // Only so many are tried: more programs than that do not listen in a row.
        .take(100)
        .find(|port| !listening(*port))
        .unwrap_or(start)
}
