//! Accounts: who may use the pages where other people can reach them, and what each may do.
//!
//! On loopback nobody needs one: who can read the terminal has the one-time link. Elsewhere the pages are served only if
//! there is an account.
//!
//! `REGROW_HOME/accounts.json` (mode 0600, replaced as a whole) is a file of its own, because the record of jobs may be
//! deleted at any time and accounts must not go with it:
//!
//! ```json
//! {"schema": 1, "accounts": [{"name": "alice", "role": "switch", "password": "$argon2id$…", "serial": 3, "since": "2026-01-02T03:04:05Z"}]}
//! ```
//!
//! Passwords are kept as argon2id hashes with the parameters inside. `serial` grows with every new password and never
//! comes back after an account was removed and added again: sessions remember it, and end when it is another one.

use std::str::FromStr;
use std::sync::LazyLock;

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use jiff::Timestamp;
use regrow_host::fs;
use regrow_host::lock::{FileLock, Wait};
use serde::{Deserialize, Serialize};

use crate::Answer;
use crate::acts::{self, Act};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::undo::Way;

/// What somebody may do. Each role may all that the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look at everything.
    View,
    /// Also make drafts, land changesets, build and try.
    Edit,
    /// Also change what is online, and accounts.
    Switch,
}

impl Role {
    /// All roles, the least first.
    pub const ALL: [Role; 3] = [Role::View, Role::Edit, Role::Switch];

    /// Its word: "view", "edit", "switch".
    pub fn as_str(self) -> &'static str {
        match self {
            Role::View => "view",
            Role::Edit => "edit",
            Role::Switch => "switch",
        }
    }

    /// What it allows, for a person.
    pub fn allows(self) -> &'static str {
        match self {
            Role::View => "look at everything",
            Role::Edit => "also make drafts and changesets, build and try",
            Role::Switch => "also change what is online, and accounts",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = Error;

    fn from_str(text: &str) -> Result<Role> {
        Role::ALL.into_iter().find(|r| r.as_str() == text).ok_or_else(|| {
            Error::mistake_with(format!("there is no role {text:?}"), "the roles are view, edit and switch")
        })
    }
}

/// The shortest password, in characters.
pub const LEAST_PASSWORD: usize = 12;
/// The longest password, in bytes: hashing more is work for nothing.
pub const MOST_PASSWORD: usize = 1024;
/// The longest name, in bytes.
const MOST_NAME: usize = 32;

/// An account as it is kept.
#[derive(Clone, Serialize, Deserialize)]
pub struct Account {
    /// Its name: lower-case letters, digits, `-`, `_` and `.`, beginning with a letter.
    pub name: String,
    /// What it may do.
    pub role: Role,
    password: String,
    /// Another number after every new password.
    pub serial: u64,
    /// When the account was made.
    pub since: Timestamp,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

/// The whole file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    schema: u32,
    /// The last serial that was given out.
    #[serde(default)]
    serial: u64,
    accounts: Vec<Account>,
}

/// The accounts, as `regrow account list --json` shows them.
#[derive(Debug, Serialize)]
pub struct AccountsReport {
    /// By name.
    pub accounts: Vec<Shown>,
}

impl Answer for AccountsReport {}

/// An account without its password.
#[derive(Debug, Clone, Serialize)]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub since: Timestamp,
}

/// What a change of an account did.
#[derive(Debug, Serialize)]
pub struct AccountReport {
    /// The account.
    pub name: String,
    /// What it may do now; `None` if it was removed.
    pub role: Option<Role>,
    /// What was done: "added", "password changed", "role changed", "removed".
    pub done: &'static str,
}

impl Answer for AccountReport {}

/// The parameters of new hashes: 19 MiB, two passes, one lane (what OWASP asks for at least), about 30 ms.
fn hasher() -> Argon2<'static> {
    let params = Params::new(19 * 1024, 2, 1, None).unwrap_or(Params::DEFAULT);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash(password: &str) -> Result<String> {
    let trouble =
        |e: &dyn std::fmt::Display| Error::surroundings(format!("cannot hash the password: {e}"), "try again");
    let mut salt = [0u8; 16];
    getrandom::fill(&mut salt).map_err(|e| trouble(&e))?;
    let salt = SaltString::encode_b64(&salt).map_err(|e| trouble(&e))?;
    Ok(hasher().hash_password(password.as_bytes(), &salt).map_err(|e| trouble(&e))?.to_string())
}

/// What the password of a name that nobody has is compared with, so that it takes as long as any other.
static NOBODY: LazyLock<String> = LazyLock::new(|| hash("nobody has this password").unwrap_or_default());

fn verify(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| hasher().verify_password(password.as_bytes(), &hash).is_ok())
}

/// Whether `name` can be the name of an account.
pub fn is_name(name: &str) -> bool {
    name.len() <= MOST_NAME
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b))
}

fn good_name(name: &str) -> Result<()> {
    if is_name(name) {
        return Ok(());
    }
    let message = format!("{name:?} cannot be the name of an account");
    Err(Error::mistake_with(
        message,
        format!("use up to {MOST_NAME} lower-case letters, digits, `-`, `_` and `.`, beginning with a letter"),
    ))
}

/// Whether `password` may be used; says why not.
///
/// # Errors
/// [`Error::Mistake`] if it is too short or too long. There are no rules about its characters: length is what counts.
pub fn good_password(name: &str, password: &str) -> Result<()> {
    let refuse = |message: String, help: &str| Err(Error::mistake_with(message, help));
    if password.chars().count() < LEAST_PASSWORD {
        let message = format!("the password has fewer than {LEAST_PASSWORD} characters");
        return refuse(message, "four or five words that nobody would guess are easy to remember");
    }
    if password.len() > MOST_PASSWORD {
        return refuse(format!("the password has more than {MOST_PASSWORD} bytes"), "use a shorter one");
    }
    if password.eq_ignore_ascii_case(name) || password.chars().all(|c| password.starts_with(c)) {
        return refuse("the password is easy to guess".to_owned(), "use one that does not follow from the name");
    }
    Ok(())
}

fn read(ctx: &Context) -> Result<Stored> {
    let path = ctx.home().accounts();
    let Some(bytes) = fs::read_optional(&path)? else {
        return Ok(Stored { schema: 1, serial: 0, accounts: Vec::new() });
    };
    // Read as a whole or not at all: guessing at half of it could let somebody in.
    let stored: Stored = serde_json::from_slice(&bytes)
        .map_err(|source| Error::Json { what: format!("the accounts in {}", path.display()), source })?;
    if stored.schema != 1 {
        return Err(Error::surroundings(
            format!("{} was made by a newer Regrow", path.display()),
            "use the newer program, or another REGROW_HOME",
        ));
    }
    Ok(stored)
}

/// Changes the file under its lock.
fn change<T>(ctx: &Context, work: impl FnOnce(&mut Stored) -> Result<T>) -> Result<T> {
    let path = ctx.home().accounts();
    fs::create_dir_all(ctx.home().path())?;
    let _lock = FileLock::exclusive(path.with_extension("json.lock"), Wait::UntilFree)?;
    let mut stored = read(ctx)?;
    let value = work(&mut stored)?;
    stored.accounts.sort_by(|a, b| a.name.cmp(&b.name));
    let mut json =
        serde_json::to_vec_pretty(&stored).map_err(|source| Error::Json { what: "the accounts".to_owned(), source })?;
    json.push(b'\n');
    fs::write_atomic_with_mode(&path, &json, 0o600)?;
    Ok(value)
}

fn told(ctx: &Context, name: &str, role: Option<Role>, done: &'static str, way: Option<Way>) -> AccountReport {
    let words = match role {
        Some(role) => format!("account {name} ({role}): {done}"),
        None => format!("account {name}: {done}"),
    };
    acts::record(ctx, &way.into_iter().fold(Act::new("account", words), Act::undone_by));
    AccountReport { name: name.to_owned(), role, done }
}

/// Adds an account.
///
/// # Errors
/// [`Error::Mistake`] if the name is taken or not possible, or the password is bad.
pub fn add(ctx: &Context, name: &str, role: Role, password: &str) -> Result<AccountReport> {
    good_name(name)?;
    good_password(name, password)?;
    let (hash, since) = (hash(password)?, ctx.now());
    change(ctx, |stored| {
        if stored.accounts.iter().any(|a| a.name == name) {
            let help = format!("give it a new password with `regrow account passwd {name}`, or choose another name");
            return Err(Error::mistake_with(format!("there is an account {name} already"), help));
        }
        stored.serial += 1;
        stored.accounts.push(Account { name: name.to_owned(), role, password: hash, serial: stored.serial, since });
        Ok(())
    })?;
    let way = Way::Account { name: name.to_owned(), before: None, after: role };
    Ok(told(ctx, name, Some(role), "added", Some(way)))
}

fn existing<'a>(stored: &'a mut Stored, name: &str) -> Result<&'a mut Account> {
    stored.accounts.iter_mut().find(|a| a.name == name).ok_or_else(|| {
        Error::mistake_with(format!("there is no account {name}"), "`regrow account list` shows those there are")
    })
}

/// Gives an account a new password, which ends all its sessions.
///
/// # Errors
/// [`Error::Mistake`] if there is no such account or the password is bad.
pub fn set_password(ctx: &Context, name: &str, password: &str) -> Result<AccountReport> {
    good_password(name, password)?;
    let hash = hash(password)?;
    let role = change(ctx, |stored| {
        let serial = stored.serial + 1;
        let account = existing(stored, name)?;
        (account.password, account.serial) = (hash, serial);
        let role = account.role;
        stored.serial = serial;
        Ok(role)
    })?;
    Ok(told(ctx, name, Some(role), "password changed", None))
}

/// Ends all sessions of an account, with its password as it is.
///
/// # Errors
/// [`Error::Mistake`] if there is no such account.
pub fn end_sessions(ctx: &Context, name: &str) -> Result<AccountReport> {
    let role = change(ctx, |stored| {
        let serial = stored.serial + 1;
        let account = existing(stored, name)?;
        account.serial = serial;
        let role = account.role;
        stored.serial = serial;
        Ok(role)
    })?;
    Ok(told(ctx, name, Some(role), "signed out everywhere", None))
}

/// Whether somebody with the role [`Role::Switch`] is left without `name`.
fn keeps_a_switch(stored: &Stored, name: &str) -> bool {
    stored.accounts.iter().any(|a| a.role == Role::Switch && a.name != name)
        || !stored.accounts.iter().any(|a| a.role == Role::Switch && a.name == name)
}

/// Changes what an account may do. It holds from the next request on.
///
/// # Errors
/// [`Error::Mistake`] if there is no such account, or a page asks to take the last account's right to change accounts: the
/// command may do that, because the command is always a way back.
pub fn set_role(ctx: &Context, name: &str, role: Role) -> Result<AccountReport> {
    let may_be_last = ctx.from() == "command";
    let before = change(ctx, |stored| {
        if !may_be_last && role != Role::Switch && !keeps_a_switch(stored, name) {
            return Err(last_one(name));
        }
        Ok(std::mem::replace(&mut existing(stored, name)?.role, role))
    })?;
    let way = Way::Account { name: name.to_owned(), before: Some(before), after: role };
    Ok(told(ctx, name, Some(role), "role changed", Some(way)))
}

/// Removes an account, which ends all its sessions.
///
/// # Errors
/// As [`set_role`].
pub fn remove(ctx: &Context, name: &str) -> Result<AccountReport> {
    let may_be_last = ctx.from() == "command";
    change(ctx, |stored| {
        existing(stored, name)?;
        if !may_be_last && !keeps_a_switch(stored, name) {
            return Err(last_one(name));
        }
        stored.accounts.retain(|a| a.name != name);
        Ok(())
    })?;
    Ok(told(ctx, name, None, "removed", None))
}

fn last_one(name: &str) -> Error {
    Error::mistake_with(
        format!("{name} is the last account that may change accounts"),
        "give another account the role switch first",
    )
}

/// The accounts by name.
///
/// # Errors
/// If the file cannot be read.
pub fn list(ctx: &Context) -> Result<AccountsReport> {
    let shown = |a: Account| Shown { name: a.name, role: a.role, since: a.since };
    Ok(AccountsReport { accounts: read(ctx)?.accounts.into_iter().map(shown).collect() })
}

/// One account, if there is one of this name.
///
/// # Errors
/// If the file cannot be read.
pub fn get(ctx: &Context, name: &str) -> Result<Option<Account>> {
    Ok(read(ctx)?.accounts.into_iter().find(|a| a.name == name))
}

/// The account whose name and password these are. It takes the same time for a wrong password and for a name that nobody
/// has.
///
/// # Errors
/// If the file cannot be read.
pub fn check(ctx: &Context, name: &str, password: &str) -> Result<Option<Account>> {
    let account = if is_name(name) { get(ctx, name)? } else { None };
    let hash = account.as_ref().map_or(NOBODY.as_str(), |a| &a.password);
    let fits = password.len() <= MOST_PASSWORD && verify(password, hash);
    Ok(account.filter(|_| fits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use std::os::unix::fs::PermissionsExt;

    const GOOD: &str = "correct horse battery staple";

    #[test]
    fn an_account_lives_from_adding_to_removing() {
        let (_dir, ctx) = testing::context();
        assert!(list(&ctx).unwrap().accounts.is_empty());
        add(&ctx, "alice", Role::Edit, GOOD).unwrap();
        let file = ctx.home().accounts();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains("$argon2id$") && !text.contains("horse"), "{text}");

        let alice = check(&ctx, "alice", GOOD).unwrap().expect("the right password");
        assert_eq!(alice.role, Role::Edit);
        for (name, password) in [("alice", "correct horse battery stapl"), ("bob", GOOD), ("", ""), ("../x", GOOD)] {
            assert!(check(&ctx, name, password).unwrap().is_none(), "{name}");
        }
        assert!(add(&ctx, "alice", Role::View, GOOD).unwrap_err().to_string().contains("already"));

        set_password(&ctx, "alice", "another long password").unwrap();
        assert!(check(&ctx, "alice", GOOD).unwrap().is_none());
        let again = check(&ctx, "alice", "another long password").unwrap().unwrap();
        assert!(again.serial > alice.serial, "sessions of before end");
        set_role(&ctx, "alice", Role::View).unwrap();
        assert_eq!(get(&ctx, "alice").unwrap().unwrap().role, Role::View);
        remove(&ctx, "alice").unwrap();
        assert!(remove(&ctx, "alice").is_err());
        add(&ctx, "alice", Role::View, GOOD).unwrap();
        assert!(get(&ctx, "alice").unwrap().unwrap().serial > again.serial, "an old session stays ended");
        let acts = acts::list(&ctx, &acts::Which::default(), 10).unwrap().acts;
        assert_eq!(acts.len(), 5);
        assert!(acts.iter().all(|a| a.kind == "account" && a.words.starts_with("account alice")), "{acts:?}");
    }

    #[test]
    fn bad_names_and_passwords_are_refused_with_the_way_out() {
        let (_dir, ctx) = testing::context();
        for name in ["", "Alice", "1a", "a b", "a/b", "é", &"a".repeat(33)] {
            let e = add(&ctx, name, Role::View, GOOD).unwrap_err();
            assert!(e.exit_code() == 2 && e.help().is_some(), "{name}: {e}");
        }
        for password in ["", "short", "aaaaaaaaaaaaaaaa", &"x y".repeat(400)] {
            let e = add(&ctx, "alice", Role::View, password).unwrap_err();
            assert!(e.exit_code() == 2 && e.help().is_some(), "{e}");
        }
        assert!(add(&ctx, "a-name-with-12-chars", Role::View, "a-name-with-12-chars").is_err());
        assert!(!ctx.home().accounts().exists(), "a refusal writes nothing");
    }

    #[test]
    fn a_page_cannot_take_the_last_right_to_change_accounts_and_the_command_can() {
        let (_dir, ctx) = testing::context();
        add(&ctx, "alice", Role::Switch, GOOD).unwrap();
        add(&ctx, "bob", Role::Edit, GOOD).unwrap();
        let page = ctx.on_behalf_of("alice", "page 127.0.0.1");
        assert!(set_role(&page, "alice", Role::View).is_err());
        assert!(remove(&page, "alice").is_err());
        remove(&page, "bob").unwrap();
        set_role(&ctx, "alice", Role::View).unwrap();
    }

    #[test]
    fn a_damaged_file_lets_nobody_in_and_is_left_alone() {
        let (_dir, ctx) = testing::context();
        add(&ctx, "alice", Role::Switch, GOOD).unwrap();
        std::fs::write(ctx.home().accounts(), "{\"schema\": 1, \"accounts\": [").unwrap();
        assert_eq!(check(&ctx, "alice", GOOD).unwrap_err().exit_code(), 3);
        assert!(add(&ctx, "bob", Role::Switch, GOOD).is_err());
        assert_eq!(std::fs::read(ctx.home().accounts()).unwrap().len(), 27);
    }
}
