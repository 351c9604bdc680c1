//! The text applied to small trees.

use regrow_config::lock::LockFile;
use regrow_config::{Catalog, FileEntry, FileKind, Group, RootContent, RootFile, Server, Service, State, Timer, User};

use super::*;
use crate::plan::plan;

const EPOCH: i64 = 1000;
const UNIT: &str =
    "[Unit]\nDescription=x\n[Install]\nWantedBy=multi-user.target\nAlias=httpd.service\nAlso=web.socket\n";

struct Fixture {
    _dir: tempfile::TempDir,
    store: Store,
    tree: Tree,
    lock: LockFile,
    catalog: Catalog,
    server: Server,
}

impl Fixture {
    fn new() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut server = Server { name: "web1".to_owned(), ..Server::default() };
        server.system.hostname = "web1".to_owned();
        server.system.timezone = "Etc/UTC".to_owned();
        server.system.locale = "C.UTF-8".to_owned();
        let mut lock = LockFile { epoch: EPOCH, ..LockFile::default() };
        lock.users.insert("alice".to_owned(), 1000);
        lock.groups.insert("alice".to_owned(), 1001);
        lock.groups.insert("staff2".to_owned(), 1002);
        let mut f = Fixture { _dir: dir, store, tree: Tree::default(), lock, catalog: Catalog::default(), server };
        f.has("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\n");
        f.has("/etc/shadow", "root:*::0:99999:7:::\nwww-data:*::0:99999:7:::\n");
        f.has("/etc/group", "root:x:0:\nsudo:x:27:\nwww-data:x:33:\nshadow:x:42:\n");
        f.has("/etc/gshadow", "root:*::\nsudo:*::\nwww-data:*::\nshadow:*::\n");
        f.has("/etc/skel/.profile", "umask 022\n");
        f.has("/usr/lib/systemd/systemd", "");
        f.has("/usr/lib/systemd/system/web.service", UNIT);
        f.has("/usr/lib/systemd/system/web.socket", "[Install]\nWantedBy=sockets.target\n");
        f.has("/usr/lib/systemd/system/static.service", "[Service]\nExecStart=/bin/x\n");
        f.has("/usr/lib/systemd/system/db@.service", "[Install]\nWantedBy=multi-user.target\n");
        f.has("/usr/share/zoneinfo/Europe/Berlin", "TZif");
        f.tree.insert_dir("/home", Meta::new(0o755, 0, 0, EPOCH)).unwrap();
        f
    }

    fn has(&mut self, path: &str, text: &str) {
        crate::database::put(&mut self.tree, &self.store, path, text.as_bytes(), 0o644, EPOCH).unwrap();
    }

    fn apply(&self) -> Result<Tree, BuildError> {
        apply(self.tree.clone(), &plan(&self.server, &self.lock, &self.catalog), &self.store)
    }

    fn text(&self, tree: &Tree, path: &str) -> String {
        assert!(tree.contains(path), "{path} is missing");
        crate::database::text(tree, &self.store, path).unwrap()
    }
}

fn link<'a>(tree: &'a Tree, path: &str) -> Option<&'a str> {
    std::str::from_utf8(tree.get(path)?.as_symlink()?).ok()
}

fn mode_and_owner(tree: &Tree, path: &str) -> (u32, u32, u32) {
    let meta = tree.get(path).unwrap().meta();
    (meta.mode, meta.uid, meta.gid)
}

#[test]
fn names_zone_and_locale_are_written() {
    let mut f = Fixture::new();
    f.server.system.timezone = "Europe/Berlin".to_owned();
    f.server.sysctl.insert("vm.swappiness".to_owned(), "10".to_owned());
    let tree = f.apply().unwrap();
    assert_eq!(f.text(&tree, "/etc/hostname"), "web1\n");
    assert!(f.text(&tree, "/etc/hosts").contains("127.0.1.1\tweb1\n"));
    assert_eq!(link(&tree, "/etc/localtime"), Some("/usr/share/zoneinfo/Europe/Berlin"));
    assert_eq!(f.text(&tree, "/etc/timezone"), "Europe/Berlin\n");
    assert_eq!(f.text(&tree, "/etc/default/locale"), "LANG=C.UTF-8\n");
    assert_eq!(f.text(&tree, "/etc/sysctl.d/99-regrow.conf"), "vm.swappiness = 10\n");
    assert_eq!(f.text(&tree, "/etc/machine-id"), "");
    assert!(tree.contains("/var/lib/regrow/identity"));
    assert!(tree.walk().all(|(_, e)| e.meta().mtime <= EPOCH), "nothing is younger than the epoch");
}

#[test]
fn an_unknown_zone_or_locale_names_the_package_that_has_it() {
    let mut f = Fixture::new();
    f.server.system.timezone = "Mars/Olympus".to_owned();
    assert!(f.apply().unwrap_err().to_string().contains("tzdata"));
    f.server.system.timezone = "Etc/UTC".to_owned();
    f.server.system.locale = "de_DE.UTF-8".to_owned();
    assert!(f.apply().unwrap_err().to_string().contains("locales-all"));
    f.has("/usr/lib/locale/de_DE.utf8/LC_TIME", "");
    f.apply().unwrap();
}

#[test]
fn users_get_account_home_and_keys() {
    let mut f = Fixture::new();
    let user = User {
        groups: vec!["sudo".to_owned(), "staff2".to_owned()],
        ssh_keys: vec!["ssh-ed25519 AAAA a@b".to_owned()],
        comment: "Alice".to_owned(),
        ..User::default()
    };
    f.server.users.insert("alice".to_owned(), user);
    f.server.groups.insert("staff2".to_owned(), Group::default());
    let tree = f.apply().unwrap();
    assert!(f.text(&tree, "/etc/passwd").ends_with("alice:x:1000:1001:Alice:/home/alice:/bin/bash\n"));
    assert!(f.text(&tree, "/etc/shadow").ends_with("alice:*::0:99999:7:::\n"), "no password, but not locked");
    let group = f.text(&tree, "/etc/group");
    assert!(
        group.contains("sudo:x:27:alice\n")
            && group.contains("alice:x:1001:\n")
            && group.contains("staff2:x:1002:alice\n")
    );
    assert!(f.text(&tree, "/etc/gshadow").contains("sudo:*::alice\n"));
    assert_eq!(mode_and_owner(&tree, "/home/alice"), (0o700, 1000, 1001));
    assert_eq!(mode_and_owner(&tree, "/home/alice/.profile"), (0o644, 1000, 1001));
    assert_eq!(mode_and_owner(&tree, "/home/alice/.ssh/authorized_keys"), (0o600, 1000, 1001));
    assert_eq!(f.text(&tree, "/home/alice/.ssh/authorized_keys"), "ssh-ed25519 AAAA a@b\n");
}

#[test]
fn accounts_of_packages_are_changed_only_as_the_text_says() {
    let mut f = Fixture::new();
    let hash = Some("$y$hash".to_owned());
    f.server
        .users
        .insert("root".to_owned(), User { password_hash: hash, ssh_keys: vec!["k".to_owned()], ..User::default() });
    let tree = f.apply().unwrap();
    assert!(f.text(&tree, "/etc/passwd").starts_with("root:x:0:0:root:/root:/bin/bash\n"));
    assert!(f.text(&tree, "/etc/shadow").starts_with("root:$y$hash::"));
    assert_eq!(mode_and_owner(&tree, "/root/.ssh/authorized_keys"), (0o600, 0, 0));
    f.server.users.insert("www-data".to_owned(), User { uid: Some(44), ..User::default() });
    let words = f.apply().unwrap_err().to_string();
    assert!(words.contains("users.www-data") && words.contains("33") && words.contains("44"), "{words}");
}

#[test]
fn an_account_without_an_id_or_a_group_says_what_to_do() {
    let mut f = Fixture::new();
    f.server.users.insert("bob".to_owned(), User::default());
    assert!(f.apply().unwrap_err().to_string().contains("regrow lock"));
    f.server.users.clear();
    f.server.users.insert("alice".to_owned(), User { groups: vec!["wheel".to_owned()], ..User::default() });
    let words = f.apply().unwrap_err().to_string();
    assert!(words.contains("users.alice.groups") && words.contains("[groups.wheel]"), "{words}");
    f.server.users.insert("alice".to_owned(), User { uid: Some(33), ..User::default() });
    assert!(f.apply().unwrap_err().to_string().contains("www-data"));
}

#[test]
fn files_have_owner_mode_and_win_over_generated_ones() {
    let mut f = Fixture::new();
    let file =
        |kind: FileKind, mode: u32| FileEntry { kind, mode, owner: "www-data".to_owned(), group: "root".to_owned() };
    let regular = |text: &str| FileKind::Regular { content: text.into(), source: None };
    f.server.files.insert("/etc/hostname".to_owned(), file(regular("mine\n"), 0o600));
    f.server.files.insert("/srv/www".to_owned(), file(FileKind::Directory, 0o750));
    f.server.files.insert("/srv/link".to_owned(), file(FileKind::Symlink { target: "www".to_owned() }, 0o777));
    let root = RootFile {
        content: RootContent::Bytes(b"conf".to_vec()),
        mode: 0o644,
        source: "servers/web1/root/etc/c".to_owned(),
    };
    f.server.root_files.insert("/etc/c".to_owned(), root);
    let tree = f.apply().unwrap();
    assert_eq!(f.text(&tree, "/etc/hostname"), "mine\n");
    assert_eq!(mode_and_owner(&tree, "/etc/hostname"), (0o600, 33, 0));
    assert_eq!(mode_and_owner(&tree, "/srv/www"), (0o750, 33, 0));
    assert_eq!(link(&tree, "/srv/link"), Some("www"));
    assert_eq!(f.text(&tree, "/etc/c"), "conf");
}

#[test]
fn files_that_do_not_fit_name_their_key() {
    let mut f = Fixture::new();
    let entry = |owner: &str, text: &str| FileEntry {
        kind: FileKind::Regular { content: text.into(), source: None },
        mode: 0o644,
        owner: owner.to_owned(),
        group: "root".to_owned(),
    };
    f.server.files.insert("/etc/x".to_owned(), entry("nobody-here", ""));
    let words = f.apply().unwrap_err().to_string();
    assert!(words.contains("files.\"/etc/x\".owner") && words.contains("nobody-here"), "{words}");
    f.server.files.clear();
    f.server.files.insert("/home".to_owned(), entry("root", ""));
    assert!(f.apply().unwrap_err().to_string().contains("files.\"/home\""));
    f.server.files.clear();
    let key =
        "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg\n-----END PRIVATE KEY-----\n";
    f.server.files.insert("/etc/x.key".to_owned(), entry("root", key));
    assert!(matches!(f.apply(), Err(BuildError::PrivateKey { .. })));
}

#[test]
fn services_are_enabled_disabled_and_masked_by_links() {
    let mut f = Fixture::new();
    let service = |enabled: Option<bool>, masked: bool| Service { enabled, masked, ..Service::default() };
    f.server.services.insert("web".to_owned(), service(Some(true), false));
    f.server.services.insert("db@main".to_owned(), service(Some(true), false));
    f.server.services.insert("static".to_owned(), service(None, true));
    let tree = f.apply().unwrap();
    let dir = "/etc/systemd/system";
    let unit = Some("/usr/lib/systemd/system/web.service");
    assert_eq!(link(&tree, &format!("{dir}/multi-user.target.wants/web.service")), unit);
    assert_eq!(link(&tree, &format!("{dir}/httpd.service")), unit);
    assert!(tree.contains(format!("{dir}/sockets.target.wants/web.socket")), "Also= is enabled with it");
    let instance = link(&tree, &format!("{dir}/multi-user.target.wants/db@main.service"));
    assert_eq!(instance, Some("/usr/lib/systemd/system/db@.service"));
    assert_eq!(link(&tree, &format!("{dir}/static.service")), Some("/dev/null"));

    f.tree = tree;
    f.server.services.insert("web".to_owned(), service(Some(false), false));
    let tree = f.apply().unwrap();
    for path in ["multi-user.target.wants/web.service", "httpd.service", "sockets.target.wants/web.socket"] {
        assert!(!tree.contains(format!("{dir}/{path}")), "{path} stays");
    }
}

#[test]
fn overrides_are_drop_ins() {
    let mut f = Fixture::new();
    let service = Service { r#override: Some("[Service]\nNice=5\n".to_owned()), ..Service::default() };
    f.server.services.insert("web".to_owned(), service);
    let tree = f.apply().unwrap();
    assert_eq!(f.text(&tree, "/etc/systemd/system/web.service.d/regrow.conf"), "[Service]\nNice=5\n");
}

#[test]
fn an_unknown_service_comes_with_near_names() {
    let mut f = Fixture::new();
    f.server.services.insert("wbe".to_owned(), Service::default());
    let Err(BuildError::NoSuchUnit { service, unit, near }) = f.apply() else { panic!("there is no such unit") };
    assert_eq!((service.as_str(), unit.as_str()), ("wbe", "wbe.service"));
    assert!(near.is_empty() || near.contains(&"web.service".to_owned()), "{near:?}");
    f.server.services.clear();
    f.server.services.insert("webs".to_owned(), Service::default());
    let Err(BuildError::NoSuchUnit { near, .. }) = f.apply() else { panic!("there is no such unit") };
    assert_eq!(near.first().map(String::as_str), Some("web.service"));
    f.server.services.clear();
    f.server.services.insert("static".to_owned(), Service { enabled: Some(true), ..Service::default() });
    assert!(f.apply().unwrap_err().to_string().contains("[Install]"));
}

#[test]
fn timers_become_two_units() {
    let mut f = Fixture::new();
    let timer = Timer {
        on_calendar: "daily".to_owned(),
        command: vec!["/usr/bin/x".to_owned(), "a b".to_owned(), "50%".to_owned()],
        user: "www-data".to_owned(),
        persistent: true,
    };
    f.server.timers.insert("clean".to_owned(), timer.clone());
    let tree = f.apply().unwrap();
    let service = f.text(&tree, "/etc/systemd/system/clean.service");
    assert!(
        service.contains("User=www-data\n") && service.contains("ExecStart=/usr/bin/x \"a b\" \"50%%\"\n"),
        "{service}"
    );
    let unit = f.text(&tree, "/etc/systemd/system/clean.timer");
    assert!(unit.contains("OnCalendar=daily\nPersistent=true\n"), "{unit}");
    assert!(tree.contains("/etc/systemd/system/timers.target.wants/clean.timer"));
    f.server.timers.insert("clean".to_owned(), Timer { user: "nobody-here".to_owned(), ..timer });
    assert!(f.apply().unwrap_err().to_string().contains("timers.clean.user"));
}

#[test]
fn seeds_become_units_that_those_who_need_them_require() {
    let mut f = Fixture::new();
    let text = r#"
packages = ["db"]
users = ["db"]
[identity."/etc/db/key"]
seed = "cluster"
group = "db"
mode = "0640"
[seed.cluster]
description = "Make {2} of {1}"
each = "/etc/db/*/*"
user = "db"
creates = "/var/lib/db/{1}/{2}/VERSION"
command = ["/usr/bin/rm", "-rf", "/var/lib/db/{1}/.{2}.new"]
then = [["/usr/bin/mv", "-T", "/var/lib/db/{1}/.{2}.new", "/var/lib/db/{1}/{2}"]]
before = ["db@.service", "absent.service"]
[seed.alone]
creates = "/var/lib/x"
command = ["/usr/bin/touch", "/var/lib/x"]
"#;
    f.catalog = Catalog::read_all(&[("database", text)]).0;
    let package = regrow_config::lock::LockedPackage {
        version: "1".to_owned(),
        architecture: "all".to_owned(),
        archive: String::new(),
        file: String::new(),
        size: 0,
        sha256: String::new(),
        layer: 0,
    };
    f.lock.layers.push(regrow_config::lock::Layer::default());
    f.lock.packages.insert("db".to_owned(), package);
    f.has("/etc/db/17/main/conf", "");
    let tree = f.apply().unwrap();
    let unit = f.text(&tree, "/etc/systemd/system/regrow-seed-database-cluster-17-main.service");
    for line in [
        "Description=Make main of 17\n",
        "ConditionPathExists=!/var/lib/db/17/main/VERSION\n",
        "User=db\n",
        "ExecStartPre=+/usr/bin/mkdir -p /var/lib/regrow/identity/etc/db\n",
        "ExecStart=/usr/bin/rm -rf /var/lib/db/17/.main.new\nExecStart=/usr/bin/mv -T /var/lib/db/17/.main.new /var/lib/db/17/main\n",
        "ExecStartPost=+/usr/bin/chown root:db /var/lib/regrow/identity/etc/db/key\n",
        "ExecStartPost=+/usr/bin/chmod 0640 /var/lib/regrow/identity/etc/db/key\n",
    ] {
        assert!(unit.contains(line), "{line} is not in\n{unit}");
    }
    let drop_in = f.text(&tree, "/etc/systemd/system/db@.service.d/regrow-seed-database-cluster-17-main.conf");
    assert!(drop_in.contains("Requires=regrow-seed-database-cluster-17-main.service\n"));
    assert!(!tree.contains("/etc/systemd/system/absent.service.d"));
    let alone = "/etc/systemd/system/multi-user.target.wants/regrow-seed-database-alone.service";
    assert_eq!(link(&tree, alone), Some("/etc/systemd/system/regrow-seed-database-alone.service"));
}

#[test]
fn state_has_a_place_to_be_mounted_on() {
    let mut f = Fixture::new();
    f.server.state.insert("data".to_owned(), State { paths: vec!["/srv/data".to_owned()], ..State::default() });
    let tree = f.apply().unwrap();
    assert_eq!(mode_and_owner(&tree, "/srv/data"), (0o755, 0, 0));
    f.server.state.insert("data".to_owned(), State { paths: vec!["/etc/passwd".to_owned()], ..State::default() });
    assert!(f.apply().unwrap_err().to_string().contains("state.data"));
}

#[test]
fn the_same_text_gives_the_same_tree() {
    let mut f = Fixture::new();
    f.server.users.insert("alice".to_owned(), User::default());
    f.server.services.insert("web".to_owned(), Service { enabled: Some(true), ..Service::default() });
    let (one, two) = (f.apply().unwrap(), f.apply().unwrap());
    assert!(one == two);
    assert_eq!(f.store.commit(&one).unwrap(), f.store.commit(&two).unwrap());
}
