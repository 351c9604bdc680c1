//! A home, a fleet's place and a fixed identity of its own for every test; commands read like a terminal session.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use regrow_testkit::{FileServer, PackageSpec, TestArchive};

/// Where one test works. What differs from run to run is filtered out of snapshots.
pub(crate) struct TestEnvironment {
    dir: tempfile::TempDir,
    _settings: insta::internals::SettingsBindDropGuard,
}

/// The mirror of fleets that never fetch anything.
pub(crate) const MIRROR: &str = "http://mirror.test/debian";

/// The text of the server `web1`.
pub(crate) const SERVER: &str = r#"schema = 1

# What it serves.
[packages]
nginx = "*"

[services.nginx]
enabled = true

[checks.front]
http   = "http://localhost/"
status = 200               # the front page
body   = "grown from text"
"#;

impl TestEnvironment {
    /// An empty directory, and nobody's configuration but ours.
    pub(crate) fn new() -> TestEnvironment {
        let dir = tempfile::Builder::new().prefix("regrow-cli-").tempdir().unwrap();
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(&regex_escape(&dir.path().canonicalize().unwrap().display().to_string()), "[DIR]");
        settings.add_filter(&regex_escape(&dir.path().display().to_string()), "[DIR]");
        settings.add_filter(r"\b[0-9a-f]{40}\b", "[COMMIT]");
        settings.add_filter(r"\b[0-9a-f]{12}\b", "[REV]");
        settings.add_filter(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?Z)?", "[TIME]");
        // Progress depends on how long steps take, and its words belong to the crates below.
        settings.add_filter(r"(?m)^ +\d+\.\ds  .*\n", "");
        settings.add_filter(r"index [0-9a-f]+\.\.[0-9a-f]+", "index [BLOBS]");
        settings.add_filter(r#""seconds": [\d.e-]+"#, r#""seconds": "[S]""#);
        settings.add_filter(r"http://127\.0\.0\.1:\d+/?", "http://[MIRROR]/");
        let env = TestEnvironment { dir, _settings: settings.bind_to_scope() };
        std::fs::write(env.path(".gitconfig"), "[user]\n\tname = Ann\n\temail = ann@example.org\n").unwrap();
        env
    }

    /// With a fleet in `fleet`, made by `init`, whose server is [`SERVER`] and whose mirror does not exist.
    pub(crate) fn with_fleet() -> TestEnvironment {
        let env = TestEnvironment::new();
        let made = env.output(env.path(""), &["init", "fleet", "--mirror", MIRROR]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        std::fs::write(env.fleet("servers/web1/server.toml"), SERVER).unwrap();
        env.git(&["commit", "--quiet", "--amend", "--all", "--message", "Begin"]);
        env
    }

    /// A path below the test's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A path below the fleet.
    pub(crate) fn fleet(&self, name: &str) -> PathBuf {
        self.path("fleet").join(name)
    }

    /// A file of the fleet.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.fleet(name)).unwrap()
    }

    /// Replaces a text that must be in a file of the fleet, as a person's editor would.
    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "{name} has no {from:?}:\n{text}");
        std::fs::write(self.fleet(name), text.replacen(from, to, 1)).unwrap();
    }

    /// Runs regrow in the fleet (or the test's directory, if there is none) and shows what it said.
    pub(crate) fn run<const N: usize>(&self, args: [&str; N]) -> String {
        let dir = if self.path("fleet").is_dir() { self.path("fleet") } else { self.path("") };
        self.run_in(&dir, args)
    }

    /// Runs regrow in a directory.
    pub(crate) fn run_in<const N: usize>(&self, dir: &Path, args: [&str; N]) -> String {
        show(&self.output(dir, &args))
    }

    /// Runs regrow and parses its one JSON object.
    pub(crate) fn json<const N: usize>(&self, args: [&str; N]) -> serde_json::Value {
        let output = self.output(self.path("fleet"), &args);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", show(&output)))
    }

    pub(crate) fn output(&self, dir: impl AsRef<Path>, args: &[&str]) -> Output {
        self.command(dir).args(args).output().unwrap()
    }

    /// The program with the test's surroundings.
    pub(crate) fn command(&self, dir: impl AsRef<Path>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_regrow"));
        command.current_dir(dir).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", self.path("")).env("REGROW_HOME", self.path("home")).env("USER", "ann");
        command
    }

    /// Runs git in the fleet; what it says.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        let output =
            Command::new("git").args(args).current_dir(self.path("fleet")).env("HOME", self.path("")).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Commits whatever was edited.
    pub(crate) fn commit(&self, message: &str) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", message]);
    }
}

/// A small archive that is really served and signed, and a fleet that uses it.
pub(crate) struct World {
    pub(crate) env: TestEnvironment,
    pub(crate) archive: TestArchive,
    _server: FileServer,
}

impl World {
    /// `web1` asks for the package `web`; `base` is essential.
    pub(crate) fn new() -> World {
        let env = TestEnvironment::with_fleet();
        let mut archive = TestArchive::new(&env.path("mirror"));
        archive
            .add("trixie", PackageSpec::new("base", "1").essential().file("/etc/base", b"base\n", 0o644))
            .add("trixie", PackageSpec::new("web", "2.0-1").depends("libweb"))
            .add("trixie", PackageSpec::new("libweb", "2.0"))
            .add("trixie", PackageSpec::new("tool", "1"))
            .add("trixie", PackageSpec::new("broken", "1").depends("gone"));
        archive.publish();
        let server = FileServer::start(archive.dir());
        let world = World { env, archive, _server: server };
        let keyring = world.archive.keyring().display();
        let fleet = format!(
            "schema = 1\n\n[archives.test]\nmirror  = \"{}\"\nsuites  = [\"trixie\"]\nkeyring = \"{keyring}\"\n",
            world._server.url()
        );
        std::fs::write(world.env.fleet("regrow.toml"), fleet).unwrap();
        std::fs::remove_file(world.env.fleet("roles/base.toml")).unwrap();
        std::fs::write(
            world.env.fleet("servers/web1/server.toml"),
            "schema = 1\n\n[packages]\nweb = \"*\" # the site\n",
        )
        .unwrap();
        world.env.commit("A small server");
        world
    }
}

fn show(output: &Output) -> String {
    let status = output.status.code().map_or("a signal".to_owned(), |code| code.to_string());
    format!(
        "exit status: {status}\n----- stdout\n{}----- stderr\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn regex_escape(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_alphanumeric() || c == '/' { vec![c] } else { vec!['\\', c] }).collect()
}
