//! Rules of the house, held by a program: `cargo run -p xtask -- tidy`.

mod rules;

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut err = std::io::stderr().lock();
    match std::env::args().nth(1).as_deref() {
        Some("tidy") => match rules::check() {
            Ok(violations) if violations.is_empty() => {
                let _ = writeln!(err, "tidy: the house is in order");
                ExitCode::SUCCESS
            }
            Ok(violations) => {
                for violation in &violations {
                    let _ = writeln!(err, "{violation}");
                }
                let _ = writeln!(err, "tidy: {} to mend", violations.len());
                ExitCode::FAILURE
            }
            Err(e) => {
                let _ = writeln!(err, "tidy: {e:#}");
                ExitCode::FAILURE
            }
        },
        _ => {
            let _ = writeln!(err, "usage: cargo run -p xtask -- tidy");
            ExitCode::from(2)
        }
    }
}
