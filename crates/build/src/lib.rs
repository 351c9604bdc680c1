//! Plan an image as a pure function and run the plan in layers; scrub and normalise.
//!
//! ```text
//! text + lock ──plan──► Plan ──run──► for each layer of packages          then, over the last one
//!                                     deb files ─unpack──► tree            the text ─configure──► tree ──commit──► image
//!                                     tree ─mount, dpkg in the sandbox──► overlay's upper ──► tree
//!                                     scrub, normalise, check ids and keys ──► layer
//! ```
//!
//! * [`plan`]: what to do and under which keys; no file is touched. The table "input × key" opens its module.
//! * [`run`]: does it; layers known by their key are not made again.
//! * `deb`, `control`, `database`, `unpack`: Debian packages into a tree, with dpkg's database, without running dpkg.
//! * `layer`, `inside`: package scripts and dpkg in the sandbox.
//! * `accounts`, `normalise`, `private_key`: what keeps time, order, chance and secrets out of an image.
//! * `text`: a server's text applied to a tree by our own code, without scripts.
//!
//! The host needs no dpkg: the image's own runs inside.

mod accounts;
mod control;
mod database;
mod deb;
mod error;
mod inside;
mod layer;
mod normalise;
mod plan;
mod private_key;
mod run;
mod text;
mod unpack;

pub use deb::DebError;
pub use error::{BuildError, WrongAccount};
pub use plan::{APPLIER, BUILDER, ConfigLayer, Plan, PlanLayer, PlanPackage, plan};
pub use run::{Built, LayerReport, Options, run};
