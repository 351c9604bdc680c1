//! `regrow account`.

use std::io::{BufRead, IsTerminal, Read, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use regrow_host::FsError;
use regrow_ops::accounts::{self, AccountReport, MOST_PASSWORD, Role};
use regrow_ops::{Context, Error};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::session::{Outcome, Session};
use crate::words::{bold, table, time};

/// Say who may use the pages where other machines can reach them
///
/// Roles: view (look), edit (also drafts, changesets, build, trial), switch (also what is online, and accounts).
/// The password is asked for without showing it, or read from standard input; never from an argument.
///
///     regrow account add alice --role switch
///     regrow account passwd alice
///     echo "$PASSWORD" | regrow account add bob --role view --password-stdin
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Account {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Add an account
    Add {
        /// Its name: lower-case letters, digits, `-`, `_` and `.`
        name: String,
        /// What it may do: view, edit or switch
        #[arg(long, default_value = "view")]
        role: Role,
        #[command(flatten)]
        password: Password,
    },
    /// Give an account a new password, which signs it out everywhere
    Passwd {
        /// The account
        name: String,
        #[command(flatten)]
        password: Password,
    },
    /// Change what an account may do
    Role {
        /// The account
        name: String,
        /// view, edit or switch
        role: Role,
    },
    /// Sign an account out everywhere
    SignOut {
        /// The account
        name: String,
    },
    /// Remove an account, which signs it out everywhere
    Remove {
        /// The account
        name: String,
    },
    /// List the accounts
    List,
}

#[derive(Debug, clap::Args)]
struct Password {
    /// Read the password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
}

pub(crate) fn run(args: &Account, ctx: &Context, session: &Session) -> Outcome {
    let report = match &args.verb {
        Verb::List => return list(ctx, session),
        Verb::Add { name, role, password } => accounts::add(ctx, name, *role, &password.read(name)?)?,
        Verb::Passwd { name, password } => {
            // Said before the password is typed for nothing.
            if accounts::get(ctx, name)?.is_none() {
                accounts::end_sessions(ctx, name)?;
            }
            accounts::set_password(ctx, name, &password.read(name)?)?
        }
        Verb::Role { name, role } => accounts::set_role(ctx, name, *role)?,
        Verb::SignOut { name } => accounts::end_sessions(ctx, name)?,
        Verb::Remove { name } => accounts::remove(ctx, name)?,
    };
    session.answer(&report, |AccountReport { name, role, done }| match role {
        Some(role) => format!("{} ({role}): {done}", bold(name)),
        None => format!("{}: {done}", bold(name)),
    })
}

fn list(ctx: &Context, session: &Session) -> Result<ExitCode, Error> {
    session.answer(&accounts::list(ctx)?, |report| {
        let rows: Vec<_> = report
            .accounts
            .iter()
            .map(|a| vec![bold(&a.name), a.role.to_string(), format!("since {}", time(a.since))])
            .collect();
        if rows.is_empty() {
            "no accounts; make one with: regrow account add NAME --role switch".to_owned()
        } else {
            table(&rows)
        }
    })
}

impl Password {
    /// From standard input if that was asked for, else twice from the terminal.
    fn read(&self, name: &str) -> Result<String, Error> {
        let trouble = |e| Error::File(FsError::new("read the password from", "standard input", e));
        if self.password_stdin {
            let mut text = String::new();
            std::io::stdin().lock().take(MOST_PASSWORD as u64 + 2).read_line(&mut text).map_err(trouble)?;
            return Ok(text.trim_end_matches(['\n', '\r']).to_owned());
        }
        if !std::io::stdin().is_terminal() {
            return Err(Error::mistake_with(
                "there is no terminal to ask for the password",
                "give it on standard input, with --password-stdin",
            ));
        }
        let first = ask(&format!("Password of {name}: ")).map_err(trouble)?;
        accounts::good_password(name, &first)?;
        if ask("Once more: ").map_err(trouble)? != first {
            return Err(Error::mistake_with("the two passwords are not the same", "run the command again"));
        }
        Ok(first)
    }
}

/// A line from the terminal that is not shown while it is typed.
fn ask(words: &str) -> std::io::Result<String> {
    let stdin = std::io::stdin();
    let terminal = tcgetattr(stdin.as_fd())?;
    let mut silent = terminal.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    silent.local_modes.insert(LocalModes::ECHONL);
    let mut err = anstream::stderr();
    err.write_all(words.as_bytes())?;
    err.flush()?;
    tcsetattr(stdin.as_fd(), OptionalActions::Flush, &silent)?;
    let mut line = String::new();
    // An interrupted read ends here too (the signal is only a flag), so that the terminal shows what is typed again.
    let read = stdin.lock().take(MOST_PASSWORD as u64 + 2).read_line(&mut line);
    tcsetattr(stdin.as_fd(), OptionalActions::Flush, &terminal)?;
    read?;
    if regrow_host::cancel::requested() {
        return Err(std::io::ErrorKind::Interrupted.into());
    }
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}
