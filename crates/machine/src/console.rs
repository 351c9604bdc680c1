//! What a machine writes to its console: the newest part in memory and, bounded, in a file.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Bytes of one log file; the one before it is kept as `console.log.1`.
const FILE_LIMIT: u64 = 512 << 10;
/// Bytes kept in memory.
const MEMORY_LIMIT: usize = 64 << 10;

/// The log. Losing it (disk full) never stops the machine: it is evidence, not state.
#[derive(Debug)]
pub(crate) struct ConsoleLog {
    path: PathBuf,
    file: Option<File>,
    written: u64,
    tail: Vec<u8>,
}

impl ConsoleLog {
    /// Starts an empty log at `path`.
    pub(crate) fn new(path: &Path) -> ConsoleLog {
        ConsoleLog { path: path.to_owned(), file: File::create(path).ok(), written: 0, tail: Vec::new() }
    }

    /// Adds what was read from the console.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.tail.extend(bytes);
        if self.tail.len() > 2 * MEMORY_LIMIT {
            self.tail.drain(..self.tail.len() - MEMORY_LIMIT);
        }
        if self.written + bytes.len() as u64 > FILE_LIMIT {
            let _ = std::fs::rename(&self.path, self.path.with_extension("log.1"));
            self.file = File::create(&self.path).ok();
            self.written = 0;
        }
        if let Some(file) = &mut self.file
            && file.write_all(bytes).is_ok()
        {
            self.written += bytes.len() as u64;
        }
    }

    /// The newest part as plain text: without colours, cursor movements and carriage returns.
    pub(crate) fn text(&self) -> String {
        plain(&String::from_utf8_lossy(&self.tail[self.tail.len().saturating_sub(MEMORY_LIMIT)..]))
    }
}

/// Text without terminal control sequences.
pub fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.next() {
                // CSI: parameters, then one final byte.
                Some('[') => while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
                // OSC, DCS, SOS, PM, APC: up to BEL or ESC \.
                Some(']' | 'P' | 'X' | '^' | '_') => {
                    while let Some(c) = chars.next() {
                        if c == '\u{7}' || (c == '\u{1b}' && chars.next_if_eq(&'\\').is_some()) {
                            break;
                        }
                    }
                }
                // Two-character sequences with an intermediate byte, such as a character set.
                Some('(' | ')' | '#' | '%') => {
                    chars.next();
                }
                _ => {}
            },
            '\n' | '\t' => out.push(c),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_of_a_hostile_console_are_removed() {
        assert_eq!(plain("\u{1b}[0;32mOK\u{1b}[0m x\r\n"), "OK x\n");
        assert_eq!(plain("a\u{1b}]0;title\u{7}b\u{1b}]8;;http://x\u{1b}\\c"), "abc");
        assert_eq!(plain("\u{1b}(Ba\u{1b}"), "a");
        assert_eq!(plain("a\u{1b}[12"), "a");
    }

    #[test]
    fn the_log_is_bounded_in_memory_and_on_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console.log");
        let mut log = ConsoleLog::new(&path);
        for n in 0..40_000 {
            log.add(format!("line {n} of a machine that never stops talking\n").as_bytes());
        }
        assert!(std::fs::metadata(&path).unwrap().len() <= FILE_LIMIT);
        assert!(std::fs::metadata(dir.path().join("console.log.1")).unwrap().len() <= FILE_LIMIT);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
        assert!(
            log.text().len() <= MEMORY_LIMIT
                && log.text().ends_with("line 39999 of a machine that never stops talking\n")
        );
    }
}
