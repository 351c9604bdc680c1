//! One GET request inside a machine, for checks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use crate::inside::Inside;

/// Most bytes of a body that are looked at.
const BODY_LIMIT: u64 = 4 << 20;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// Where a redirection leads; it is not followed, because it *is* the answer.
    pub(crate) location: Option<String>,
    /// The beginning of the body.
    pub(crate) body: Vec<u8>,
}

/// Asks once, on a thread in the machine's network; words if there is no answer.
pub(crate) fn get(inside: &Inside, url: &str, limit: Duration) -> Result<Answer, String> {
    regrow_sandbox::in_network_of(inside.as_fd(), || request(url, limit)).map_err(|e| e.to_string())?
}

fn request(url: &str, limit: Duration) -> Result<Answer, String> {
    let config = Config::builder()
        .timeout_global(Some(limit))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent("regrow")
        .build();
    let agent = ureq::Agent::with_parts(config, DefaultConnector::default(), Names);
    let mut response = agent.get(url).call().map_err(|e| e.to_string())?;
    let location = response.headers().get("location").map(|l| String::from_utf8_lossy(l.as_bytes()).into_owned());
    let mut body = Vec::new();
    let mut reader = std::io::Read::take(response.body_mut().as_reader(), BODY_LIMIT);
    std::io::Read::read_to_end(&mut reader, &mut body).map_err(|e| format!("the body broke off: {e}"))?;
    Ok(Answer { status: response.status().as_u16(), location, body })
}

/// Names as a machine without a network knows them: addresses are themselves, every other name is the machine itself
/// (a virtual host of its web server). The host's resolver has no part in it.
#[derive(Debug)]
struct Names;

impl Resolver for Names {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().ok_or(ureq::Error::HostNotFound)?.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let mut found = self.empty();
        match host.parse::<IpAddr>() {
            Ok(address) => found.push(SocketAddr::new(address, port)),
            Err(_) => {
                found.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
                found.push(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    fn serve(answer: &'static str) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(answer.as_bytes());
        });
        port
    }

    #[test]
    fn status_and_body_come_back_also_for_errors() {
        let port = serve("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nlate");
        let answer = request(&format!("http://any.name.example:{port}/"), Duration::from_secs(5)).unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (503, b"late".as_slice()));
    }

    #[test]
    fn a_redirection_is_the_answer_and_is_not_followed() {
        let port = serve("HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n");
        let answer = request(&format!("http://localhost:{port}/"), Duration::from_secs(5)).unwrap();
        assert_eq!((answer.status, answer.location.as_deref()), (302, Some("http://192.0.2.1/")));
    }

    #[test]
    fn nothing_listening_is_said_in_words() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let words = request(&format!("http://127.0.0.1:{port}/"), Duration::from_secs(5)).unwrap_err();
        assert!(words.to_lowercase().contains("refused"), "{words}");
    }
}
