//! What can go wrong with a machine, in words a person can act on.

/// Why a machine could not be started, used or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The sandbox refused.
    #[error(transparent)]
    Sandbox(#[from] regrow_sandbox::Error),
    /// The image could not be mounted.
    #[error("cannot mount the image {image}")]
    Image {
        /// Its id.
        image: String,
        /// Why.
        #[source]
        source: regrow_image::Error,
    },
    /// A file of the host could not be read or written.
    #[error(transparent)]
    File(#[from] regrow_host::FsError),
    /// It ended while it should have been booting.
    #[error("the server ended while it was starting ({exit}); the last it wrote to its console:\n{console}")]
    Ended {
        /// How process 1 ended.
        exit: String,
        /// The end of the console.
        console: String,
    },
    /// It did not finish its start in time.
    #[error("the server did not finish starting within {seconds} s{}", words(waiting))]
    Timeout {
        /// The limit.
        seconds: u64,
        /// What it was waiting for.
        waiting: String,
    },
    /// Somebody asked to stop.
    #[error("stopped, as asked")]
    Cancelled,
    /// A program inside did not end in time.
    #[error("`{program}` inside the server did not end within {seconds} s")]
    Slow {
        /// The program.
        program: String,
        /// The limit.
        seconds: u64,
    },
    /// A program inside said no.
    #[error("`{program}` inside the server failed ({exit}): {stderr}")]
    Failed {
        /// The program with its arguments.
        program: String,
        /// How it ended.
        exit: String,
        /// What it wrote to standard error.
        stderr: String,
    },
    /// The caller's terminal or a socket refused.
    #[error("cannot {doing}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
}

fn words(waiting: &str) -> String {
    if waiting.is_empty() { String::new() } else { format!("; it waits for:\n{waiting}") }
}

/// The result of a machine operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Wraps an I/O error with what was being done.
pub(crate) fn io<E: Into<std::io::Error>>(doing: &'static str) -> impl FnOnce(E) -> Error {
    move |e| Error::Io { doing, source: e.into() }
}
