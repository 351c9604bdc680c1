//! The banner above every page: which draft this browser works on.

use regrow_ops::drafts;

use crate::app::App;
use crate::view::{Banner, count};
use crate::visitor::Visitor;

/// The banner of the visitor's current draft; `None` without one, or if it is gone.
pub(crate) fn of(app: &App, visitor: &Visitor) -> Option<Banner> {
    let id = visitor.draft.as_deref()?;
    let draft = drafts::get(&app.ctx, id).ok()?;
    let mut words = match draft.files.len() {
        0 => "no change yet".to_owned(),
        n => format!("{} changed", count(n, "file", "files")),
    };
    if draft.outdated {
        words.push_str(", a changeset landed since");
    }
    Some(Banner {
        title: draft.title,
        href: format!("/draft/{id}"),
        words,
        links: vec![(format!("/draft/{id}"), "Preview".to_owned())],
        forms: vec![
            (format!("/draft/{id}/leave"), "Leave".to_owned()),
            (format!("/draft/{id}/discard"), "Discard".to_owned()),
        ],
        once: app.form_once().ok()?,
    })
}
