//! The wish to stop.
//!
//! A signal only raises a flag; whoever waits or loops asks [`requested`] and unwinds, so that destructors clean up.
//! A second signal ends the process at once; what it leaves is swept by the next command.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

fn flag() -> &'static Arc<AtomicBool> {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    FLAG.get_or_init(Default::default)
}

/// Whether somebody asked to stop.
pub fn requested() -> bool {
    flag().load(Ordering::Relaxed)
}

/// Asks to stop.
pub fn request() {
    flag().store(true, Ordering::Relaxed);
}

/// Lets Ctrl-C (SIGINT) and SIGTERM ask to stop; the second one ends the process with status 130.
///
/// # Errors
/// If the signal handlers cannot be installed.
pub fn on_signals() -> std::io::Result<()> {
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // Order matters: the shutdown handler looks at the flag before this signal raises it.
        signal_hook::flag::register_conditional_shutdown(signal, 130, flag().clone())?;
        signal_hook::flag::register(signal, flag().clone())?;
    }
    Ok(())
}
