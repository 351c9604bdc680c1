//! What changes the online server: `switch`, `rollback`, `stop`, `start`, `up`.

use std::collections::BTreeSet;

use regrow_config::Server;
use regrow_machine::proxy::Port;
use serde::Serialize;

use super::control::{Answer as Said, Request};
use super::journal::{Candidate, Phase};
use super::launch::{ask, recover};
use super::report::SwitchReport;
use super::site::read_journal;
use crate::Answer;
use crate::acts::{self, Act};
use crate::build::{BuildReport, build_wanted, open_store};
use crate::context::Context;
use crate::drafts;
use crate::error::{Error, Result};
use crate::undo::Way;
use crate::wanted::Wanted;

impl Candidate {
    /// A built image of a server, with everything that its text says about running it.
    ///
    /// # Errors
    /// If its state paths are unusable.
    pub fn new(server: &Server, build: &BuildReport) -> Result<Candidate> {
        let tables = server.state.iter().map(|(name, state)| (name.as_str(), state.paths.as_slice()));
        let publish: BTreeSet<Port> =
            server.network.publish.iter().map(|p| Port { host: p.host, inside: p.port }).collect();
        Ok(Candidate {
            revision: build.revision.clone(),
            image: build.image.clone(),
            hostname: server.system.hostname.clone(),
            limits: server.system.limits.clone(),
            checks: server.checks.clone(),
            publish,
            state: regrow_state::declared(tables)?,
        })
    }
}

/// `switch SERVER [--at REV]`: makes the image of a revision (by default the newest) the online server, or leaves what
/// was online if it is not healthy. Run it in a job ([`crate::jobs`]).
///
/// # Errors
/// [`Error::Mistake`] if the server's text is not committed.
pub fn switch(ctx: &Context, server: &str, at: Option<&str>) -> Result<SwitchReport> {
    ctx.begin("switching")?;
    recover(ctx)?;
    drafts::check_decided(ctx, at)?;
    let wanted = Wanted::read(ctx, at)?;
    let text = wanted.server(server)?;
    let revision = wanted.revision(ctx, Some(server))?;
    if revision.edited || revision.commit.is_none() {
        return Err(Error::mistake_with(
            format!("the text of {server} has edits that are no changeset yet: only committed text goes online"),
            format!(
                "commit them (git commit), or put the last changeset online with: regrow switch {server} --at HEAD"
            ),
        ));
    }
    let build = build_wanted(ctx, &wanted, server, true)?;
    // The journal that will name this image survives a power cut; so must the image.
    open_store(ctx)?.sync()?;
    let candidate = Candidate::new(text, &build)?;
    ctx.home().claim(server, ctx.fleet()?)?;
    report(ask(ctx, server, &Request::Switch { candidate: Box::new(candidate) })?)
}

/// `rollback SERVER [--with-state]`: back to what was online before; with the state as it was then, if asked.
/// Run it in a job ([`crate::jobs`]).
///
/// # Errors
/// [`Error::No`] if nothing was online before.
pub fn rollback(ctx: &Context, server: &str, with_state: bool) -> Result<SwitchReport> {
    ctx.begin("rolling back")?;
    known(ctx, server)?;
    recover(ctx)?;
    report(ask(ctx, server, &Request::Rollback { with_state })?)
}

/// Decides about the candidate of a switch or rollback while its checks still run: with `keep` it stays, though checks
/// are pending; otherwise what was online before comes back, and the revision is held. `generation` is the one that the
/// person saw; `None` means whichever is being judged. When this returns, the decision is in the journal: it will be so,
/// whatever is killed.
///
/// # Errors
/// [`Error::No`] if nothing is being judged (any more), or somebody has decided otherwise.
pub fn decide(ctx: &Context, server: &str, generation: Option<u64>, keep: bool) -> Result<()> {
    known(ctx, server)?;
    let judged = match read_journal(&ctx.home().server(server))?.phase {
        Phase::Switching { to, .. } => Some(to.candidate.revision),
        _ => None,
    };
    super::launch::decide(ctx, server, generation, keep)?;
    let words = if keep { "kept it before its checks had ended" } else { "sent it back" };
    let act = Act::new(if keep { "keep" } else { "go-back" }, words).about(server);
    let way = judged.filter(|_| !keep).map(|revision| Way::Held { server: server.to_owned(), revision });
    acts::record(ctx, &way.into_iter().fold(act, Act::undone_by));
    Ok(())
}

fn report(said: Said) -> Result<SwitchReport> {
    match said {
        Said::Report(report) => Ok(*report),
        other => Err(Error::surroundings(
            format!("the supervisor gave an unexpected answer: {other:?}"),
            "run `regrow status`",
        )),
    }
}

/// What `stop`, `start` and `up` did.
#[derive(Debug, Clone, Serialize)]
pub struct PowerReport {
    /// The servers that changed.
    pub servers: Vec<String>,
}

impl Answer for PowerReport {}

/// `stop SERVER`: takes it offline, in order, until `start` or `switch`. Its state, and what it would go back to, stay.
///
/// # Errors
/// If it cannot be stopped.
pub fn stop(ctx: &Context, server: &str) -> Result<PowerReport> {
    ctx.begin("stopping a server")?;
    known(ctx, server)?;
    if !read_journal(&ctx.home().server(server))?.wants_running() {
        return Ok(PowerReport { servers: Vec::new() });
    }
    ask(ctx, server, &Request::Stop)?;
    Ok(PowerReport { servers: vec![server.to_owned()] })
}

/// `start SERVER`: brings a stopped server online again, as it was.
///
/// # Errors
/// [`Error::Mistake`] if it never was online.
pub fn start(ctx: &Context, server: &str) -> Result<PowerReport> {
    ctx.begin("starting a server")?;
    known(ctx, server)?;
    ask(ctx, server, &Request::Start)?;
    Ok(PowerReport { servers: vec![server.to_owned()] })
}

/// `up`: brings every server online that should be; what the host's systemd unit runs at boot.
///
/// # Errors
/// If the home cannot be read.
pub fn up(ctx: &Context) -> Result<PowerReport> {
    ctx.begin("bringing servers online")?;
    Ok(PowerReport { servers: recover(ctx)? })
}

/// A server that has a directory in the home.
fn known(ctx: &Context, server: &str) -> Result<()> {
    let names = ctx.home().server_names()?;
    if names.iter().any(|n| n == server) {
        return Ok(());
    }
    Err(Error::mistake_with(
        format!("{server} was never online here"),
        match &names[..] {
            [] => format!("put it online with: regrow switch {server}"),
            names => format!("servers here: {}", names.join(", ")),
        },
    ))
}

/// The unit that brings servers back when the host has booted; `program` and `home` are absolute paths.
///
/// The supervisors it starts stay in its control group, so it has to be told to leave them alone when it is stopped or
/// restarted by hand: `KillMode=process`. At shutdown systemd ends them with SIGTERM, and they end their machines in order.
pub fn host_unit(program: &std::path::Path, home: &std::path::Path) -> String {
    format!(
        "[Unit]\n\
         Description=Online servers of Regrow\n\
         Documentation=man:regrow(1)\n\
         After=local-fs.target network.target\n\
         RequiresMountsFor={home}\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         Environment=REGROW_HOME={home}\n\
         ExecStart={program} up\n\
         KillMode=process\n\
         Delegate=yes\n\
         TimeoutStartSec=10min\n\
         LimitNOFILE=infinity\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        home = escape(home),
        program = escape(program),
    )
}

/// A path as a unit file takes it: quoted where needed, `%` doubled.
fn escape(path: &std::path::Path) -> String {
    let text = path.to_string_lossy().replace('%', "%%");
    if text.contains([' ', '\t', '"', '\\']) {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_units_paths_survive_spaces_and_percents() {
        let unit = host_unit("/opt/my regrow/regrow".as_ref(), "/srv/50%".as_ref());
        assert!(unit.contains("ExecStart=\"/opt/my regrow/regrow\" up\n"), "{unit}");
        assert!(unit.contains("Environment=REGROW_HOME=/srv/50%%\n"), "{unit}");
    }
}
