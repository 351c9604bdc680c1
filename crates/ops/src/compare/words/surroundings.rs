//! The machine, its ports, its kernel settings, its data, its checks.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use regrow_config::{Check, CheckKind, Server};

use super::{Change, brief, each, memory};

pub(super) fn system(old: &Server, new: &Server, words: &mut Vec<String>) {
    let (a, b) = (&old.system, &new.system);
    let host = |s: &Server| s.system.hostname != s.name;
    if a.hostname != b.hostname && (host(old) || host(new)) {
        words.push(format!("The host name is {}, not {}", b.hostname, a.hostname));
    }
    if a.timezone != b.timezone {
        words.push(format!("The time zone is {}, not {}", b.timezone, a.timezone));
    }
    if a.locale != b.locale {
        words.push(format!("The locale is {}, not {}", b.locale, a.locale));
    }
    if old.architecture != new.architecture {
        words.push(format!("The architecture is {}, not {}", new.architecture, old.architecture));
    }
    let mut limit = |what: &str, old: Option<String>, new: Option<String>| match (old, new) {
        (old, new) if old == new => {}
        (None, Some(new)) => words.push(format!("It may use {new}{what}")),
        (Some(old), Some(new)) => words.push(format!("It may use {new}{what}, not {old}")),
        (Some(old), None) => words.push(format!("It may use more than {old}{what}")),
        (None, None) => {}
    };
    limit(" of memory", a.limits.memory.map(memory), b.limits.memory.map(memory));
    limit(" processes", a.limits.tasks.map(|n| n.to_string()), b.limits.tasks.map(|n| n.to_string()));
}

/// Who can reach an address: "this machine" for loopback, else "other machines".
pub(crate) fn open_to(host: &SocketAddr) -> &'static str {
    if host.ip().is_loopback() { "this machine" } else { "other machines" }
}

pub(super) fn network(old: &Server, new: &Server, words: &mut Vec<String>) {
    let by_host =
        |s: &Server| -> BTreeMap<SocketAddr, u16> { s.network.publish.iter().map(|p| (p.host, p.port)).collect() };
    let (old, new) = (by_host(old), by_host(new));
    let mut opens: Vec<SocketAddr> = new.keys().filter(|h| !old.contains_key(h)).copied().collect();
    let mut closes: Vec<SocketAddr> = old.keys().filter(|h| !new.contains_key(h)).copied().collect();
    // The same port at another address is one change, not two.
    let moved: Vec<(SocketAddr, SocketAddr)> = opens
        .iter()
        .filter_map(|to| closes.iter().find(|from| from.port() == to.port()).map(|from| (*from, *to)))
        .collect();
    opens.retain(|host| !moved.iter().any(|(_, to)| to == host));
    closes.retain(|host| !moved.iter().any(|(from, _)| from == host));
    for (from, to) in &moved {
        words.push(if open_to(from) == open_to(to) {
            format!("Port {} is open at {}, not {}", to.port(), to.ip(), from.ip())
        } else {
            format!("Port {} is open to {}, not only at {}", to.port(), open_to(to), from.ip())
        });
    }
    let outside = opens.iter().any(|h| open_to(h) == "other machines");
    let list = |hosts: &[SocketAddr]| hosts.iter().map(|h| h.port().to_string()).collect::<Vec<_>>().join(", ");
    let s = |n: usize| if n == 1 { "s" } else { "" };
    let ports = |n: usize| if n == 1 { "Port" } else { "Ports" };
    let to = if outside { " to other machines" } else { "" };
    match (opens.len(), closes.len()) {
        (0, 0) => {}
        (n, 0) => words.push(format!("{} {} open{}{to}", ports(n), list(&opens), s(n))),
        (0, n) => words.push(format!("{} {} close{}", ports(n), list(&closes), s(n))),
        (n, m) => {
            words.push(format!("{} {} open{}{to}, {} close{}", ports(n), list(&opens), s(n), list(&closes), s(m)))
        }
    }
    for (host, port) in &new {
        let before =
            old.get(host).or_else(|| moved.iter().find(|(_, to)| to == host).and_then(|(from, _)| old.get(from)));
        if let Some(before) = before.filter(|before| *before != port) {
            words.push(format!("Port {} leads to {port} inside, not {before}", host.port()));
        }
    }
}

pub(super) fn sysctl(old: &Server, new: &Server, words: &mut Vec<String>) {
    each(&old.sysctl, &new.sysctl, |name, change| {
        words.push(match change {
            Change::Added(value) => format!("The kernel setting {name} is {value}"),
            Change::Removed(_) => format!("The kernel setting {name} is left as it is"),
            Change::Both(old, new) => format!("The kernel setting {name} {old} → {new}"),
        });
    });
}

pub(super) fn state(old: &Server, new: &Server, words: &mut Vec<String>) {
    each(&old.state, &new.state, |name, change| match change {
        Change::Added(state) => words.push(format!("{} is kept across switches ({name})", state.paths.join(", "))),
        Change::Removed(state) => words.push(format!("{} is no longer kept ({name})", state.paths.join(", "))),
        Change::Both(old, new) => {
            for path in new.paths.iter().filter(|p| !old.paths.contains(p)) {
                words.push(format!("{path} is kept across switches as well ({name})"));
            }
            for path in old.paths.iter().filter(|p| !new.paths.contains(p)) {
                words.push(format!("{path} is no longer kept ({name})"));
            }
            if old.engine != new.engine {
                let engine = format!("{:?}", new.engine).to_lowercase();
                words.push(format!("The data {name} is captured as {engine}"));
            }
            if old.exclude != new.exclude {
                words.push(format!("Other parts of the data {name} are left out of backups"));
            }
        }
    });
}

pub(super) fn checks(old: &Server, new: &Server, words: &mut Vec<String>) {
    each(&old.checks, &new.checks, |name, change| match change {
        Change::Added(check) => words.push(format!("The check {name} is added: {}", looks_at(&check.kind))),
        Change::Removed(_) => words.push(format!("The check {name} is removed")),
        Change::Both(old, new) => check(name, old, new, words),
    });
}

fn looks_at(kind: &CheckKind) -> String {
    match kind {
        CheckKind::Unit { unit } => format!("{unit} is active"),
        CheckKind::Port { port } => format!("port {port} answers"),
        CheckKind::Http { url, status, .. } => format!("{url} answers with {status}"),
        CheckKind::Command { argv, .. } => format!("{} succeeds", brief(&argv.join(" "))),
        CheckKind::File { path, exists: true, .. } => format!("{path} is there"),
        CheckKind::File { path, .. } => format!("{path} is not there"),
    }
}

fn check(name: &str, old: &Check, new: &Check, words: &mut Vec<String>) {
    let before = words.len();
    if old.timeout != new.timeout {
        words.push(format!("The check {name} may take {} s, not {} s", new.timeout, old.timeout));
    }
    let mut wants = |what: String| words.push(format!("The check {name} now {what}"));
    let text = |what: &str, text: &Option<String>| match text {
        Some(text) => format!("wants {:?} in {what}", brief(text)),
        None => format!("takes any {what}"),
    };
    match (&old.kind, &new.kind) {
        (CheckKind::Http { url: a, status: old_status, body: old_body }, CheckKind::Http { url: b, status, body }) => {
            if a != b {
                wants(format!("asks {b}"));
            }
            if old_status != status {
                wants(format!("wants status {status}"));
            }
            if old_body != body {
                wants(text("answer", body).replace("in answer", "in the answer"));
            }
        }
        (
            CheckKind::Command { argv: a, exit: old_exit, stdout: old_out },
            CheckKind::Command { argv: b, exit, stdout },
        ) => {
            if a != b {
                wants(format!("runs {}", brief(&b.join(" "))));
            }
            if old_exit != exit {
                wants(format!("wants exit status {exit}"));
            }
            if old_out != stdout {
                wants(text("output", stdout).replace("in output", "in the output"));
            }
        }
        (
            CheckKind::File { path: a, exists: old_exists, content: old_content, mode: old_mode },
            CheckKind::File { path: b, exists, content, mode },
        ) => {
            if a != b || old_exists != exists {
                wants(format!("wants that {}", looks_at(&new.kind)));
            }
            if old_content != content {
                wants(text("content", content).replace("in content", "in the content"));
            }
            if old_mode != mode {
                wants(
                    mode.map_or("takes any permissions".to_owned(), |mode| format!("wants the permissions {mode:04o}")),
                );
            }
        }
        (a, b) if a != b => wants(format!("wants that {}", looks_at(b))),
        _ => {}
    }
    if before == words.len() {
        words.push(format!("The check {name} changes"));
    }
}
