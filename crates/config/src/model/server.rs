//! A server and the tables it is made of.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Check, FileEntry};
use crate::KeyPath;
use crate::read::rules::{
    AbsolutePath, AccountName, ByteSize, Calendar, Command, CryptHash, Exclude, HomePath, Hostname, Id, Locale,
    OneLine, PackageName, PositiveInt, SshKey, SysctlName, SysctlValue, Text, Timezone, UnitName,
};
use crate::read::rules::{ObjectName, RoleName, ServerFile};
use crate::read::table;
use crate::read::{CheckRule, EngineRule, PackageRule, PublishRule, SchemaVersion};

table! {
    /// A server (`servers/<name>/*.toml`) or a role (`roles/<name>.toml`). Every object is a named table.
    pub struct ServerText {
        /// Version of this form of text.
        schema: u32 as SchemaVersion = 1,
        /// Roles merged under this file: what is said here wins, key by key; a later role wins over an earlier one.
        roles: Vec<String> as Vec<RoleName>,
        /// Whether packages bring what they recommend. Absent: as `[defaults]` in regrow.toml says.
        recommends: Option<bool> as bool,
        /// The machine itself.
        system: System as System,
        /// Debian packages to install: name = "*" or an exact version.
        packages: BTreeMap<String, Package> as BTreeMap<PackageName, PackageRule>,
        /// systemd units to enable, disable, mask or adjust.
        services: BTreeMap<String, Service> as BTreeMap<UnitName, Service>,
        /// User accounts.
        users: BTreeMap<String, User> as BTreeMap<AccountName, User>,
        /// Groups.
        groups: BTreeMap<String, Group> as BTreeMap<AccountName, Group>,
        /// Files, symbolic links and directories, by absolute path.
        files: BTreeMap<String, FileEntry> as BTreeMap<AbsolutePath, ServerFile>,
        /// How the server meets the world.
        network: Network as Network,
        /// Commands run at given times, as systemd timers.
        timers: BTreeMap<String, Timer> as BTreeMap<ObjectName, Timer>,
        /// Kernel settings, set when the server starts.
        sysctl: BTreeMap<String, String> as BTreeMap<SysctlName, SysctlValue>,
        /// Data that outlives images: kept across switches and backed up.
        state: BTreeMap<String, State> as BTreeMap<ObjectName, State>,
        /// What must hold for the server to be healthy: judged in trials and after a switch.
        checks: BTreeMap<String, Check> as BTreeMap<ObjectName, CheckRule>,
    }
}

table! {
    /// The machine itself.
    pub struct System {
        /// Host name. Absent: the server's own name.
        hostname: String as Hostname,
        /// Time zone as in the tz database.
        timezone: String as Timezone = "Etc/UTC".to_owned(),
        /// System locale; `C.UTF-8` needs no package, others need `locales`.
        locale: String as Locale = "C.UTF-8".to_owned(),
        /// What the server may use when run as a trial or as a local online server.
        limits: Limits as Limits,
    }
}

table! {
    /// What a trial or a local online server may use of its host.
    pub struct Limits {
        /// Memory in bytes: a number, or text such as "512M" or "2G" (powers of 1024).
        memory: Option<u64> as ByteSize,
        /// Number of processes and threads.
        tasks: Option<u32> as PositiveInt,
    }
}

/// One requested package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// `*` for whatever the archives offer (the lock holds it still), or one exact Debian version.
    pub version: String,
    /// Whether this package brings what it recommends; `None`: as the server says.
    pub recommends: Option<bool>,
}

impl Package {
    /// The exact version asked for, if one was.
    pub fn exact(&self) -> Option<&str> {
        (self.version != "*").then_some(self.version.as_str())
    }
}

table! {
    /// One requested package in its long form.
    pub struct PackageText {
        /// "*" or one exact Debian version.
        version: String as crate::read::rules::PackageVersion = "*".to_owned(),
        /// Whether this package brings what it recommends.
        recommends: Option<bool> as bool,
    }
}

table! {
    /// A systemd unit that a package or a file brings.
    pub struct Service {
        /// Whether it starts with the server. Absent: as the package decides.
        enabled: Option<bool> as bool,
        /// Makes the unit impossible to start.
        masked: bool as bool,
        /// Text of a drop-in (`/etc/systemd/system/<unit>.d/regrow.conf`), laid over the unit.
        r#override: Option<String> as Text,
    }
}

impl Service {
    /// The full unit name of the key `name`: `nginx` is `nginx.service`, `a.timer` stays.
    pub fn unit(name: &str) -> String {
        crate::read::rules::full_unit_name(name)
    }
}

table! {
    /// A user account. Ids come from the lock unless said here.
    pub struct User {
        /// User id. Absent: given once by the lock and kept for ever.
        uid: Option<u32> as Id,
        /// Full name or purpose (the GECOS field).
        comment: String as OneLine,
        /// Primary group. Absent: a group of the same name.
        group: Option<String> as AccountName,
        /// Further groups.
        [set access] groups: Vec<String> as Vec<AccountName>,
        /// Public keys that may log in over SSH, one per line as in authorized_keys.
        [set access] ssh_keys: Vec<String> as Vec<SshKey>,
        /// Login shell. Absent: /bin/bash, or /usr/sbin/nologin for a system account.
        [access] shell: Option<String> as HomePath,
        /// Home directory. Absent: /home/<name>, or /nonexistent for a system account.
        home: Option<String> as HomePath,
        /// Password as a crypt(5) hash, never the password itself. Absent: no password login.
        [access] password_hash: Option<String> as CryptHash,
        /// A system account: id below 1000, no home directory made, no login shell.
        system: bool as bool,
    }
}

impl User {
    /// The login shell that holds when none is given.
    pub fn login_shell(&self) -> &str {
        match &self.shell {
            Some(shell) => shell,
            None if self.system => "/usr/sbin/nologin",
            None => "/bin/bash",
        }
    }

    /// The home directory of the account called `name`.
    pub fn home_of(&self, name: &str) -> String {
        match &self.home {
            Some(home) => home.clone(),
            None if self.system => "/nonexistent".to_owned(),
            None => format!("/home/{name}"),
        }
    }
}

table! {
    /// A group. Members are named by the users.
    pub struct Group {
        /// Group id. Absent: given once by the lock and kept for ever.
        gid: Option<u32> as Id,
        /// A system group: id below 1000.
        system: bool as bool,
    }
}

table! {
    /// How the server meets the world.
    pub struct Network {
        /// Ports of a local online server: "host address:host port:port inside"; without address, loopback.
        [set access] publish: Vec<Publish> as Vec<PublishRule>,
    }
}

/// One published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Publish {
    /// Where the host listens (TCP).
    pub host: SocketAddr,
    /// The port inside the server, on its loopback address.
    pub port: u16,
}

table! {
    /// A command run at given times: becomes `<name>.timer` and `<name>.service`.
    pub struct Timer {
        /// When, as systemd's OnCalendar: "daily", "Mon *-*-* 03:00".
        [required] on_calendar: String as Calendar,
        /// Program (absolute path) and arguments; no shell.
        [required] command: Vec<String> as Command,
        /// The account it runs as.
        user: String as AccountName = "root".to_owned(),
        /// Whether a run missed while the server was down is made up for.
        persistent: bool as bool,
    }
}

/// How data is captured so that a copy is consistent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Plain files, captured while their writers are stopped or by a snapshot of the file system.
    #[default]
    Files,
    /// A PostgreSQL cluster.
    Postgresql,
    /// A MariaDB or MySQL server.
    Mariadb,
    /// SQLite database files.
    Sqlite,
    /// A Redis or Valkey server.
    Redis,
}

table! {
    /// A set of data that outlives images.
    pub struct State {
        /// Absolute directories; each is a place of its own, none inside another.
        [required set] paths: Vec<String> as Vec<AbsolutePath>,
        /// How it is captured consistently.
        engine: Engine as EngineRule,
        /// Patterns below the paths that are not backed up (caches, temporary files).
        [set] exclude: Vec<String> as Vec<Exclude>,
    }
}

/// A file of the `root/` directory, laid over the image as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFile {
    /// Its bytes, or where it points.
    pub content: RootContent,
    /// Permission bits: 0755 if executable in the fleet, else 0644; 0777 for a link. Owner is root.
    pub mode: u32,
    /// Where it is in the fleet, relative to it.
    pub source: String,
}

/// What a [`RootFile`] is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RootContent {
    /// A plain file with these bytes.
    Bytes(#[serde(skip)] Vec<u8>),
    /// A symbolic link with this target, kept as written.
    Symlink(String),
}

/// Where a value is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The file, relative to the fleet.
    pub path: Arc<str>,
    /// Line of the key, from 1.
    pub line: usize,
    /// Column of the key in characters, from 1.
    pub column: usize,
    /// Bytes of the key in the file.
    pub key_span: Range<usize>,
    /// Bytes of the value in the file (for a `[table]`, of its header).
    pub span: Range<usize>,
}

/// One server with its roles merged under it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Server {
    /// Its name: the directory below `servers/`.
    pub name: String,
    /// The roles it named, in its order.
    pub roles: Vec<String>,
    /// Debian architecture, from `[defaults]`.
    pub architecture: String,
    /// Whether packages bring what they recommend.
    pub recommends: bool,
    /// The machine itself; the host name is never empty.
    pub system: System,
    /// Requested packages by name.
    pub packages: BTreeMap<String, Package>,
    /// Units by the name written (see [`Service::unit`]).
    pub services: BTreeMap<String, Service>,
    /// Accounts by name.
    pub users: BTreeMap<String, User>,
    /// Groups by name.
    pub groups: BTreeMap<String, Group>,
    /// Declared files by absolute, normal path.
    pub files: BTreeMap<String, FileEntry>,
    /// Published ports.
    pub network: Network,
    /// Timers by name.
    pub timers: BTreeMap<String, Timer>,
    /// Kernel settings.
    pub sysctl: BTreeMap<String, String>,
    /// State by name.
    pub state: BTreeMap<String, State>,
    /// Checks by name.
    pub checks: BTreeMap<String, Check>,
    /// Files of `root/` by absolute path.
    pub root_files: BTreeMap<String, RootFile>,
    /// Where each key comes from, tables included.
    #[serde(skip)]
    pub provenance: BTreeMap<KeyPath, Origin>,
}
