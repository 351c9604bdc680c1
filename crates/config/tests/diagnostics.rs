//! What is said about mistakes, word for word, as a person sees it in a terminal.

use insta::assert_snapshot;
use regrow_config::{Files, MemoryFiles, load_fleet};

const FLEET: &str = "schema = 1\n[archives.debian]\nmirror = \"http://mirror.test/debian\"\nsuites = [\"trixie\"]\n\
                     keyring = \"/usr/share/keyrings/debian-archive-keyring.gpg\"\n";

/// A fleet with one server.
fn web1(text: &str) -> MemoryFiles {
    MemoryFiles::new().with("regrow.toml", FLEET).with("servers/web1/server.toml", text)
}

/// Everything said about a fleet, drawn as in a terminal.
fn said(files: &MemoryFiles) -> String {
    let (_, diagnostics) = load_fleet(files);
    let drawn = diagnostics.iter().map(|d| {
        let text = files.read(&d.file).unwrap().unwrap_or_default();
        d.render(&String::from_utf8_lossy(&text), false)
    });
    drawn.collect::<Vec<_>>().join("\n\n")
}

#[test]
fn unknown_keys_come_with_the_nearest_known_one_or_with_all() {
    let files = web1("[system]\nhostnam = \"web1\"\n\n[users.alice]\nfrobnicate = 1\n\n[package]\nnginx = \"*\"\n");
    assert_snapshot!(said(&files), @r#"
    error[unknown-key]: unknown key `hostnam` in `system`
     --> servers/web1/server.toml:2:1
      |
    2 | hostnam = "web1"
      | ^^^^^^^ not known
      |
      = help: did you mean `hostname`?

    error[unknown-key]: unknown key `frobnicate` in `users.alice`
     --> servers/web1/server.toml:5:1
      |
    5 | frobnicate = 1
      | ^^^^^^^^^^ not known
      |
      = help: known here: `uid`, `comment`, `group`, `groups`, `ssh_keys`, `shell`, `home`, `password_hash`, `system`

    error[unknown-key]: unknown key `package`
     --> servers/web1/server.toml:7:2
      |
    7 | [package]
      |  ^^^^^^^ not known
      |
      = help: did you mean `packages`?
    "#);
}

#[test]
fn wrong_types_say_what_is_there_and_how_to_write_it() {
    let files = web1(
        "packages = \"nginx\"\n[services.nginx]\nenabled = \"true\"\n[checks.front]\nhttp = \"http://localhost/\"\n\
         status = \"200\"\n[users.alice]\ngroups = \"sudo\"\n[files.\"/etc/motd\"]\ncontent = \"\"\nmode = 644\n",
    );
    assert_snapshot!(said(&files), @r#"
    error[wrong-type]: `packages` must be a table, not a string
     --> servers/web1/server.toml:1:12
      |
    1 | packages = "nginx"
      |            ^^^^^^^ this is a string
      |
      = help: write a table: [packages]

    warning[unknown-service]: nothing is known to bring the unit nginx.service
     --> servers/web1/server.toml:2:11
      |
    2 | [services.nginx]
      |           ^^^^^ not known
      |
      = help: add the package that brings it, or the unit's file below root/etc/systemd/system/

    error[wrong-type]: `services.nginx.enabled` must be true or false, not a string
     --> servers/web1/server.toml:3:11
      |
    3 | enabled = "true"
      |           ^^^^^^ this is a string
      |
      = help: write true without quotes

    error[wrong-type]: `checks.front.status` must be an HTTP status, not a string
     --> servers/web1/server.toml:6:10
      |
    6 | status = "200"
      |          ^^^^^ this is a string
      |
      = help: write 200 without quotes

    error[wrong-type]: `users.alice.groups` must be an array, not a string
     --> servers/web1/server.toml:8:10
      |
    8 | groups = "sudo"
      |          ^^^^^^ this is a string
      |
      = help: write it in brackets: ["sudo"]

    error[wrong-type]: `files."/etc/motd".mode` must be a string, not an integer
      --> servers/web1/server.toml:11:8
       |
    11 | mode = 644
       |        ^^^ this is an integer
       |
       = help: write it in quotes: "644"
    "#);
}

#[test]
fn suites_must_be_debians_own() {
    let text = FLEET.replace(
        "[\"trixie\"]",
        "[\"trixy\", \"trixie-updats\", \"stable\", \"noble\", \"sid\", \"trixie-backports\"]",
    );
    let files = web1("").with("regrow.toml", text);
    assert_snapshot!(said(&files), @r#"
    error[unknown-suite]: "trixy" is not a suite of Debian
     --> regrow.toml:4:11
      |
    4 | suites = ["trixy", "trixie-updats", "stable", "noble", "sid", "trixie-backports"]
      |           ^^^^^^^ not known
      |
      = help: did you mean `trixie`?

    error[unknown-suite]: "trixie-updats" is not a suite of Debian
     --> regrow.toml:4:20
      |
    4 | suites = ["trixy", "trixie-updats", "stable", "noble", "sid", "trixie-backports"]
      |                    ^^^^^^^^^^^^^^^ not known
      |
      = help: did you mean `trixie-updates`?

    error[unknown-suite]: "stable" is not a suite of Debian
     --> regrow.toml:4:37
      |
    4 | suites = ["trixy", "trixie-updats", "stable", "noble", "sid", "trixie-backports"]
      |                                     ^^^^^^^^ not known
      |
      = help: `stable` means another release every few years; name the release: bookworm, trixie, forky, sid

    error[unknown-suite]: "noble" is not a suite of Debian
     --> regrow.toml:4:47
      |
    4 | suites = ["trixy", "trixie-updats", "stable", "noble", "sid", "trixie-backports"]
      |                                               ^^^^^^^ not known
      |
      = help: known are bookworm, trixie, forky, sid, each also with -updates, -security and -backports
    "#);
}

#[test]
fn users_and_units_that_nothing_makes_are_noticed() {
    let files = web1(
        "[packages]\nnginx = \"*\"\nmariadb-server = \"*\"\n\
         [services.ngnix]\nenabled = true\n[services.mariadb]\nenabled = true\n[services.getty]\nmasked = true\n\
         [users.alice]\ngroups = [\"sudo\", \"sudoers\"]\n\
         [files.\"/etc/a\"]\ncontent = \"\"\nowner = \"alcie\"\ngroup = \"alice\"\n\
         [files.\"/etc/b\"]\ncontent = \"\"\nowner = \"www-data\"\ngroup = \"ghosts\"\n\
         [timers.tidy]\non_calendar = \"daily\"\ncommand = [\"/bin/true\"]\nuser = \"tidier\"\n\
         [checks.up]\nunit = \"frontend.service\"\n",
    );
    assert_snapshot!(said(&files), @r#"
    warning[unknown-service]: nothing is known to bring the unit ngnix.service
     --> servers/web1/server.toml:4:11
      |
    4 | [services.ngnix]
      |           ^^^^^ not known
      |
      = help: did you mean `nginx`?

    warning[unknown-user]: nothing is known to make the group `sudoers`
      --> servers/web1/server.toml:11:19
       |
    11 | groups = ["sudo", "sudoers"]
       |                   ^^^^^^^^^ not known
       |
       = help: declare it: [groups.sudoers]; if a package makes it, declare it too (system = true), so that its id stays

    warning[unknown-user]: nothing is known to make the user `alcie`
      --> servers/web1/server.toml:14:9
       |
    14 | owner = "alcie"
       |         ^^^^^^^ not known
       |
       = help: did you mean `alice`?

    warning[unknown-user]: nothing is known to make the group `ghosts`
      --> servers/web1/server.toml:19:9
       |
    19 | group = "ghosts"
       |         ^^^^^^^^ not known
       |
       = help: declare it: [groups.ghosts]; if a package makes it, declare it too (system = true), so that its id stays

    warning[unknown-user]: nothing is known to make the user `tidier`
      --> servers/web1/server.toml:23:8
       |
    23 | user = "tidier"
       |        ^^^^^^^^ not known
       |
       = help: declare it: [users.tidier]; if a package makes it, declare it too (system = true), so that its id stays

    warning[unknown-service]: nothing is known to bring the unit frontend.service
      --> servers/web1/server.toml:25:8
       |
    25 | unit = "frontend.service"
       |        ^^^^^^^^^^^^^^^^^^ not known
       |
       = help: add the package that brings it, or the unit's file below root/etc/systemd/system/
    "#);
}

#[test]
fn a_path_declared_twice_is_refused() {
    let files = web1("[files.\"/etc/motd\"]\ncontent = \"a\"\n[files.\"/etc/issue\"]\ncontent = \"a\"\n")
        .with("servers/web1/root/etc/motd", "b")
        .with("servers/web1/more.toml", "[files.\"/etc/issue\"]\ncontent = \"b\"\n");
    assert_snapshot!(said(&files), @r#"
    error[duplicate-object]: `files."/etc/issue"` is written twice
     --> servers/web1/more.toml:1:8
      |
    1 | [files."/etc/issue"]
      |        ^^^^^^^^^^^^ the second time
      |
      = help: it is first written at servers/web1/server.toml:3; an object lives in exactly one file

    error[duplicate-file]: /etc/motd is declared twice
     --> servers/web1/server.toml:1:8
      |
    1 | [files."/etc/motd"]
      |        ^^^^^^^^^^^ here
      |
      = help: it is also the file servers/web1/root/etc/motd; keep one of them
    "#);
}

#[test]
fn paths_stay_inside_the_image_and_out_of_what_others_decide() {
    let files = web1(
        "[files.\"etc/motd\"]\ncontent = \"a\"\n[files.\"/etc/../../motd\"]\ncontent = \"a\"\n\
         [files.\"/etc//motd/\"]\ncontent = \"a\"\n[files.\"/a\\u0000b\"]\ncontent = \"a\"\n\
         [files.\"/bin/tool\"]\ncontent = \"a\"\n[files.\"/etc/passwd\"]\ncontent = \"a\"\n\
         [files.\"/etc/x\"]\nsource = \"../secret\"\n[files.\"/etc/y\"]\nsource = \"files/none\"\n\
         [files.\"/etc/z\"]\ncontent = \"\"\n[files.\"/etc/z/below\"]\ncontent = \"\"\n",
    )
    .with("servers/web1/root/run/flag", "x");
    assert_snapshot!(said(&files), @r#"
    error[bad-path]: /run/flag cannot be declared: /run is empty at every start
    --> servers/web1/root/run/flag
     = help: make such files at start, by a tmpfiles.d file or a service

    error[bad-path]: "etc/motd" is no path of the image: it does not begin with `/`
     --> servers/web1/server.toml:1:8
      |
    1 | [files."etc/motd"]
      |        ^^^^^^^^^^
      |
      = help: write it from the root: "/etc/motd"

    error[bad-path]: "/etc/../../motd" is no path of the image: `..` could lead out of the image
     --> servers/web1/server.toml:3:8
      |
    3 | [files."/etc/../../motd"]
      |        ^^^^^^^^^^^^^^^^^
      |
      = help: write the path without `..`

    error[bad-path]: "/etc//motd/" is no path of the image: it is not in its plain form
     --> servers/web1/server.toml:5:8
      |
    5 | [files."/etc//motd/"]
      |        ^^^^^^^^^^^^^
      |
      = help: write it as "/etc/motd"

    error[bad-path]: "/a\0b" is no path of the image: it has control characters
     --> servers/web1/server.toml:7:8
      |
    7 | [files."/a\u0000b"]
      |        ^^^^^^^^^^^

    error[bad-path]: /bin/tool cannot be declared: /bin is a link to /usr/bin
     --> servers/web1/server.toml:9:8
      |
    9 | [files."/bin/tool"]
      |        ^^^^^^^^^^^
      |
      = help: write it as /usr/bin/tool

    error[bad-path]: /etc/passwd cannot be declared: it is made from [users]
      --> servers/web1/server.toml:11:8
       |
    11 | [files."/etc/passwd"]
       |        ^^^^^^^^^^^^^
       |
       = help: say it there and remove this

    error[bad-path]: "../secret" is no path of the fleet: `..` could lead out of the fleet
      --> servers/web1/server.toml:14:10
       |
    14 | source = "../secret"
       |          ^^^^^^^^^^^
       |
       = help: write it relative to the fleet's directory, such as "files/motd"

    error[missing-file]: the fleet has no file "files/none"
      --> servers/web1/server.toml:16:10
       |
    16 | source = "files/none"
       |          ^^^^^^^^^^^^
       |
       = help: paths of `source` are relative to the fleet's directory

    error[bad-path]: /etc/z/below cannot be there: /etc/z is no directory (it is declared at servers/web1/server.toml:17)
      --> servers/web1/server.toml:19:8
       |
    19 | [files."/etc/z/below"]
       |        ^^^^^^^^^^^^^^
    "#);
}

#[test]
fn values_of_a_bad_form_are_told_with_a_good_one() {
    let files = web1(
        "[system]\nhostname = \"\"\ntimezone = \"berlin\"\nlocale = \"german\"\n\
         [network]\npublish = [\"80\", \"127.0.0.1:0:80\", \"nowhere:1:2\", \"8080:80\", \"0.0.0.0:8080:81\"]\n\
         [files.\"/etc/motd\"]\ncontent = \"\"\nmode = \"0888\"\n\
         [users.Alice]\n[users.bob]\npassword_hash = \"hunter2\"\nssh_keys = [\"-----BEGIN OPENSSH PRIVATE KEY-----\"]\n\
         [packages]\nNginx = \"*\"\ncurl = \"latest\"\n\
         [sysctl]\nnet.ipv4.ip_forward = 1\n",
    );
    assert_snapshot!(said(&files), @r#"
    error[bad-value]: the host name is empty
     --> servers/web1/server.toml:2:12
      |
    2 | hostname = ""
      |            ^^
      |
      = help: name the machine, or leave the key out: then it is the server's name

    error[bad-value]: "berlin" is no time zone
     --> servers/web1/server.toml:3:12
      |
    3 | timezone = "berlin"
      |            ^^^^^^^^
      |
      = help: write it as the tz database does, such as "Europe/Berlin" or "Etc/UTC"

    error[bad-value]: "german" is no locale
     --> servers/web1/server.toml:4:10
      |
    4 | locale = "german"
      |          ^^^^^^^^
      |
      = help: write it like "C.UTF-8" or "de_DE.UTF-8"

    error[bad-publish]: "80" is no published port: it names one port only
     --> servers/web1/server.toml:6:12
      |
    6 | publish = ["80", "127.0.0.1:0:80", "nowhere:1:2", "8080:80", "0.0.0.0:8080:81"]
      |            ^^^^
      |
      = help: write "ADDRESS:PORT:PORT INSIDE", such as "127.0.0.1:8080:80" or "[::1]:8080:80"

    error[bad-publish]: "127.0.0.1:0:80" is no published port: "0" is no port from 1 to 65535
     --> servers/web1/server.toml:6:18
      |
    6 | publish = ["80", "127.0.0.1:0:80", "nowhere:1:2", "8080:80", "0.0.0.0:8080:81"]
      |                  ^^^^^^^^^^^^^^^^
      |
      = help: write "ADDRESS:PORT:PORT INSIDE", such as "127.0.0.1:8080:80" or "[::1]:8080:80"

    error[bad-publish]: "nowhere:1:2" is no published port: "nowhere" is no address of a host
     --> servers/web1/server.toml:6:36
      |
    6 | publish = ["80", "127.0.0.1:0:80", "nowhere:1:2", "8080:80", "0.0.0.0:8080:81"]
      |                                    ^^^^^^^^^^^^^
      |
      = help: write "ADDRESS:PORT:PORT INSIDE", such as "127.0.0.1:8080:80" or "[::1]:8080:80"

    error[bad-mode]: "0888" is no file mode
     --> servers/web1/server.toml:9:8
      |
    9 | mode = "0888"
      |        ^^^^^^
      |
      = help: write permission bits in octal, such as "0644" or "0750"

    error[bad-name]: "Alice" is no user or group name
      --> servers/web1/server.toml:10:8
       |
    10 | [users.Alice]
       |        ^^^^^
       |
       = help: use small letters, digits, `-` and `_`; at most 32, the first a letter or `_`

    error[secret-in-text]: this is no password hash; it may be a password
    --> servers/web1/server.toml:12:17
     = help: put the output of `mkpasswd -m yescrypt` here, never the password itself

    error[secret-in-text]: a private key stands here
    --> servers/web1/server.toml:13:13
     = help: put the public half here (the file ending in .pub), and treat this private key as lost

    error[bad-name]: "Nginx" is no package name
      --> servers/web1/server.toml:15:1
       |
    15 | Nginx = "*"
       | ^^^^^
       |
       = help: use small letters, digits, `+`, `-` and `.`; at least two, the first a letter or digit

    error[bad-value]: "latest" is neither `*` nor a Debian version
      --> servers/web1/server.toml:16:8
       |
    16 | curl = "latest"
       |        ^^^^^^^^
       |
       = help: write "*", or one exact version such as "1.26.3-3+deb13u1"

    error[bad-name]: "net" is no kernel setting
      --> servers/web1/server.toml:18:1
       |
    18 | net.ipv4.ip_forward = 1
       | ^^^
       |
       = help: write it in quotes with its dots, such as "net.ipv4.ip_forward" = 1

    error[wrong-type]: `sysctl.net` must be a number or a string, not a table
      --> servers/web1/server.toml:18:1
       |
    18 | net.ipv4.ip_forward = 1
       | ^^^ this is a table
       |
       = help: write the whole name in quotes: "net.ipv4.ip_forward" = 1
    "#);
}

#[test]
fn broken_toml_is_reported_and_the_rest_of_the_file_is_read() {
    let files = web1("[system]\nhostname = \n[checks.front]\nhtpp = \"x\"\nhttp = \"http://localhost/\"\n\"open = 1\n");
    assert_snapshot!(said(&files), @r#"
    error[invalid-toml]: this is not TOML: string values must be quoted, expected literal string
     --> servers/web1/server.toml:2:12
      |
    2 | hostname = 
      |            ^
      |
      = help: the rest of the file was read; fix this place and check again

    error[unknown-key]: unknown key `htpp` in `checks.front`
     --> servers/web1/server.toml:4:1
      |
    4 | htpp = "x"
      | ^^^^ not known
      |
      = help: did you mean `http`?

    error[invalid-toml]: this is not TOML: key with no value, expected `=`
     --> servers/web1/server.toml:6:10
      |
    6 | "open = 1
      |          ^
      |
      = help: the rest of the file was read; fix this place and check again
    "#);
}

#[test]
fn a_check_is_of_one_kind() {
    let files = web1(
        "[checks.a]\nunit = \"cron\"\nport = 80\n[checks.b]\ntimeout = 5\n[checks.c]\nport = 80\nstatus = 200\n\
         [checks.d]\nfile = \"/etc/motd\"\nexists = false\ncontent = \"x\"\n[packages]\ncron = \"*\"\n",
    );
    assert_snapshot!(said(&files), @r#"
    error[check-kind]: `checks.a` has `unit` and `port` at once
     --> servers/web1/server.toml:3:1
      |
    3 | port = 80
      | ^^^^
      |
      = help: a check is of one kind; make a second check for the other

    error[check-kind]: `checks.b` has nothing to check
     --> servers/web1/server.toml:4:1
      |
    4 | [checks.b]
      | ^^^^^^^^^^
      |
      = help: add one of `unit`, `port`, `http`, `command` and `file`

    error[check-kind]: `status` belongs to a check of kind `http`, not `port`
     --> servers/web1/server.toml:8:1
      |
    8 | status = 200
      | ^^^^^^
      |
      = help: remove it

    error[conflicting-keys]: a file that must not exist has no `content`
      --> servers/web1/server.toml:12:1
       |
    12 | content = "x"
       | ^^^^^^^
       |
       = help: remove one of the two
    "#);
}

#[test]
fn state_paths_lie_beside_each_other_and_hide_nothing() {
    let files = web1(
        "[state.a]\npaths = [\"/srv/a\"]\n[state.b]\npaths = [\"/srv/a/inner\", \"/var/lib\"]\nengine = \"postgres\"\n\
         [state.c]\npaths = []\n[files.\"/srv/a/seed\"]\ncontent = \"\"\n",
    );
    assert_snapshot!(said(&files), @r#"
    error[overlapping-state]: the state paths /srv/a/inner and /srv/a lie inside each other
     --> servers/web1/server.toml:4:10
      |
    4 | paths = ["/srv/a/inner", "/var/lib"]
      |          ^^^^^^^^^^^^^^
      |
      = help: the other is at servers/web1/server.toml:2; keep the outer one, or give each a directory of its own

    error[bad-path]: /var/lib cannot be state: it belongs to the image or to the system
     --> servers/web1/server.toml:4:26
      |
    4 | paths = ["/srv/a/inner", "/var/lib"]
      |                          ^^^^^^^^^^
      |
      = help: name the directory in which the service keeps its data, such as /var/lib/NAME

    error[bad-value]: "postgres" is no way to capture state
     --> servers/web1/server.toml:5:10
      |
    5 | engine = "postgres"
      |          ^^^^^^^^^^
      |
      = help: did you mean `postgresql`?

    error[bad-value]: the state `c` has no paths
     --> servers/web1/server.toml:7:9
      |
    7 | paths = []
      |         ^^
      |
      = help: name at least one directory

    warning[overlapping-state]: /srv/a/seed lies in the state `a`
     --> servers/web1/server.toml:8:8
      |
    8 | [files."/srv/a/seed"]
      |        ^^^^^^^^^^^^^
      |
      = help: /srv/a is filled from the image only when it is empty: later changes of this file would not arrive
    "#);
}

#[test]
fn roles_that_are_not_there_are_named_and_their_mistakes_told_once() {
    let files = web1("roles = [\"bas\", \"base\"]\n")
        .with("servers/web2/server.toml", "roles = [\"base\"]\n")
        .with("roles/base.toml", "roles = [\"other\"]\n[system]\nhostname = 1\n");
    assert_snapshot!(said(&files), @r#"
    error[conflicting-keys]: a role cannot take up other roles
     --> roles/base.toml:1:1
      |
    1 | roles = ["other"]
      | ^^^^^
      |
      = help: name both roles in the server: roles = ["base", "web"]

    error[wrong-type]: `system.hostname` must be a string, not an integer
     --> roles/base.toml:3:12
      |
    3 | hostname = 1
      |            ^ this is an integer
      |
      = help: write it in quotes: "1"

    error[unknown-role]: there is no role `bas`
     --> servers/web1/server.toml:1:10
      |
    1 | roles = ["bas", "base"]
      |          ^^^^^ not in roles/
      |
      = help: did you mean `base`?
    "#);
}

#[test]
fn what_is_missing_is_named() {
    let files = MemoryFiles::new()
        .with("regrow.toml", "[archives.debian]\nsuites = [\"trixie\"]\n")
        .with("servers/web1/notes.txt", "no text of ours")
        .with("servers/web2/server.toml", "[timers.tidy]\ncommand = [\"true\"]\n[files.\"/etc/x\"]\nmode = \"0600\"\n");
    assert_snapshot!(said(&files), @r#"
    error[missing-key]: `schema` is missing
    --> regrow.toml
     = help: add `schema = 1`: Version of this form of text.

    error[missing-key]: `keyring` is missing in `archives.debian`
     --> regrow.toml:1:1
      |
    1 | [archives.debian]
      | ^^^^^^^^^^^^^^^^^
      |
      = help: add `keyring = …`: File of public keys on the host that indexes must be signed with.

    error[missing-key]: `mirror` is missing in `archives.debian`
     --> regrow.toml:1:1
      |
    1 | [archives.debian]
      | ^^^^^^^^^^^^^^^^^
      |
      = help: add `mirror = …`: Its address, up to and without `/dists`.

    error[missing-file]: the server web1 has no server.toml
    --> servers/web1/server.toml
     = help: write one, or remove the directory

    error[missing-key]: `on_calendar` is missing in `timers.tidy`
     --> servers/web2/server.toml:1:1
      |
    1 | [timers.tidy]
      | ^^^^^^^^^^^^^
      |
      = help: add `on_calendar = …`: When, as systemd's OnCalendar: "daily", "Mon *-*-* 03:00".

    error[bad-value]: the program of `timers.tidy.command` must be an absolute path, not "true"
     --> servers/web2/server.toml:2:11
      |
    2 | command = ["true"]
      |           ^^^^^^^^
      |
      = help: write program and arguments one by one: ["/usr/bin/curl", "-f", "http://localhost/"]

    error[missing-key]: `files."/etc/x"` does not say what is there
     --> servers/web2/server.toml:3:1
      |
    3 | [files."/etc/x"]
      | ^^^^^^^^^^^^^^^^
      |
      = help: add one of `content`, `source`, `symlink` and `directory = true`
    "#);
    assert_snapshot!(said(&MemoryFiles::new()), @r#"
    error[missing-file]: this is no fleet: it has no regrow.toml
    --> regrow.toml
     = help: go to a fleet's directory, name it with -C, or make one: regrow init DIR
    "#);
}

#[test]
fn ids_are_given_to_one_name_each() {
    let files = web1("[users.a]\nuid = 1500\n[users.b]\nuid = 1500\n[users.c]\nuid = 999\n[groups.d]\ngid = 70000\n");
    assert_snapshot!(said(&files), @r#"
    error[duplicate-id]: `b` and `a` have the same id 1500
     --> servers/web1/server.toml:4:7
      |
    4 | uid = 1500
      |       ^^^^ given twice
      |
      = help: the other is at servers/web1/server.toml:2; leave one of them to the lock

    error[bad-value]: `c` has the id 999, which is one for system accounts
     --> servers/web1/server.toml:6:7
      |
    6 | uid = 999
      |       ^^^
      |
      = help: add `system = true`, or leave the id to the lock

    error[bad-value]: `groups.d.gid` must be an id from 100 to 59999, not 70000
     --> servers/web1/server.toml:8:7
      |
    8 | gid = 70000
      |       ^^^^^ out of range
    "#);
}

#[test]
fn a_lock_with_conflict_markers_is_noticed() {
    let lock = "# Written by `regrow lock`\nschema = 1\n<<<<<<< ours\ninputs = \"a\"\n=======\n";
    let files = web1("").with("servers/web1/lock.toml", lock);
    assert_snapshot!(said(&files), @r#"
    error[bad-lock]: the lock has git's conflict markers in it
     --> servers/web1/lock.toml:3:1
      |
    3 | <<<<<<< ours
      | ^^^^^^^
      |
      = help: take the last good one from git (git checkout -- PATH), or remove it and lock again; ids are lost with it
    "#);
}

#[test]
fn columns_count_characters_and_carriage_returns_do_no_harm() {
    let files = web1("[users.alice]\r\ncomment = \"Zoë\"\r\n\"grüße\" = 1\r\n[checks.\"ä\"]\r\nport = 0\r\n");
    assert_snapshot!(said(&files), @r#"
    error[unknown-key]: unknown key `grüße` in `users.alice`
     --> servers/web1/server.toml:3:1
      |
    3 | "grüße" = 1
      | ^^^^^^^ not known
      |
      = help: known here: `uid`, `comment`, `group`, `groups`, `ssh_keys`, `shell`, `home`, `password_hash`, `system`

    error[bad-name]: "ä" is no name for this
     --> servers/web1/server.toml:4:9
      |
    4 | [checks."ä"]
      |         ^^^
      |
      = help: use letters, digits, `-` and `_`; at most 63, the first a letter or digit

    error[bad-value]: `checks."ä".port` must be a port from 1 to 65535, not 0
     --> servers/web1/server.toml:5:8
      |
    5 | port = 0
      |        ^ out of range
    "#);
}

#[test]
fn packages_that_no_archive_has_come_with_near_names() {
    let files = web1("[packages]\nngnix = \"*\"\ncurl = \"*\"\nnonsense = \"*\"\n");
    let (fleet, diagnostics) = load_fleet(&files);
    assert_eq!(diagnostics, []);
    let near = |name: &str| if name == "ngnix" { vec!["nginx".to_owned(), "nginx-core".to_owned()] } else { vec![] };
    let found = regrow_config::check_packages(&fleet.servers["web1"], &|name| name == "curl", &near);
    let text = String::from_utf8(files.read("servers/web1/server.toml").unwrap().unwrap()).unwrap();
    let drawn: Vec<String> = found.iter().map(|d| d.render(&text, false)).collect();
    assert_snapshot!(drawn.join("\n\n"), @r#"
    error[unknown-package]: no archive of this fleet has a package `ngnix`
     --> servers/web1/server.toml:2:1
      |
    2 | ngnix = "*"
      | ^^^^^ not found
      |
      = help: did you mean one of `nginx`, `nginx-core`?

    error[unknown-package]: no archive of this fleet has a package `nonsense`
     --> servers/web1/server.toml:4:1
      |
    4 | nonsense = "*"
      | ^^^^^^^^ not found
      |
      = help: check the spelling, and that [archives] has the suite and component it is in
    "#);
}

#[test]
fn as_json_a_diagnostic_has_its_place_and_its_words() {
    let (_, diagnostics) = load_fleet(&web1("[system]\nhostnam = \"x\"\n"));
    assert_snapshot!(serde_json::to_string_pretty(&diagnostics).unwrap(), @r#"
    [
      {
        "severity": "error",
        "code": "unknown-key",
        "message": "unknown key `hostnam` in `system`",
        "file": "servers/web1/server.toml",
        "line": 2,
        "column": 1,
        "span": {
          "start": 9,
          "end": 16
        },
        "label": "not known",
        "help": "did you mean `hostname`?"
      }
    ]
    "#);
}

#[test]
fn no_text_makes_reading_panic() {
    let whole = "roles=[\"b\"]\n[files.\"/e\"]\nmode=\"0644\"\ncontent='''\nx'''\n[checks.a]\nhttp=\"http://ä/\"\nstatus=0x1F\n\
                 [state.s]\npaths=[\"/srv\",1979-05-27]\n[packages]\na.b={x=[{}]}\n";
    for end in (0..=whole.len()).filter(|end| whole.is_char_boundary(*end)) {
        said(&web1(&whole[..end]));
        said(&web1(&whole[end..]));
    }
    said(&web1(&"[".repeat(10_000)));
    said(&web1(&format!("a = {}", "[".repeat(100_000))));
    said(&web1("\u{feff}[system]\nhostname = \"x\"\n"));
}
