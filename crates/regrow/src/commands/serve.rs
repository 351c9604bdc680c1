//! `regrow serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use regrow_ops::{Context, Error};
use regrow_web::{DEFAULT_LISTEN, Serve, Serving, TlsFiles};

use crate::session::{Outcome, Session, print};

/// Show the pages: servers, changesets, evidence, and buttons for build, trial, switch and rollback
///
/// Listens on this machine only, and lets in who opens the one-time link that is printed. A second `regrow serve`
/// prints a new link to the first.
///
/// Where other machines can reach it, it wants a certificate, and accounts to sign in with (`regrow account add`). The
/// certificate is read again when its files change, and on SIGHUP.
///
///     regrow serve
///     regrow serve --listen 0.0.0.0:7420 --tls-cert cert.pem --tls-key key.pem --name regrow.example
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct ServeArgs {
    /// Address and port to listen on
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = DEFAULT_LISTEN)]
    listen: SocketAddr,
    /// The certificate, and those that lead to a known one, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// A further name that browsers may call this machine by
    #[arg(long = "name", value_name = "HOST")]
    names: Vec<String>,
}

pub(crate) fn run(args: &ServeArgs, ctx: &Context, session: &Session) -> Outcome {
    if let Err(e) = ctx.recover() {
        session.note(&format!("servers were not looked after: {e}"));
    }
    let serve = Serve {
        context: ctx.clone(),
        listen: args.listen,
        tls: args.tls_cert.clone().zip(args.tls_key.clone()).map(|(certificate, key)| TlsFiles { certificate, key }),
        names: args.names.clone(),
    };
    let json = session.json();
    let ready = |serving: &Serving| {
        if json {
            print(&format!(
                "{}\n",
                serde_json::json!({"url": serving.url, "link": serving.link, "address": serving.address, "pid": serving.pid})
            ));
        } else if !serving.address.ip().is_loopback() {
            let how = if serving.already { "already serving" } else { "serving" };
            print(&format!("{how} at {}; sign in with an account (`regrow account list`)\n", serving.url));
        } else if serving.already {
            print(&format!("already serving; a new link, good once:\n{}\n", serving.link));
        } else {
            print(&format!(
                "serving at {}; open this link, good once:\n{}\nend it with Ctrl-C\n",
                serving.url, serving.link
            ));
        }
    };
    match regrow_web::serve(serve, ready) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(e) if e.exit_code() == 2 => Err(Error::mistake(words(&e))),
        Err(e) => Err(Error::Surroundings { message: words(&e), help: None }),
    }
}

fn words(e: &regrow_web::Error) -> String {
    match std::error::Error::source(e) {
        Some(cause) => format!("{e}: {cause}"),
        None => e.to_string(),
    }
}
