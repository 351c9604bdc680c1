//! What every request passes before a page is asked for it.
//!
//! A page that can switch a server must not be usable by another site that the same browser visits. In order:
//!
//! 1. **Host**: only a loopback name (or, where listening elsewhere was asked for, an address or a given name). A foreign
//!    name that resolves to this machine (DNS rebinding) is refused before anything else looks at the request.
//! 2. **Session**: the cookie from a one-time link; without it there is nothing but the words how to get one.
//! 3. **Origin of a change**: browsers say where a request comes from (`Sec-Fetch-Site`, `Origin`); a POST must come from
//!    our own pages. Other ports of this machine are the same *site*, which is why `SameSite` alone is not enough.
//! 4. **Form token**: see [`crate::session`]; it holds where a browser says nothing.
//!
//! Every answer carries the headers of [`SECURITY`], also the refusals.

use std::net::IpAddr;

use axum::http::header::{HOST, HeaderName, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method};

/// Only our own files may run or style a page; nothing may frame it; forms go nowhere else.
pub(crate) const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
     img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The headers of every answer.
pub(crate) const SECURITY: [(&str, &str); 6] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("x-frame-options", "DENY"),
];

/// Sets [`SECURITY`]; pages are not stored unless their handler said otherwise.
pub(crate) fn harden(headers: &mut HeaderMap) {
    for (name, value) in SECURITY {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.entry("cache-control").or_insert(HeaderValue::from_static("no-store"));
}

/// Which names a request may call us by.
#[derive(Debug, Clone)]
pub(crate) struct Hosts {
    /// Whether any address literal is fine: we listen on more than loopback. An address cannot be rebound.
    pub(crate) any_address: bool,
    /// Further names that the person gave.
    pub(crate) names: Vec<String>,
}

impl Hosts {
    /// Whether the request calls us by one of our names. The port is free, so that a forwarded port works.
    pub(crate) fn accepts(&self, headers: &HeaderMap) -> bool {
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        let Some(host) = host.to_str().ok().and_then(|h| h.parse::<Authority>().ok()) else { return false };
        if host.as_str().contains('@') {
            return false;
        }
        let name = host.host().trim_start_matches('[').trim_end_matches(']');
        match name.parse::<IpAddr>() {
            Ok(address) => address.is_loopback() || self.any_address,
            Err(_) => name.eq_ignore_ascii_case("localhost") || self.names.iter().any(|n| n.eq_ignore_ascii_case(name)),
        }
    }
}

/// Whether a request that changes something comes from one of our own pages, as far as the browser says.
///
/// `Sec-Fetch-Site` cannot be set by a page and decides where it is there (under our referrer policy `Origin` is `null`
/// even for our own forms). Older programs send `Origin` or nothing; nothing leaves it to the form token.
pub(crate) fn is_same_origin(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    match (headers.get(ORIGIN), headers.get(HOST)) {
        (None, _) => true,
        (Some(origin), Some(host)) => {
            let origin = origin.to_str().unwrap_or_default();
            let host = host.to_str().unwrap_or_default();
            let origin = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            !host.is_empty() && origin.is_some_and(|o| o.eq_ignore_ascii_case(host))
        }
        (Some(_), None) => false,
    }
}

/// Whether a method may change something.
pub(crate) fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD)
}

/// The value of our cookie, if the request has it.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all("cookie")
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        map
    }

    #[test]
    fn only_loopback_names_are_ours() {
        let hosts = Hosts { any_address: false, names: vec![] };
        for good in ["127.0.0.1:7420", "localhost", "LocalHost:1", "[::1]:7420", "127.9.9.9"] {
            assert!(hosts.accepts(&headers(&[("host", good)])), "{good}");
        }
        for bad in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:7420",
            "10.0.0.1",
            "a@localhost",
            "",
            ":1",
        ] {
            assert!(!hosts.accepts(&headers(&[("host", bad)])), "{bad}");
        }
        assert!(!hosts.accepts(&headers(&[])), "no host at all");
        assert!(!hosts.accepts(&headers(&[("host", "localhost"), ("host", "localhost")])), "two hosts");
    }

    #[test]
    fn listening_elsewhere_takes_addresses_and_given_names_only() {
        let hosts = Hosts { any_address: true, names: vec!["regrow.example".to_owned()] };
        for good in ["10.0.0.1:7420", "[fd00::1]", "regrow.example:7420"] {
            assert!(hosts.accepts(&headers(&[("host", good)])), "{good}");
        }
        assert!(!hosts.accepts(&headers(&[("host", "evil.example")])));
    }

    #[test]
    fn a_change_must_come_from_our_own_pages() {
        let ok = |pairs: &[(&'static str, &str)]| is_same_origin(&headers(pairs));
        assert!(ok(&[("sec-fetch-site", "same-origin"), ("origin", "null"), ("host", "localhost:1")]));
        assert!(ok(&[("origin", "http://localhost:1"), ("host", "localhost:1")]));
        assert!(ok(&[("host", "localhost:1")]));
        for site in ["cross-site", "same-site", "none", ""] {
            assert!(
                !ok(&[("sec-fetch-site", site), ("origin", "http://localhost:1"), ("host", "localhost:1")]),
                "{site}"
            );
        }
        for origin in ["null", "http://localhost:2", "ftp://localhost:1", "http://evil.example", "localhost:1"] {
            assert!(!ok(&[("origin", origin), ("host", "localhost:1")]), "{origin}");
        }
    }

    #[test]
    fn the_cookie_is_found_among_others_and_by_its_whole_name() {
        let map = headers(&[("cookie", "xregrow=1; a=b"), ("cookie", "regrow2=3; regrow=yes")]);
        assert_eq!(cookie(&map, "regrow"), Some("yes"));
        assert_eq!(cookie(&map, "other"), None);
    }
}
