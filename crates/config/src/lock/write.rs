//! A lock as text.

use std::fmt::Write;

use super::LockFile;
use crate::keypath::{quote_key, quote_string};

pub(super) fn to_text(lock: &LockFile) -> String {
    let mut out = String::with_capacity(256 * (lock.packages.len() + 16));
    out.push_str(super::HEADER);
    line(&mut out, "schema", &lock.schema.to_string());
    line(&mut out, "inputs", &quote_string(&lock.inputs));
    line(&mut out, "epoch", &lock.epoch.to_string());
    line(&mut out, "architecture", &quote_string(&lock.architecture));
    out.push_str("layers = [\n");
    for layer in &lock.layers {
        let requested: Vec<String> = layer.requested.iter().map(|name| quote_string(name)).collect();
        let name = quote_string(&layer.name);
        put(&mut out, format_args!("    {{ name = {name}, requested = [{}] }},\n", requested.join(", ")));
    }
    out.push_str("]\n\n[suites]\n");
    for (name, suite) in &lock.suites {
        let (date, sha256) = (quote_string(&suite.date), quote_string(&suite.sha256));
        put(&mut out, format_args!("{} = {{ date = {date}, sha256 = {sha256} }}\n", quote_key(name)));
    }
    for (table, ids) in [("users", &lock.users), ("groups", &lock.groups)] {
        put(&mut out, format_args!("\n[{table}]\n"));
        for (name, id) in ids {
            line(&mut out, &quote_key(name), &id.to_string());
        }
    }
    out.push_str("\n[packages]\n");
    for (name, p) in &lock.packages {
        put(
            &mut out,
            format_args!(
                "{} = {{ version = {}, architecture = {}, archive = {}, layer = {}, size = {}, sha256 = {}, file = {} }}\n",
                quote_key(name),
                quote_string(&p.version),
                quote_string(&p.architecture),
                quote_string(&p.archive),
                p.layer,
                p.size,
                quote_string(&p.sha256),
                quote_string(&p.file),
            ),
        );
    }
    out.push_str(super::FOOTER);
    out
}

fn line(out: &mut String, key: &str, value: &str) {
    put(out, format_args!("{key} = {value}\n"));
}

fn put(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(arguments);
}
