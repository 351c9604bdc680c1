//! Words for every kind of change; comparisons in a real repository.

use regrow_config::{Fleet, LockFile, MemoryFiles};
use regrow_history::Repo;

use super::*;
use crate::testing::context;

const FLEET: &str = "schema = 1\n[archives.debian]\nmirror = \"http://mirror.test/debian\"\nsuites = [\"trixie\"]\nkeyring = \"/usr/share/keyrings/k.gpg\"\n";

fn fleet(server: &str) -> Fleet {
    let files = MemoryFiles::new().with("regrow.toml", FLEET).with("roles/base.toml", "").with("roles/more.toml", "");
    let (fleet, found) = regrow_config::load_fleet(&files.with("servers/web1/server.toml", server));
    let mistakes: Vec<_> = found.iter().filter(|d| d.is_error()).collect();
    assert!(mistakes.is_empty(), "{server}: {mistakes:#?}");
    fleet
}

/// The words between two texts of one server.
#[track_caller]
fn told(old: &str, new: &str, wanted: &[&str]) {
    let (old, new) = (fleet(old), fleet(new));
    let words = words::of_server(&old.servers["web1"], &new.servers["web1"], &new.catalog);
    assert_eq!(words, wanted);
}

#[test]
fn software_in_words() {
    told("", "[packages]\nnginx = \"*\"", &["nginx is added"]);
    told("", "[packages]\npostgresql = \"17+278\"", &["PostgreSQL is added, in exactly the version 17+278"]);
    told("[packages]\nvim = \"*\"", "", &["vim is removed"]);
    told("[packages]\nvim = \"1\"", "[packages]\nvim = \"2\"", &["vim 1 → 2"]);
    told("[packages]\nvim = \"*\"", "[packages]\nvim = \"2\"", &["vim is held at exactly the version 2"]);
    told("[packages]\nvim = \"2\"", "[packages]\nvim = \"*\"", &["vim follows what the archives offer"]);
    told("[packages]\nvim = \"*\"", "[packages.vim]\nrecommends = true", &["vim also brings what it recommends"]);
    told("", "recommends = true", &["Its packages also bring what they recommend"]);
    told("", "[services.nginx]\nenabled = true", &["nginx starts at boot"]);
    told("[services.nginx]\nenabled = true", "[services.nginx]\nenabled = false", &["nginx does not start at boot"]);
    told("[services.nginx]\nenabled = true", "", &["nginx starts at boot if its package says so"]);
    told("", "[services.nginx]\nmasked = true", &["nginx cannot be started any more"]);
    told("[services.nginx]\nmasked = true", "[services.nginx]", &["nginx can be started again"]);
    told(
        "[services.nginx]\noverride = \"[Service]\\n\"",
        "[services.nginx]\noverride = \"[Unit]\\n\"",
        &["The settings laid over nginx change"],
    );
    let timer = "[timers.dump]\non_calendar = \"daily\"\ncommand = [\"/usr/bin/dump\", \"-a\"]\n";
    told("", timer, &["dump runs daily: /usr/bin/dump -a"]);
    told(timer, &timer.replace("daily", "weekly"), &["dump runs weekly, not daily"]);
    told(timer, &format!("{timer}persistent = true"), &["A run of dump that was missed is made up for"]);
    told(timer, "", &["dump is not run at given times any more"]);
}

#[test]
fn people_in_words() {
    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJqFpcbbO7JVVWpR3J4gxAABhJRUEBrbBjqzTmkPpLmB alice";
    let (a, b) = (KEY.to_owned(), KEY.replace("AAAAIJq", "AAAAIJr"));
    told("", "[users.alice]", &["The user alice is added"]);
    told(
        "",
        &format!("[users.alice]\nssh_keys = [\"{a}\"]\ngroups = [\"sudo\"]"),
        &["The user alice is added and may sign in with one key", "alice belongs to sudo"],
    );
    told("[users.alice]", "", &["The user alice is removed"]);
    let keys = |keys: &[&String]| format!("[users.alice]\nssh_keys = {keys:?}");
    told(&keys(&[&a]), &keys(&[&a, &b]), &["alice may sign in with one key more"]);
    told(&keys(&[&a, &b]), &keys(&[&a]), &["alice may sign in with one key fewer"]);
    told(&keys(&[&a]), &keys(&[]), &["alice may no longer sign in with a key (1 removed)"]);
    told(&keys(&[&a]), &keys(&[&b]), &["alice gets one key and loses one key"]);
    told(
        "[users.alice]\ngroups = [\"adm\"]",
        "[users.alice]\ngroups = [\"sudo\"]\nshell = \"/bin/sh\"",
        &["alice joins sudo", "alice leaves adm", "alice works in /bin/sh, not /bin/bash"],
    );
    told("", "[groups.crew]\ngid = 1500", &["The group crew is added"]);
    told("[groups.crew]\ngid = 1500", "[groups.crew]", &["The number of the group crew is given by the lock"]);
}

#[test]
fn files_in_words() {
    let motd = |rest: &str| format!("[files.\"/etc/motd\"]\n{rest}\n");
    told("", &motd("content = \"hello\\n\""), &["/etc/motd is written"]);
    told(&motd("content = \"a\\n\""), "", &["/etc/motd is no longer written"]);
    told(
        &motd("content = \"a\\n\""),
        &motd("content = \"b\\nc\\n\""),
        &["The content of /etc/motd changes (1 line more)"],
    );
    told(
        &motd("content = \"a\""),
        &motd("content = \"a\"\nmode = \"0600\"\nowner = \"mail\""),
        &["The permissions of /etc/motd 0644 → 0600", "/etc/motd belongs to mail:root, not root:root"],
    );
    told("", &motd("symlink = \"/run/motd\""), &["/etc/motd leads to /run/motd"]);
    told(&motd("content = \"a\""), &motd("symlink = \"/run/motd\""), &["/etc/motd becomes a link to /run/motd"]);
    told("", "[files.\"/srv/www\"]\ndirectory = true", &["The directory /srv/www is made"]);
}

#[test]
fn surroundings_in_words() {
    let publish = |ports: &str| format!("[network]\npublish = [{ports}]");
    told(&publish(""), &publish("\"8080:80\""), &["Port 8080 opens"]);
    told(&publish("\"8081:80\""), &publish("\"8080:80\""), &["Port 8080 opens, 8081 closes"]);
    told(&publish(""), &publish("\"0.0.0.0:80:80\", \"0.0.0.0:443:443\""), &["Ports 80, 443 open to other machines"]);
    told(&publish("\"8080:80\""), &publish("\"8080:81\""), &["Port 8080 leads to 81 inside, not 80"]);
    told(
        &publish("\"8080:80\""),
        &publish("\"0.0.0.0:8080:80\""),
        &["Port 8080 is open to other machines, not only at 127.0.0.1"],
    );
    told("", "[system]\nhostname = \"www\"", &["The host name is www, not web1"]);
    told("", "[system]\ntimezone = \"Europe/Berlin\"", &["The time zone is Europe/Berlin, not Etc/UTC"]);
    told(
        "[system.limits]\nmemory = \"512M\"",
        "[system.limits]\nmemory = \"1G\"\ntasks = 9",
        &["It may use 1G of memory, not 512M", "It may use 9 processes"],
    );
    told("", "[sysctl]\n\"net.ipv4.ip_forward\" = \"1\"", &["The kernel setting net.ipv4.ip_forward is 1"]);
    told("", "[state.db]\npaths = [\"/var/lib/db\"]", &["/var/lib/db is kept across switches (db)"]);
    told("[state.db]\npaths = [\"/var/lib/db\"]", "", &["/var/lib/db is no longer kept (db)"]);
    told(
        "[state.db]\npaths = [\"/var/lib/db\"]",
        "[state.db]\npaths = [\"/var/lib/db\"]\nengine = \"redis\"",
        &["The data db is captured as redis"],
    );
    told("", "roles = [\"base\"]", &["It takes the role base"]);
    told(
        "roles = [\"base\", \"more\"]",
        "roles = [\"more\", \"base\"]",
        &["Its roles are now in the order more, base"],
    );
}

#[test]
fn checks_in_words() {
    let front = |rest: &str| format!("[checks.front]\nhttp = \"http://localhost/\"\n{rest}");
    told("", &front(""), &["The check front is added: http://localhost/ answers with 200"]);
    told(&front(""), "", &["The check front is removed"]);
    told(&front(""), &front("status = 500"), &["The check front now wants status 500"]);
    told(&front(""), &front("body = \"hello\""), &["The check front now wants \"hello\" in the answer"]);
    told(&front(""), &front("timeout = 60"), &["The check front may take 60 s, not 30 s"]);
    told(&front(""), "[checks.front]\nport = 80", &["The check front now wants that port 80 answers"]);
    told(
        "[checks.front]\nfile = \"/etc/motd\"",
        "[checks.front]\nfile = \"/etc/motd\"\nexists = false",
        &["The check front now wants that /etc/motd is not there"],
    );
}

#[test]
fn the_whole_fleet_in_words() {
    let with = |regrow: &str| regrow_config::load_fleet(&MemoryFiles::new().with("regrow.toml", regrow)).0;
    let path = |path: &str| PathChange { path: path.to_owned(), change: "changed" };
    let paths = [path("README.md"), path("catalog/nginx.toml"), path("regrow.toml")];
    let new = FLEET.replace("[\"trixie\"]", "[\"trixie\", \"trixie-updates\"]");
    assert_eq!(
        words::fleet(&with(FLEET), &with(&new), &paths),
        [
            "The archive debian has the suite trixie-updates",
            "README.md is changed",
            "What the catalog knows about nginx is changed"
        ]
    );
}

fn locked(packages: &[(&str, &str)]) -> LockFile {
    let package = |version: &str| regrow_config::lock::LockedPackage {
        version: version.to_owned(),
        architecture: "amd64".to_owned(),
        archive: "debian".to_owned(),
        file: "pool/x.deb".to_owned(),
        size: 1000,
        sha256: "0".repeat(64),
        layer: 0,
    };
    let packages = packages.iter().map(|(name, version)| ((*name).to_owned(), package(version))).collect();
    LockFile { packages, ..LockFile::default() }
}

#[test]
fn locks_in_words() {
    let asked = fleet("[packages]\npostgresql = \"*\"");
    let server = Some(&asked.servers["web1"]);
    let told = |old: &[(&str, &str)], new: &[(&str, &str)]| {
        words::of_locks((Some(&locked(old)), Some(&locked(new))), (server, server), &asked.catalog)
    };
    assert_eq!(
        told(
            &[("postgresql", "17.2-1"), ("libc6", "2.41-1")],
            &[("postgresql", "17.4-1+deb13u1"), ("libc6", "2.41-2")]
        ),
        ["PostgreSQL 17.2 → 17.4", "libc6 2.41-1 → 2.41-2"]
    );
    assert_eq!(told(&[], &[("postgresql", "17.2-1"), ("libpq5", "17.2-1")]), ["1 further package comes along: libpq5"]);
    let (old, new): (Vec<_>, Vec<_>) =
        (["a", "b", "c", "d", "e"].map(|n| (n, "1")).into(), ["a", "b", "c", "d", "e"].map(|n| (n, "2")).into());
    assert_eq!(told(&old, &new), ["5 further packages change: a 1 → 2, b 1 → 2, c 1 → 2, d 1 → 2, …"]);
    assert_eq!(told(&[("a", "1"), ("b", "1")], &[]), ["2 further packages go as well: a, b"]);
}

fn write(dir: &std::path::Path, path: &str, text: &str) {
    let path = dir.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// A fleet with two servers of one role, committed.
fn repository() -> (tempfile::TempDir, Context) {
    let (dir, ctx) = context();
    let fleet = ctx.fleet().unwrap();
    write(fleet, "regrow.toml", FLEET);
    write(fleet, "roles/base.toml", "[packages]\nvim = \"*\"\n");
    for server in ["web1", "web2"] {
        write(
            fleet,
            &format!("servers/{server}/server.toml"),
            "roles = [\"base\"]\n\n# Front.\n[checks.front]\nport = 80\n",
        );
    }
    Repo::init(fleet).unwrap();
    commit(fleet, "Begin");
    (dir, ctx)
}

fn commit(fleet: &std::path::Path, message: &str) {
    for args in [vec!["add", "--all"], vec!["-c", "user.name=Ann", "-c", "user.email=a@b", "commit", "-qm", message]] {
        let done = std::process::Command::new("git").args(&args).current_dir(fleet).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

#[test]
fn hand_edits_are_compared_with_their_base() {
    let (_dir, ctx) = repository();
    let fleet = ctx.fleet().unwrap();
    assert!(compare(&ctx, &Side::Base, &Side::Disk).unwrap().is_empty());
    write(fleet, "servers/web1/server.toml", "roles = [\"base\"]\n\n# Front.\n[checks.front]\nport = 81\n");
    write(fleet, "servers/web1/root/etc/motd", "hello\n");
    let found = compare(&ctx, &Side::Base, &Side::Disk).unwrap();
    assert_eq!(found.to, "disk");
    assert_eq!(found.servers.len(), 1);
    let web1 = &found.servers[0];
    assert_eq!(web1.words, ["/etc/motd is written", "The check front now wants that port 81 answers"]);
    assert!(!web1.complete, "it is not locked");
    assert_eq!(web1.effects.files, [FileEffect { path: "/etc/motd".to_owned(), change: "written" }]);
    assert_eq!(found.keys[0].keys[0].key.to_string(), "checks.front.port");
    assert!(found.text.contains("-port = 80\n+port = 81\n") && found.text.contains("+hello\n"), "{}", found.text);
    assert_eq!(summary_of(&found), "web1: /etc/motd is written and 1 more");
    // The other way round.
    let back = compare(&ctx, &Side::Disk, &Side::Base).unwrap();
    assert_eq!(
        back.servers[0].words,
        ["/etc/motd is no longer written", "The check front now wants that port 80 answers"]
    );
}

#[test]
fn a_role_is_said_once_with_the_servers_it_reaches() {
    let (_dir, ctx) = repository();
    let fleet = ctx.fleet().unwrap();
    write(fleet, "roles/base.toml", "[packages]\nvim = \"*\"\nnginx = \"*\"\n");
    write(fleet, "servers/web2/server.toml", "roles = [\"base\"]\n\n[checks.front]\nport = 80\ntimeout = 60\n");
    commit(fleet, "More");
    let (_, found) = of_changeset(&ctx, "HEAD").unwrap();
    assert_eq!(found.roles.len(), 1);
    assert_eq!((&*found.roles[0].name, &found.roles[0].words[..]), ("base", &["nginx is added".to_owned()][..]));
    assert_eq!(found.roles[0].servers, ["web1", "web2"]);
    assert_eq!(found.roles[0].unlocked, ["web1", "web2"]);
    let servers: Vec<_> = found.servers.iter().map(|s| (&*s.name, &s.words[..])).collect();
    assert_eq!(servers, [("web2", &["The check front may take 60 s, not 30 s".to_owned()][..])]);
    assert_eq!(
        summary(&ctx, &Side::Revision("HEAD~1".into()), &Side::Revision("HEAD".into())).unwrap(),
        "2 places: The check front may take 60 s, not 30 s, nginx is added"
    );
}

#[test]
fn the_first_changeset_and_one_of_comments_only() {
    let (_dir, ctx) = repository();
    let fleet = ctx.fleet().unwrap();
    let (_, first) = of_changeset(&ctx, "HEAD").unwrap();
    assert_eq!(first.from, "nothing");
    assert_eq!(first.servers[0].words, ["The server web1 is new: 1 package, 1 check"]);
    assert_eq!(first.roles[0].words, ["The role base is new: 1 package"]);
    write(fleet, "servers/web1/server.toml", "roles = [\"base\"]\n\n# The front.\n[checks.front]\nport = 80\n");
    commit(fleet, "Comment");
    let (_, second) = of_changeset(&ctx, "HEAD").unwrap();
    assert_eq!(summary_of(&second), "Comments and layout of servers/web1/server.toml");
    assert!(second.keys[0].keys.is_empty() && second.servers[0].words.is_empty());
}

#[test]
fn mistakes_are_counted_and_refuse_nothing() {
    let (_dir, ctx) = repository();
    write(ctx.fleet().unwrap(), "servers/web1/server.toml", "roles = [\"base\"]\n[checks.front\nport = 80\n");
    let found = compare(&ctx, &Side::Base, &Side::Disk).unwrap();
    assert!(found.servers[0].mistakes > 0 && !found.servers[0].complete);
    assert!(found.text.contains("+[checks.front\n"));
}

#[test]
fn a_glance_looks_at_a_bounded_part_and_says_what_it_left_out() {
    let (_dir, ctx) = repository();
    let fleet = ctx.fleet().unwrap();
    for n in 0..30 {
        write(fleet, &format!("servers/x{n:02}/server.toml"), "roles = [\"base\"]\n");
    }
    write(fleet, "roles/base.toml", "[packages]\nvim = \"*\"\nnginx = \"*\"\n");
    commit(fleet, "Many");
    let (_, all) = of_changeset(&ctx, "HEAD").unwrap();
    assert_eq!((all.servers.len(), all.left_out), (30, LeftOut::default()));
    let (_, some) = glance_at_changeset(&ctx, "HEAD").unwrap();
    assert_eq!(some.left_out, LeftOut { servers: 32 - MOST_SERVERS, files: 31 - MOST_FILES });
    let told = |servers: &[ServerComparison]| serde_json::to_value(servers).unwrap();
    assert_eq!(told(&some.servers), told(&all.servers[..MOST_SERVERS]));
    assert_eq!(some.paths, all.paths);
    assert_eq!((&some.roles[0].words, &some.roles[0].servers), (&all.roles[0].words, &all.roles[0].servers));
    assert_eq!(some.text, all.text.split_at(some.text.len()).0);
    assert!(!some.is_complete());
}

#[test]
fn what_was_read_before_tells_the_same_as_reading_anew() {
    let (_dir, ctx) = repository();
    let fleet = ctx.fleet().unwrap();
    let texts =
        ["roles = [\"base\"]\n", "roles = [\"base\"]\n[packages]\ngit = \"*\"\n", "roles = [\"none\"\n", "x = 1\n"];
    for n in 0..8_usize {
        write(fleet, "servers/web1/server.toml", texts[n % 4]);
        write(fleet, "servers/web2/server.toml", texts[n / 2]);
        write(fleet, "roles/base.toml", ["", "[packages]\nvim = \"*\"\n", "[packages\n"][n % 3]);
        commit(fleet, &format!("{n}"));
    }
    for from in 0..8 {
        for to in 0..8 {
            let side = |n: usize| Side::Revision(format!("HEAD~{n}"));
            let known = compare(&ctx, &side(from), &side(to)).unwrap();
            let anew = compare(&ctx.with_fleet(fleet.to_owned()), &side(from), &side(to)).unwrap();
            assert_eq!(serde_json::to_value(&known).unwrap(), serde_json::to_value(&anew).unwrap(), "{from} {to}");
        }
    }
}

#[test]
fn summaries_are_the_same_from_git_from_memory_and_from_the_record() {
    let (_dir, ctx) = repository();
    let fleet = ctx.fleet().unwrap();
    for n in 0..12 {
        write(fleet, &format!("servers/web{}/server.toml", n % 3), &format!("[packages]\nvim = \"{n}\"\n"));
        write(fleet, &format!("notes/{n}"), "x");
        commit(fleet, &format!("{n}"));
    }
    let told = |ctx: &Context, server: Option<&str>| -> Vec<(String, String)> {
        let found = crate::changes::timeline(ctx, server, None, 50).unwrap().changes;
        found.into_iter().map(|t| (t.change.revision, t.summary.to_string())).collect()
    };
    // First of one server: its paths are not all that the changesets touched.
    let (one, all) = (told(&ctx, Some("web1")), told(&ctx, None));
    assert_eq!((one.len(), all.len()), (5, 13));
    assert!(one.iter().all(|c| all.contains(c)) && all[0].1.starts_with("2 places: "), "{all:?}");
    let kept = ctx.with_fleet(fleet.to_owned());
    let rounds = std::cell::Cell::new(0);
    crate::remember::changesets(&kept, &|| rounds.replace(rounds.get() + 1) > 0);
    for server in [None, Some("web1"), Some("nobody")] {
        assert_eq!(told(&kept, server), told(&ctx, server));
    }
    assert_eq!(told(&ctx.with_fleet(fleet.to_owned()), None), all);
    // What lands meanwhile is told, too.
    write(fleet, "servers/web1/server.toml", "");
    commit(fleet, "newest");
    assert_eq!(told(&kept, Some("web1")), told(&ctx, Some("web1")));
    assert_eq!(told(&kept, None).len(), 14);
}
