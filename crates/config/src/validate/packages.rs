//! Packages against the archives' index, which only the caller has.

use crate::diagnostic::Diagnostic;
use crate::model::Server;
use crate::{KeyPath, Severity};

/// Reports each requested package that no archive has. `exists` and `near` ask the index: whether there is a package
/// (real or virtual) of a name, and the names near to one, nearest first.
pub fn check_packages(
    server: &Server,
    exists: &dyn Fn(&str) -> bool,
    near: &dyn Fn(&str) -> Vec<String>,
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for name in server.packages.keys().filter(|name| !exists(name)) {
        let message = format!("no archive of this fleet has a package `{name}`");
        let mut diagnostic = Diagnostic::new(Severity::Error, "unknown-package", message).label("not found");
        if let Some(origin) = server.provenance.get(&KeyPath(vec!["packages".to_owned(), name.clone()])) {
            diagnostic.file = origin.path.clone();
            diagnostic.line = origin.line;
            diagnostic.column = origin.column;
            diagnostic.span = origin.key_span.clone();
        }
        let names = near(name);
        let quoted: Vec<String> = names.iter().take(3).map(|n| format!("`{n}`")).collect();
        diagnostic.help = Some(match quoted.as_slice() {
            [] => "check the spelling, and that [archives] has the suite and component it is in".to_owned(),
            [one] => format!("did you mean {one}?"),
            several => format!("did you mean one of {}?", several.join(", ")),
        });
        found.push(diagnostic);
    }
    found
}
