//! How often somebody may try to sign in.
//!
//! Guessing must be slow, and nobody may keep the right person out by guessing badly on purpose. So there are two counts:
//!
//! * of an **address** (IPv6: its /64 network): after [`FREE_ADDRESS`] tries each further one costs a wait that doubles
//!   from one second to [`MOST_ADDRESS`];
//! * of an **account**, from wherever: after [`FREE_ACCOUNT`] tries the wait doubles to [`MOST_ACCOUNT`] only, and an
//!   address from which the account has signed in before does not feel it at all.
//!
//! A try counts as failed from its beginning and is taken back when it succeeds, so that many at the same instant are no
//! way around. Names that nobody has are counted like any other: the wait does not tell which names exist. Counts end
//! [`FORGET`] after the last try. They live in memory; a restart is a thing of the person at the terminal.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

/// Tries of an address that cost no wait.
const FREE_ADDRESS: u32 = 10;
/// Tries for an account that cost no wait.
const FREE_ACCOUNT: u32 = 5;
/// The longest wait of an address, in seconds.
const MOST_ADDRESS: i64 = 300;
/// The longest wait of an account, in seconds: so long can others keep its owner waiting at most.
const MOST_ACCOUNT: i64 = 30;
/// When a count is forgotten, after the last try.
const FORGET: SignedDuration = SignedDuration::from_mins(30);
/// How many counts of each kind are kept.
const MOST_COUNTS: usize = 4096;

/// Where somebody comes from: an address, or the /64 network of one.
type Net = u128;

#[derive(Debug, Clone, Copy)]
struct Count {
    tries: u32,
    /// No try before this instant.
    until: Timestamp,
    last: Timestamp,
}

#[derive(Debug, Default)]
struct Counts {
    addresses: BTreeMap<Net, Count>,
    accounts: BTreeMap<String, Count>,
    /// Where accounts have signed in from.
    homes: BTreeMap<(String, Net), Timestamp>,
}

/// The counts of one run of the program.
#[derive(Debug, Default)]
pub(crate) struct Tries(Mutex<Counts>);

fn net(address: IpAddr) -> Net {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits() >> 64 << 64,
    }
}

impl Tries {
    /// Begins a try; the error is for how many seconds to wait before the next one.
    pub(crate) fn begin(&self, name: &str, address: IpAddr, now: Timestamp) -> Result<(), i64> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (net, name) = (net(address), name.to_owned());
        let at_home = counts.homes.contains_key(&(name.clone(), net));
        let held = [counts.addresses.get(&net), counts.accounts.get(&name).filter(|_| !at_home)];
        let until = held.into_iter().flatten().filter(|c| now.duration_since(c.last) < FORGET).map(|c| c.until).max();
        if let Some(until) = until.filter(|until| *until > now) {
            // A clock that was set back must not make anybody wait for longer than ever meant.
            return Err(until.duration_since(now).as_secs().clamp(1, MOST_ADDRESS));
        }
        add(&mut counts.addresses, net, FREE_ADDRESS, MOST_ADDRESS, now);
        if !at_home {
            add(&mut counts.accounts, name, FREE_ACCOUNT, MOST_ACCOUNT, now);
        }
        Ok(())
    }

    /// The try was right: it does not count, and the account is at home at this address.
    pub(crate) fn succeeded(&self, name: &str, address: IpAddr, now: Timestamp) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (net, name) = (net(address), name.to_owned());
        // What others have tried for this account still counts; this address begins anew.
        counts.addresses.remove(&net);
        if let Some(count) = counts.accounts.get_mut(&name) {
            count.tries = count.tries.saturating_sub(1);
        }
        counts.homes.insert((name, net), now);
        if counts.homes.len() > MOST_COUNTS {
            let oldest = counts.homes.iter().min_by_key(|(_, at)| **at).map(|(home, _)| home.clone());
            oldest.map(|home| counts.homes.remove(&home));
        }
    }
}

fn add<K: Ord + Clone>(counts: &mut BTreeMap<K, Count>, key: K, free: u32, most: i64, now: Timestamp) {
    if counts.len() >= MOST_COUNTS && !counts.contains_key(&key) {
        let oldest = counts.iter().min_by_key(|(_, c)| c.last).map(|(key, _)| key.clone());
        oldest.map(|key| counts.remove(&key));
    }
    let count = counts.entry(key).or_insert(Count { tries: 0, until: now, last: now });
    if now.duration_since(count.last) >= FORGET {
        count.tries = 0;
    }
    count.tries = count.tries.saturating_add(1);
    count.last = now;
    count.until = match count.tries.checked_sub(free) {
        None => now,
        Some(over) => now + SignedDuration::from_secs(most.min(1 << over.min(20))),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn waits_grow_and_are_forgotten() {
        let tries = Tries::default();
        let here = ip("192.0.2.1");
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..30 {
            if let Err(wait) = tries.begin("alice", here, at(now)) {
                waits.push(wait);
                now += wait;
                assert_eq!(tries.begin("alice", here, at(now)), Ok(()), "after the wait one may try");
            }
        }
        assert_eq!(waits[..7], [1, 2, 4, 8, 16, 30, 30], "what others do to an account is bounded: {waits:?}");
        assert_eq!(waits.iter().max(), Some(&300));
        assert_eq!(tries.begin("alice", here, at(now + 3600)), Ok(()));
        assert_eq!(tries.begin("alice", here, at(now + 3600)), Ok(()), "the count began anew");
    }

    #[test]
    fn others_keep_the_owner_waiting_for_seconds_only_and_at_home_not_at_all() {
        let tries = Tries::default();
        tries.begin("alice", ip("192.0.2.9"), at(0)).unwrap();
        tries.succeeded("alice", ip("192.0.2.9"), at(0));
        let mut refused = 0;
        for n in 0..2000u32 {
            let elsewhere = IpAddr::V4((0x0a00_0000 + n).into());
            refused += u32::from(tries.begin("alice", elsewhere, at(0)).is_err());
        }
        assert!(refused > 1900, "many addresses at once are no way around: {refused}");
        let wait = tries.begin("alice", ip("198.51.100.1"), at(0)).unwrap_err();
        assert!(wait <= MOST_ACCOUNT, "{wait}");
        assert_eq!(tries.begin("alice", ip("192.0.2.9"), at(0)), Ok(()), "where she has been before");
        assert_eq!(tries.begin("bob", ip("198.51.100.1"), at(0)), Ok(()), "other accounts are not concerned");
    }

    #[test]
    fn a_right_password_clears_the_address() {
        let tries = Tries::default();
        for n in 0..10 {
            assert_eq!(tries.begin(&format!("n{n}"), ip("192.0.2.1"), at(0)), Ok(()));
        }
        assert!(tries.begin("alice", ip("192.0.2.1"), at(0)).is_err());
        tries.begin("alice", ip("192.0.2.1"), at(9)).unwrap();
        tries.succeeded("alice", ip("192.0.2.1"), at(9));
        assert_eq!(tries.begin("bob", ip("192.0.2.1"), at(9)), Ok(()));
    }

    #[test]
    fn an_ipv6_network_is_one_and_an_ipv4_address_is_itself() {
        assert_eq!(net(ip("2001:db8::1")), net(ip("2001:db8::ffff:1")));
        assert_ne!(net(ip("2001:db8::1")), net(ip("2001:db8:0:1::1")));
        assert_eq!(net(ip("::ffff:192.0.2.1")), net(ip("192.0.2.1")));
        assert_ne!(net(ip("192.0.2.2")), net(ip("192.0.2.1")));
    }

    #[test]
    fn there_is_an_end_to_what_is_remembered() {
        let tries = Tries::default();
        for n in 0..10_000u32 {
            let _ = tries.begin(&format!("n{n}"), IpAddr::V4((0x0a00_0000 + n).into()), at(0));
        }
        let counts = tries.0.lock().unwrap();
        assert!(counts.addresses.len() <= MOST_COUNTS && counts.accounts.len() <= MOST_COUNTS);
    }
}
