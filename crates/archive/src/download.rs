//! One file from a mirror to the disk: resumed, tried again, measured and hashed on the way.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use regrow_host::{FsError, cancel};

use crate::digest::{Hasher, Sha256};
use crate::error::{Error, Result};
use crate::transport::{Failure, Mirror};

/// Tries without any new byte before we give up.
const TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// What a file must be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    /// Its size in bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: Sha256,
}

/// Why a file was not what was expected, in words, or another error.
#[derive(Debug)]
pub(crate) enum NotFetched {
    /// Its bytes are others.
    Wrong(String),
    /// Anything else.
    Error(Error),
}

impl From<Error> for NotFetched {
    fn from(e: Error) -> Self {
        NotFetched::Error(e)
    }
}

/// Fetches `path` of `mirror` into `part`, going on where an earlier run stopped, until it is what is expected; the
/// file is then durable. `tell` hears of every byte gained (and, negative, of bytes thrown away).
///
/// The caller holds a lock for `part`. What turns out wrong is removed; a part that may become right is kept.
pub(crate) fn fetch_file(
    mirror: &Mirror,
    path: &str,
    part: &Path,
    expected: Expected,
    tell: &dyn Fn(i64),
) -> std::result::Result<(), NotFetched> {
    let error = |e| Error::from(FsError::new("write", part, e));
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(part).map_err(error)?;
    let (mut hasher, mut done) = take_up(&mut file, expected.size).map_err(error)?;
    tell(done as i64);
    let mut resumed = done > 0;
    let mut tries = 0;
    loop {
        if done < expected.size || expected.size == 0 {
            let before = done;
            match gain(mirror, path, &mut file, &mut hasher, &mut done, expected.size, tell) {
                Ok(()) => {}
                Err(Stop::Disk(e)) => return Err(error(e).into()),
                Err(Stop::Cancelled) => return Err(Error::Cancelled.into()),
                Err(Stop::Server(failure)) => {
                    if done > before {
                        tries = 0;
                    }
                    tries += 1;
                    match failure {
                        Failure::Passing(_) if tries < TRIES => {
                            pause(FIRST_PAUSE * 2u32.pow(tries - 1))?;
                            continue;
                        }
                        failure => return Err(failure.into_error(&mirror.url(path)).into()),
                    }
                }
            }
        }
        let got = hasher.clone().finish();
        if done == expected.size && got == expected.sha256 {
            file.sync_all().map_err(error)?;
            return Ok(());
        }
        tell(-(done as i64));
        if resumed {
            // What lay here before may be at fault: once from the beginning.
            resumed = false;
            (hasher, done) = (Hasher::default(), 0);
            file.set_len(0).and_then(|()| file.rewind()).map_err(error)?;
            continue;
        }
        drop(file);
        regrow_host::fs::remove_file(part).map_err(Error::from)?;
        let reason = if done != expected.size {
            format!("its size is {done} bytes instead of {}", expected.size)
        } else {
            format!("its SHA-256 is {got} instead of {}", expected.sha256)
        };
        return Err(NotFetched::Wrong(reason));
    }
}

/// Hashes what is there already; more than there should be is thrown away.
fn take_up(file: &mut File, size: u64) -> std::io::Result<(Hasher, u64)> {
    if file.metadata()?.len() > size {
        file.set_len(0)?;
    }
    file.rewind()?;
    let (mut hasher, mut done) = (Hasher::default(), 0);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok((hasher, done));
        }
        hasher.update(&buffer[..n]);
        done += n as u64;
    }
}

enum Stop {
    Disk(std::io::Error),
    Server(Failure),
    Cancelled,
}

/// One request: appends what the server gives.
fn gain(
    mirror: &Mirror,
    path: &str,
    file: &mut File,
    hasher: &mut Hasher,
    done: &mut u64,
    size: u64,
    tell: &dyn Fn(i64),
) -> std::result::Result<(), Stop> {
    if cancel::requested() {
        return Err(Stop::Cancelled);
    }
    let mut answer = mirror.open(path, *done).map_err(Stop::Server)?;
    if answer.offset != *done {
        tell(-(*done as i64));
        (*hasher, *done) = (Hasher::default(), answer.offset);
        file.set_len(answer.offset).map_err(Stop::Disk)?;
    }
    file.seek(SeekFrom::Start(*done)).map_err(Stop::Disk)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        if cancel::requested() {
            return Err(Stop::Cancelled);
        }
        let n = match answer.body.read(&mut buffer) {
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Stop::Server(Failure::Passing(e.to_string()))),
        };
        if n == 0 {
            // A connection that ends early is no error to every server and proxy.
            let short = *done < size && answer.size.is_none_or(|s| *done < s);
            return if short {
                Err(Stop::Server(Failure::Passing("the connection ended early".to_owned())))
            } else {
                Ok(())
            };
        }
        file.write_all(&buffer[..n]).map_err(Stop::Disk)?;
        hasher.update(&buffer[..n]);
        *done += n as u64;
        tell(n as i64);
        if *done > size {
            return Ok(());
        }
    }
}

/// Reads a small file of a mirror whole, with tries; at most `limit` bytes.
pub(crate) fn fetch_bytes(mirror: &Mirror, path: &str, limit: u64) -> Result<Vec<u8>> {
    let mut tries = 0;
    loop {
        if cancel::requested() {
            return Err(Error::Cancelled);
        }
        let read = mirror.open(path, 0).and_then(|answer| {
            let mut bytes = Vec::new();
            let size = answer.size;
            match answer.body.take(limit + 1).read_to_end(&mut bytes) {
                Ok(_) if bytes.len() as u64 > limit => {
                    Err(Failure::Lasting(format!("it is larger than {limit} bytes")))
                }
                Ok(_) if size.is_some_and(|s| s > bytes.len() as u64) => {
                    Err(Failure::Passing("the connection ended early".to_owned()))
                }
                Ok(_) => Ok(bytes),
                Err(e) => Err(Failure::Passing(e.to_string())),
            }
        });
        match read {
            Ok(bytes) => return Ok(bytes),
            Err(Failure::Passing(_)) if tries + 1 < TRIES => {
                pause(FIRST_PAUSE * 2u32.pow(tries))?;
                tries += 1;
            }
            Err(failure) => return Err(failure.into_error(&mirror.url(path))),
        }
    }
}

/// Gives a troubled server time, unless somebody asks to stop.
fn pause(time: Duration) -> Result<()> {
    let until = std::time::Instant::now() + time;
    while std::time::Instant::now() < until {
        if cancel::requested() {
            return Err(Error::Cancelled);
        }
        std::thread::sleep(Duration::from_millis(25).min(time));
    }
    Ok(())
}
