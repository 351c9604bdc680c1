//! Pages, forms and live progress over the same operations as the command line.
//!
//! Words in, words out: a page asks `regrow_ops` and draws what it says. No page knows how anything is done.
//!
//! * [`serve`](fn@serve): listens, answers until asked to stop. On loopback it prints a one-time link; elsewhere it wants a
//!   certificate (`tls`) and an account.
//! * `guard`, `session`, `tries`: what every request passes; who may look; how often one may guess.
//! * `visitor`: who asks and what they may do; every handler takes it.
//! * `app`: shared state, routes, forms that work once.
//! * `pages`: one module per page. All work without JavaScript; with it, a job's page is live.
//! * `preview`: what a difference means, in four layers, on every page that shows one.
//! * `track`, `outcome`, `view`: events, reports and values put into words.
//! * `templates/`, `assets/`: HTML (checked at compile time), one style sheet, one script.
//!
//! Tests drive the real thing: requests in `tests/requests.rs`, a real browser in `tests/browser.rs`.

mod app;
mod assets;
mod form;
mod guard;
mod look;
mod once;
mod outcome;
mod pages;
mod preview;
mod serve;
mod session;
mod tls;
mod track;
mod tries;
mod view;
mod visitor;

pub use serve::{DEFAULT_LISTEN, Error, Serve, Serving, new_link, serve};
pub use tls::{Error as TlsError, TlsFiles};
