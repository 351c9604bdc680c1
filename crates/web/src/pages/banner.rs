//! The banner above every page: which draft this browser works on.

use crate::app::App;
use crate::view::Banner;
use crate::visitor::Visitor;

/// The banner of the visitor's current draft; `None` without one.
pub(crate) fn of(_app: &App, _visitor: &Visitor) -> Option<Banner> {
    // Drafts fill this in: `visitor.draft` is the id from the browser's cookie.
    None
}
