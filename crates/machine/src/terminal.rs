//! A person's terminal joined to a program inside a machine.

use std::io::{IsTerminal, Read, Write};
use std::os::fd::AsFd;

use regrow_sandbox::Exit;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::error::{Result, io};
use crate::inside::Inside;

/// Runs a program inside on the caller's terminal (standard input and output) until it ends: keys go in raw, what it
/// writes comes out. The terminal is as before afterwards.
///
/// # Errors
/// If standard input is no terminal, or as [`Inside::exec`].
pub fn interactive(inside: &Inside, argv: &[std::ffi::OsString]) -> Result<Exit> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(io("use standard input as a terminal")(std::io::Error::from(std::io::ErrorKind::InvalidInput)));
    }
    let size = tcgetwinsize(&stdin).map_err(io("ask the terminal for its size"))?;
    let term = std::env::var("TERM").unwrap_or_else(|_| "dumb".to_owned());
    let mut child = inside.exec_on_terminal(argv, (size.ws_row, size.ws_col), &term)?;
    let Some(master) = child.terminal.take() else { return Ok(child.kill()?) };
    let raw = Raw::enter()?;
    let mut rows_columns = (size.ws_row, size.ws_col);
    let mut buffer = vec![0u8; 16 << 10];
    let mut typing = true;
    loop {
        // The bound is for the window's size: its change is a signal, which the main program may use otherwise.
        let half_second = rustix::event::Timespec { tv_sec: 0, tv_nsec: 500_000_000 };
        let mut polled = vec![PollFd::from_borrowed_fd(master.as_fd(), PollFlags::IN)];
        if typing {
            polled.push(PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN));
        }
        match poll(&mut polled, Some(&half_second)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(io("wait for the terminal")(e)),
        }
        let ready: Vec<bool> = polled.iter().map(|p| !p.revents().is_empty()).collect();
        drop(polled);
        if ready[0] {
            match (&master).read(&mut buffer) {
                Ok(n) if n > 0 => {
                    let mut out = std::io::stdout();
                    let written = out.write_all(&buffer[..n]).and_then(|()| out.flush());
                    written.map_err(io("write to the terminal"))?;
                }
                // Hung up: nobody inside holds it any more.
                _ => break,
            }
        }
        if ready.get(1) == Some(&true) {
            match rustix::io::read(&stdin, &mut buffer) {
                Ok(n) if n > 0 => (&master).write_all(&buffer[..n]).map_err(io("write to the server's terminal"))?,
                _ => typing = false,
            }
        }
        if let Ok(size) = tcgetwinsize(&stdin)
            && (size.ws_row, size.ws_col) != rows_columns
        {
            rows_columns = (size.ws_row, size.ws_col);
            let _ = rustix::termios::tcsetwinsize(&master, size);
        }
    }
    drop(raw);
    loop {
        if let Some(exit) = child.wait(None)? {
            return Ok(exit);
        }
    }
}

/// Standard input without line editing and echo, until dropped.
struct Raw(Termios);

impl Raw {
    fn enter() -> Result<Raw> {
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin).map_err(io("read the terminal's settings"))?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(&stdin, OptionalActions::Flush, &raw).map_err(io("change the terminal's settings"))?;
        Ok(Raw(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
    }
}
