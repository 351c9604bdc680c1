//! `build`: text and lock → image.

use std::collections::BTreeMap;
use std::time::Instant;

use regrow_build::{BuildError, Options};
use regrow_config::{Diagnostic, KeyPath, Server};
use regrow_host::progress;
use regrow_image::Store;
use serde::{Deserialize, Serialize};

use crate::Answer;
use crate::context::Context;
use crate::drafts;
use crate::error::{Error, Result};
use crate::evidence::{self, Differing, Kind, New, Verdict, travel};
use crate::wanted::Wanted;

/// A finished build.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BuildReport {
    /// The server.
    pub server: String,
    /// The text it was built from: a commit id, with `+edits` if the work tree had more.
    pub revision: String,
    /// The image: `v1-sha256-12:<hex>`.
    pub image: String,
    /// Wall-clock seconds in all.
    pub seconds: f64,
    /// The layers in order; the last one is the text.
    pub layers: Vec<Layer>,
    /// How many packages are in it.
    pub packages: usize,
    /// Another image came out elsewhere for the same revision. With the same version of Regrow the answer is no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub differs: Option<Differing>,
}

/// What became of one layer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// Its key: the hash of everything that can influence it.
    pub key: String,
    /// Whether it was known already.
    pub cached: bool,
    /// Wall-clock seconds.
    pub seconds: f64,
}

impl Answer for BuildReport {
    fn is_yes(&self) -> bool {
        !self.differs.as_ref().is_some_and(Differing::is_same_version)
    }
}

/// Builds the image of a server from the work tree, or with `at` from one revision. Run it in a job ([`crate::jobs`]).
pub fn build(ctx: &Context, server: &str, at: Option<&str>, use_cache: bool) -> Result<BuildReport> {
    ctx.begin("building")?;
    drafts::check_decided(ctx, at)?;
    let wanted = Wanted::read(ctx, at)?;
    build_wanted(ctx, &wanted, server, use_cache)
}

/// [`build`] from text that was read already.
pub fn build_wanted(ctx: &Context, wanted: &Wanted<'_>, server: &str, use_cache: bool) -> Result<BuildReport> {
    let began = Instant::now();
    let text = wanted.server(server)?;
    let lock = wanted.lock(server)?;
    let revision = wanted.revision(ctx, Some(server))?.to_string();
    let archive = crate::lock::open_archive(ctx, &wanted.fleet)?;
    let debs = archive.fetch(&lock, ctx.progress())?;
    let plan = regrow_build::plan(text, &lock, &wanted.fleet.catalog);
    let store = open_store(ctx)?;
    let built = regrow_build::run(&plan, &debs, &store, ctx.home().path(), Options { use_cache }, ctx.progress())
        .map_err(|e| place(e, wanted, text))?;
    let layer = |l: regrow_build::LayerReport| Layer { name: l.name, key: l.key, cached: l.cached, seconds: l.seconds };
    let image = built.image.to_string();
    let differs = travel::against(ctx, server, &revision, &image);
    if let Some(differs) = &differs {
        progress::note(ctx.progress(), differs.words());
    }
    let report = BuildReport {
        server: server.to_owned(),
        revision,
        image,
        seconds: began.elapsed().as_secs_f64(),
        layers: built.layers.into_iter().map(layer).collect(),
        packages: lock.packages.len(),
        differs,
    };
    let new = New {
        kind: Kind::Build,
        server,
        revision: &report.revision,
        image: Some(&report.image),
        verdict: Verdict::Built,
    };
    crate::evidence::record_or_note(ctx, &new, &report);
    Ok(report)
}

/// The image store of the home.
pub fn open_store(ctx: &Context) -> Result<Store> {
    Ok(Store::open_with(ctx.home().store(), ctx.progress())?)
}

/// Gives the build's complaints about the text their place in it.
fn place(e: BuildError, wanted: &Wanted<'_>, server: &Server) -> Error {
    let (code, key) = match &e {
        BuildError::Text { key, .. } => ("bad-value", key.clone()),
        BuildError::NoSuchUnit { service, .. } => ("unknown-service", format!("services.{service}")),
        _ => return e.into(),
    };
    let origin = KeyPath::parse(&key).ok().and_then(|key| {
        // The key itself, or the nearest table around it.
        (1..=key.0.len()).rev().find_map(|depth| server.provenance.get(&KeyPath(key.0[..depth].to_vec())))
    });
    let Some(origin) = origin else { return e.into() };
    let mut diagnostic = Diagnostic::error(code, e.to_string()).in_file(&origin.path);
    diagnostic.line = origin.line;
    diagnostic.column = origin.column;
    diagnostic.span = origin.key_span.clone();
    wanted.refusal(vec![diagnostic])
}

/// The newest build of every server, as recorded: images and layers that garbage collection must keep.
pub(crate) fn newest(ctx: &Context, servers: &[String]) -> Result<BTreeMap<String, BuildReport>> {
    let mut newest = BTreeMap::new();
    for server in servers {
        if let Some(evidence) = evidence::latest(ctx, server, Kind::Build)?
            && let Ok(report) = serde_json::from_value::<BuildReport>(evidence.report)
        {
            newest.insert(server.clone(), report);
        }
    }
    Ok(newest)
}

impl From<BuildError> for Error {
    fn from(e: BuildError) -> Error {
        match e {
            BuildError::Cancelled => Error::Cancelled,
            e => Error::Build(Box::new(e)),
        }
    }
}
