//! Running a plan: each layer from the cache or made anew, then the text.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Instant;

use regrow_host::lock::{FileLock, Scratch, Wait};
use regrow_host::progress::{Progress, Step, Unit, step};
use regrow_host::{cancel, fs, lock};
use regrow_image::{ImageId, Store, Tree};
use serde::Serialize;

use crate::accounts;
use crate::error::BuildError;
use crate::layer::{self, Work};
use crate::plan::Plan;
use crate::text;
use crate::unpack::Package;

/// How to build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Whether layers known from earlier builds are taken. Without, all are made again (and remembered).
    pub use_cache: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { use_cache: true }
    }
}

/// A finished image.
#[derive(Debug, Clone, Serialize)]
pub struct Built {
    /// Its name in the store.
    pub image: ImageId,
    /// What each layer was and took; the last one is the text.
    pub layers: Vec<LayerReport>,
    /// Wall-clock seconds in all.
    pub seconds: f64,
}

/// What became of one layer.
#[derive(Debug, Clone, Serialize)]
pub struct LayerReport {
    /// Its name; the text's is "config".
    pub name: String,
    /// Its key, in hex.
    pub key: String,
    /// Whether it was known already.
    pub cached: bool,
    /// Wall-clock seconds.
    pub seconds: f64,
}

/// Builds the image of `plan`. `debs` holds the verified package file of each package by name; only those of layers
/// that are not cached are read. `home` is `REGROW_HOME`: scratch files and locks go below it.
///
/// Two builds of the same layer at once, in one or several processes: the second waits and takes what the first made.
/// A kill at any moment leaves finished layers or none; what must survive a power cut is given a ref by the caller
/// ([`Store::set_ref`]).
///
/// # Errors
/// [`BuildError`]; the store then holds the layers that were finished, and no other trace of the build.
pub fn run(
    plan: &Plan,
    debs: &BTreeMap<String, PathBuf>,
    store: &Store,
    home: &Path,
    options: Options,
    progress: &dyn Progress,
) -> Result<Built, BuildError> {
    let started = Instant::now();
    let scratch_dir = home.join("scratch");
    let locks = home.join("scratch/layer-locks");
    fs::create_dir_all(&locks)?;
    lock::sweep(&scratch_dir)?;
    lock::sweep(&locks)?;
    let _hold = store.hold()?;
    if let Some((image, _)) = known(store, &plan.config.key, plan, options)? {
        return Ok(unchanged(plan, image, started));
    }
    let mut reports = Vec::new();
    // Packages of later layers are read while the scripts of earlier ones run: those use one processor.
    let stop = AtomicBool::new(false);
    let below = std::thread::scope(|scope| {
        let mut reader = Reader::start(scope, plan, debs, store, options, &stop)?;
        let made = layers(plan, store, &scratch_dir, &locks, options, progress, &mut reader, &mut reports);
        stop.store(true, Ordering::Relaxed);
        made
    })?;
    let since = Instant::now();
    let lock = LayerLock::take(&locks, &plan.config.key)?;
    let (image, cached) = match known(store, &plan.config.key, plan, options)? {
        Some((image, _)) => (image, true),
        None => {
            let step = step(progress, "layer config", "Apply the text");
            let tree = match below {
                Some(below) => below.take(store)?,
                None => Tree::default(),
            };
            let tree = text::apply(tree, plan, store)?;
            let image = store.commit(&tree)?;
            store.put_layer(&plan.config.key, &image)?;
            step.finish(format!("image {image}"));
            (image, false)
        }
    };
    drop(lock);
    reports.push(LayerReport {
        name: CONFIG.to_owned(),
        key: plan.config.key.clone(),
        cached,
        seconds: since.elapsed().as_secs_f64(),
    });
    Ok(Built { image, layers: reports, seconds: started.elapsed().as_secs_f64() })
}

/// The name of the last layer in reports.
const CONFIG: &str = "config";

/// The report of a build that had nothing to do.
fn unchanged(plan: &Plan, image: ImageId, started: Instant) -> Built {
    let layers = plan.layers.iter().map(|l| (l.name.as_str(), &l.key)).chain([(CONFIG, &plan.config.key)]);
    let report = |(name, key): (&str, &String)| LayerReport {
        name: name.to_owned(),
        key: key.clone(),
        cached: true,
        seconds: 0.0,
    };
    Built { image, layers: layers.map(report).collect(), seconds: started.elapsed().as_secs_f64() }
}

/// Held by the one build that makes a layer; others wait. Its file goes with it.
struct LayerLock(FileLock);

impl LayerLock {
    fn take(dir: &Path, key: &str) -> Result<LayerLock, BuildError> {
        // Nothing is returned only when somebody asked to stop.
        FileLock::exclusive(dir.join(format!("{key}.lock")), Wait::UntilFree)?
            .map(LayerLock)
            .ok_or(BuildError::Cancelled)
    }
}

impl Drop for LayerLock {
    fn drop(&mut self) {
        // A file that stays, as after a kill, is swept by the next build.
        let _ = fs::remove_file(self.0.path());
    }
}

/// Takes or makes every layer of packages; returns the last one.
#[allow(clippy::too_many_arguments, reason = "the body of `run`, apart only because of the thread beside it")]
fn layers(
    plan: &Plan,
    store: &Store,
    scratch_dir: &Path,
    locks: &Path,
    options: Options,
    progress: &dyn Progress,
    reader: &mut Reader<'_>,
    reports: &mut Vec<LayerReport>,
) -> Result<Option<Below>, BuildError> {
    // The highest layer that is known is enough: its key holds those below it.
    let mut below: Option<Below> = None;
    let mut first = 0;
    for (index, planned) in plan.layers.iter().enumerate().rev() {
        if let Some((image, tree)) = known(store, &planned.key, plan, options)? {
            below = Some(Below { image, tree: Some(tree) });
            first = index + 1;
            break;
        }
    }
    for planned in &plan.layers[..first] {
        let (name, key) = (planned.name.clone(), planned.key.clone());
        reports.push(LayerReport { name, key, cached: true, seconds: 0.0 });
    }
    for (index, planned) in plan.layers.iter().enumerate().skip(first) {
        if cancel::requested() {
            return Err(BuildError::Cancelled);
        }
        let since = Instant::now();
        let _lock = LayerLock::take(locks, &planned.key)?;
        let (image, tree, cached) = match known(store, &planned.key, plan, options)? {
            Some((image, tree)) => (image, Some(tree), true),
            None => {
                let packages = count(planned.packages.len(), "package");
                let step = step(progress, format!("layer {}", planned.name), format!("Install {packages}"));
                let read = reader.packages(index, &step)?;
                let scratch = Scratch::new(scratch_dir, "build")?;
                let parent = below.take().map(|below| below.take(store)).transpose()?;
                let work = Work { plan, planned, store, scratch: scratch.path(), step: &step };
                let tree = layer::build(&work, &read, parent)?;
                let image = store.commit(&tree)?;
                store.put_layer(&planned.key, &image)?;
                step.finish(format!("{packages} installed"));
                (image, Some(tree), false)
            }
        };
        let (name, key) = (planned.name.clone(), planned.key.clone());
        reports.push(LayerReport { name, key, cached, seconds: since.elapsed().as_secs_f64() });
        below = Some(Below { image, tree });
    }
    Ok(below)
}

/// What the reading thread says.
enum News {
    /// One more package of the layer with this index is read.
    Package(usize),
    /// All of them are.
    Layer(usize, Result<Vec<Package>, BuildError>),
}

/// Packages read ahead by a thread of their own, layer by layer.
struct Reader<'a> {
    news: Receiver<News>,
    /// Layers that the thread reads.
    ahead: Vec<usize>,
    plan: &'a Plan,
    debs: &'a BTreeMap<String, PathBuf>,
    store: &'a Store,
    stop: &'a AtomicBool,
}

impl<'a> Reader<'a> {
    fn start<'scope>(
        scope: &'scope std::thread::Scope<'scope, '_>,
        plan: &'scope Plan,
        debs: &'scope BTreeMap<String, PathBuf>,
        store: &'scope Store,
        options: Options,
        stop: &'scope AtomicBool,
    ) -> Result<Reader<'scope>, BuildError> {
        let mut ahead = Vec::new();
        for (index, planned) in plan.layers.iter().enumerate().rev() {
            // Whether its accounts fit is looked at later; if not, its packages are read then.
            if options.use_cache && store.layer(&planned.key)?.is_some() {
                break;
            }
            ahead.insert(0, index);
        }
        let (say, news) = std::sync::mpsc::channel();
        let wanted = ahead.clone();
        scope.spawn(move || {
            for index in wanted {
                // Nobody listens any more when the build has failed.
                let one = || drop(say.send(News::Package(index)));
                let read = layer::read(&plan.layers[index], debs, store, stop, &one);
                let is_bad = read.is_err();
                if say.send(News::Layer(index, read)).is_err() || is_bad {
                    return;
                }
            }
        });
        Ok(Reader { news, ahead, plan, debs, store, stop })
    }

    /// The packages of a layer, as soon as they are read.
    fn packages(&mut self, index: usize, step: &Step<'_>) -> Result<Vec<Package>, BuildError> {
        let planned = &self.plan.layers[index];
        let total = 2 * planned.packages.len() as u64;
        let mut done = 0;
        while self.ahead.contains(&index) {
            match self.news.recv() {
                Ok(News::Package(of)) if of == index => {
                    done += 1;
                    step.advance(done, total, Unit::Items);
                }
                // Of an earlier layer that somebody else made in the meantime.
                Ok(News::Package(_)) => {}
                Ok(News::Layer(of, read)) => {
                    self.ahead.retain(|i| *i != of);
                    if of == index {
                        return read;
                    }
                }
                Err(_) => break,
            }
        }
        layer::read(planned, self.debs, self.store, self.stop, &|| {})
    }
}

/// The layer below, loaded when first needed.
struct Below {
    image: ImageId,
    tree: Option<Tree>,
}

impl Below {
    fn take(self, store: &Store) -> Result<Tree, BuildError> {
        match self.tree {
            Some(tree) => Ok(tree),
            None => Ok(store.load(&self.image)?),
        }
    }
}

/// The image of a layer made earlier with its tree, if it may be used: see the table of the plan about accounts.
fn known(store: &Store, key: &str, plan: &Plan, options: Options) -> Result<Option<(ImageId, Tree)>, BuildError> {
    if !options.use_cache {
        return Ok(None);
    }
    let Some(image) = store.layer(key)? else { return Ok(None) };
    let tree = match store.load(&image) {
        Ok(tree) => tree,
        // A damaged image is made again.
        Err(regrow_image::Error::Damaged { .. }) => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    // The last layer's key holds all ids, and the text may have accounts of its own.
    if key == plan.config.key {
        return Ok(Some((image, tree)));
    }
    match accounts::check(&tree, store, &plan.ids) {
        Ok(()) => Ok(Some((image, tree))),
        Err(BuildError::Accounts(_)) => Ok(None),
        Err(e) => Err(e),
    }
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
