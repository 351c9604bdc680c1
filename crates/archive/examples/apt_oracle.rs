//! Compares our choice of packages with that of `apt-get --simulate`, over the same index files.
//!
//! ```text
//! apt_oracle HOME [--suite trixie] [--sets 400] [--seed 1] [--recommends] [--details] [--set "a b c"]
//! ```
//! HOME is where the verified indexes are kept (they are fetched from this machine's apt sources if they are not there).
//! apt works in a directory of its own: its sources are our verified files, its status holds the essential packages and
//! what they need, as apt itself chose them for an empty system. A set agrees if apt would have exactly the same packages
//! in exactly the same versions. Ends with 1 if we refuse a set that apt installs.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use regrow_archive::{Archive, Request, Wanted, host_sources};
use regrow_host::program::Program;
use regrow_host::progress::Silent;

/// Packages that people install.
const KNOWN: &str = "
nginx apache2 postgresql mariadb-server redis-server memcached haproxy varnish squid bind9 unbound dnsmasq postfix exim4
dovecot-imapd openssh-server sudo cron rsyslog logrotate fail2ban nftables iptables ufw wireguard openvpn strongswan
samba nfs-kernel-server vsftpd proftpd-core cups ntpsec chrony systemd systemd-sysv udev dbus init linux-image-amd64
grub-efi-amd64 initramfs-tools locales tzdata ca-certificates curl wget rsync git mercurial subversion vim nano emacs
tmux screen htop iotop strace ltrace gdb lsof tcpdump nmap netcat-openbsd iproute2 net-tools ethtool bridge-utils
iputils-ping traceroute mtr-tiny dnsutils whois jq ripgrep fd-find fzf bat tree ncdu less man-db bash-completion zsh fish
python3 python3-pip python3-venv python3-django python3-flask python3-requests python3-numpy python3-scipy
python3-matplotlib ruby rails nodejs npm golang-go rustc cargo openjdk-21-jre openjdk-21-jdk maven gradle ant php
php-fpm php-mysql php-cli composer wordpress perl libwww-perl gcc g++ clang llvm make cmake meson ninja-build autoconf
automake libtool pkg-config build-essential debhelper devscripts dpkg-dev fakeroot docker.io podman buildah skopeo
containerd runc lxc qemu-system-x86 libvirt-daemon-system virt-manager ansible salt-common puppet-agent terraform
prometheus prometheus-node-exporter grafana zabbix-agent nagios4 collectd telegraf influxdb elasticsearch rabbitmq-server
mosquitto kafkacat sqlite3 postgresql-client mariadb-client mongodb-clients restic borgbackup duplicity rclone
backuppc bacula-client amanda-client lvm2 mdadm cryptsetup btrfs-progs xfsprogs e2fsprogs zfsutils-linux dosfstools parted
gdisk smartmontools hdparm nvme-cli multipath-tools open-iscsi ceph-common glusterfs-server drbd-utils pacemaker
corosync keepalived etcd-server consul vault kubernetes-client certbot python3-certbot-nginx openssl gnupg pass
age sops tor i2pd xorg gnome kde-plasma-desktop xfce4 lxde mate-desktop-environment cinnamon i3 sway lightdm gdm3 sddm
firefox-esr chromium thunderbird libreoffice gimp inkscape blender vlc mpv ffmpeg imagemagick graphicsmagick texlive
texlive-full pandoc latexmk evince okular ghostscript poppler-utils tesseract-ocr sane-utils audacity lame sox
pulseaudio pipewire alsa-utils bluez network-manager wpasupplicant hostapd modemmanager resolvconf systemd-resolved
systemd-timesyncd systemd-container systemd-boot plymouth acpid tlp powertop thermald cloud-init qemu-guest-agent
open-vm-tools spice-vdagent unattended-upgrades apt-listchanges aptitude apt-file debconf-utils debootstrap mmdebstrap
reprepro aptly sbuild pbuilder lintian mailutils bsd-mailx mutt alpine spamassassin clamav amavisd-new opendkim rspamd
roundcube nextcloud-desktop gitolite3 gitweb cgit mediawiki dokuwiki moodle drupal10 phpmyadmin adminer cacti munin
awstats goaccess apache2-utils siege wrk lighttpd caddy uwsgi gunicorn supervisor monit runit s6 daemontools
openntpd freeradius slapd ldap-utils sssd krb5-kdc libnss-ldapd winbind realmd adcli nslcd autofs nis
bacula-director asterisk freeswitch kamailio coturn jitsi-meet mumble-server prosody ejabberd ircd-hybrid znc weechat irssi
minetest supertuxkart 0ad steam-installer wine dosbox scummvm gcompris-qt stellarium gnuplot octave r-base julia
maxima sagemath scilab cl-sql ghc ocaml erlang elixir clojure scala lua5.4 tcl guile-3.0 racket swi-prolog
fonts-dejavu fonts-noto ttf-mscorefonts-installer hunspell-en-us aspell-de mail-transport-agent
";

/// splitmix64: the same sets for the same seed, for ever.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

struct Options {
    home: PathBuf,
    suite: String,
    sets: usize,
    seed: u64,
    recommends: bool,
    details: bool,
    given: Vec<Vec<String>>,
}

fn options() -> Result<Options, Box<dyn Error>> {
    let mut o = Options {
        home: PathBuf::new(),
        suite: "trixie".to_owned(),
        sets: 400,
        seed: 1,
        recommends: false,
        details: false,
        given: Vec::new(),
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} wants a value"));
        match arg.as_str() {
            "--suite" => o.suite = value()?,
            "--sets" => o.sets = value()?.parse()?,
            "--seed" => o.seed = value()?.parse()?,
            "--recommends" => o.recommends = true,
            "--details" => o.details = true,
            "--set" => o.given.push(value()?.split_whitespace().map(str::to_owned).collect()),
            dir if !dir.starts_with('-') => o.home = dir.into(),
            other => return Err(format!("unknown option {other}").into()),
        }
    }
    if o.home.as_os_str().is_empty() {
        return Err(
            "usage: apt_oracle HOME [--suite S] [--sets N] [--seed N] [--recommends] [--details] [--set \"a b\"]"
                .into(),
        );
    }
    Ok(o)
}

fn main() -> Result<(), Box<dyn Error>> {
    let o = options()?;
    let mut archives = regrow_config::Archives::new();
    for a in host_sources(&o.suite)? {
        let (keyring, components) = (a.keyring.display().to_string(), vec!["main".to_owned()]);
        archives.insert(a.name, regrow_config::Archive { mirror: a.mirror, suites: a.suites, components, keyring });
    }
    let archive = Archive::open(&o.home, &archives, "amd64")?;
    archive.refresh_if_older(Duration::from_secs(86400), &Silent)?;
    let apt = Apt::new(&archive, o.recommends)?;
    let essential = apt.essential()?;
    let base = apt.simulate(&essential, false)?.map_err(|e| format!("apt refuses the essential packages: {e}"))?;
    apt.set_installed(&base)?;
    let ours = resolve(&archive, &[], o.recommends).map_err(|e| format!("we refuse the essential packages: {e}"))?;
    let version = Program::new("apt-get", "apt").arg("--version").run()?;
    let version = String::from_utf8_lossy(&version.stdout).lines().next().unwrap_or_default().to_owned();
    println!("oracle: {version}; suites: {} with updates and security, indexes of {}", o.suite, apt.date);
    println!(
        "essential packages and what they need: {} (apt) {} (ours), {}",
        base.len(),
        ours.len(),
        if base == ours { "equal" } else { "DIFFERENT" }
    );

    let sets = if o.given.is_empty() { sets(&apt, o.sets, o.seed) } else { o.given.clone() };
    let (next, results) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, |n| n.get()) {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some(set) = sets.get(i) else { break };
                    let theirs = apt.simulate(set, true).unwrap_or_else(|e| Err(e.to_string()));
                    let start = Instant::now();
                    let ours = resolve(&archive, set, o.recommends);
                    let found = Compared::new(theirs, ours, start.elapsed());
                    results.lock().unwrap_or_else(|e| e.into_inner()).insert(i, found);
                }
            });
        }
    });
    let results = results.into_inner().unwrap_or_else(|e| e.into_inner());
    let refused = report(&sets, &results, o.details);
    if refused > 0 { Err(format!("{refused} sets that apt installs are refused by us").into()) } else { Ok(()) }
}

type Packages = BTreeMap<String, String>;

fn resolve(archive: &Archive, set: &[String], recommends: bool) -> Result<Packages, String> {
    let requested: Vec<Wanted> = set.iter().map(Wanted::any).collect();
    let request = Request { requested: &requested, recommends, previous: None, upgrade: false };
    let resolution = archive.resolve(&request).map_err(|e| e.to_string())?;
    Ok(resolution.packages.into_iter().map(|(n, c)| (n, c.version)).collect())
}

#[derive(Debug)]
struct Compared {
    class: &'static str,
    details: String,
    took: Duration,
}

impl Compared {
    fn new(theirs: Result<Packages, String>, ours: Result<Packages, String>, took: Duration) -> Compared {
        let (class, details) = match (theirs, ours) {
            (Ok(t), Ok(o)) if t == o => ("same packages, same versions", String::new()),
            (Ok(t), Ok(o)) => {
                let plus: Vec<_> =
                    o.iter().filter(|(n, _)| !t.contains_key(*n)).map(|(n, _)| format!("+{n}")).collect();
                let minus: Vec<_> =
                    t.iter().filter(|(n, _)| !o.contains_key(*n)).map(|(n, _)| format!("-{n}")).collect();
                let other: Vec<_> = o
                    .iter()
                    .filter_map(|(n, v)| t.get(n).filter(|w| *w != v).map(|w| format!("{n}: {v} for {w}")))
                    .collect();
                let class = match (plus.is_empty(), minus.is_empty(), other.is_empty()) {
                    (_, _, false) => "other versions",
                    (false, false, true) => "other alternatives",
                    (false, true, true) => "more packages than apt",
                    (true, _, true) => "fewer packages than apt",
                };
                (class, [plus, minus, other].concat().join(" "))
            }
            (Err(_), Err(_)) => ("both refuse", String::new()),
            (Err(t), Ok(_)) => ("apt refuses, we do not", t),
            (Ok(_), Err(o)) => ("WE REFUSE WHAT APT INSTALLS", o),
        };
        Compared { class, details, took }
    }
}

fn report(sets: &[Vec<String>], results: &BTreeMap<usize, Compared>, details: bool) -> usize {
    let mut classes: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, r) in results {
        classes.entry(r.class).or_default().push(*i);
    }
    println!("\n| sets | share | class |\n| ---: | ---: | --- |");
    for (class, members) in &classes {
        println!("| {} | {:.1} % | {class} |", members.len(), 100.0 * members.len() as f64 / results.len() as f64);
    }
    let count = |c: &str| classes.get(c).map_or(0, Vec::len);
    let agree = count("same packages, same versions") + count("both refuse");
    let mut took: Vec<Duration> = results.values().map(|r| r.took).collect();
    took.sort();
    let median = took.get(took.len() / 2).copied().unwrap_or_default();
    println!(
        "\nexactly agreeing: {agree} of {} sets = {:.1} %",
        results.len(),
        100.0 * agree as f64 / results.len() as f64
    );
    println!(
        "our time for one set, indexes loaded anew each time: median {median:.1?}, longest {:.1?}",
        took.last().copied().unwrap_or_default()
    );
    for (class, members) in
        classes.iter().filter(|(c, _)| !["same packages, same versions", "both refuse"].contains(*c))
    {
        println!("\n{class}:");
        for &i in members.iter().take(if details { usize::MAX } else { 20 }) {
            println!("  {}\n      {}", sets[i].join(" "), results[&i].details);
        }
    }
    count("WE REFUSE WHAT APT INSTALLS")
}

/// Well-known packages alone, then random mixes of 2 to 10: of well-known ones, of any, and of both.
fn sets(apt: &Apt, count: usize, seed: u64) -> Vec<Vec<String>> {
    let known: Vec<&str> = KNOWN.split_whitespace().filter(|n| apt.names.contains(*n)).collect();
    let all: Vec<&str> = apt.names.iter().map(String::as_str).collect();
    let mut random = Random(seed);
    let mut sets: Vec<Vec<String>> = known.iter().take(count / 2).map(|n| vec![(*n).to_owned()]).collect();
    while sets.len() < count {
        let size = 2 + random.below(9);
        let kind = random.below(3);
        let mut set = BTreeSet::new();
        while set.len() < size {
            let list = if kind == 0 || kind == 2 && random.below(2) == 0 { &known } else { &all };
            set.insert(list[random.below(list.len())].to_owned());
        }
        sets.push(set.into_iter().collect());
    }
    sets
}

/// apt in a directory of its own.
struct Apt {
    dir: tempfile::TempDir,
    names: BTreeSet<String>,
    essential: Vec<String>,
    paragraphs: BTreeMap<(String, String), String>,
    date: String,
}

impl Apt {
    fn new(archive: &Archive, recommends: bool) -> Result<Apt, Box<dyn Error>> {
        let dir = tempfile::tempdir()?;
        let at = |p: &str| dir.path().join(p);
        for d in [
            "apt/etc/apt.conf.d",
            "apt/etc/preferences.d",
            "apt/lists/partial",
            "apt/cache/archives/partial",
            "apt/log",
            "mirror",
        ] {
            std::fs::create_dir_all(at(d))?;
        }
        let mut apt = Apt {
            names: BTreeSet::new(),
            essential: Vec::new(),
            paragraphs: BTreeMap::new(),
            date: String::new(),
            dir,
        };
        let mut sources = String::new();
        for (name, suite, files) in archive.index_directories() {
            let mirror = apt.dir.path().join("mirror").join(name);
            apt.add_suite(&mirror, suite, files)?;
            sources.push_str(&format!("deb [trusted=yes] copy:{} {suite} main\n", mirror.display()));
        }
        std::fs::write(apt.at("apt/etc/sources.list"), sources)?;
        std::fs::write(apt.at("apt/status"), "")?;
        let d = apt.at("apt");
        let d = d.display();
        let conf = format!(
            "Dir::Etc \"{d}/etc\";\nDir::Etc::sourceparts \"-\";\nDir::Etc::parts \"{d}/etc/apt.conf.d\";\nDir::State \"{d}\";\nDir::State::lists \"{d}/lists\";\nDir::State::status \"{d}/status\";\n\
             Dir::Cache \"{d}/cache\";\nDir::Log \"{d}/log\";\nAPT::Architecture \"amd64\";\nAPT::Architectures \"amd64\";\nAPT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\n\
             Acquire::Check-Valid-Until \"false\";\nAPT::Get::Assume-Yes \"true\";\nDebug::NoLocking \"true\";\nAPT::Install-Recommends \"{recommends}\";\n"
        );
        std::fs::write(apt.at("apt.conf"), conf)?;
        apt.program().arg("update").run()?;
        Ok(apt)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn program(&self) -> Program {
        Program::new("apt-get", "apt").env("APT_CONFIG", self.at("apt.conf"))
    }

    /// Lays a suite's verified files out as a mirror has them.
    fn add_suite(&mut self, mirror: &Path, suite: &str, files: &Path) -> Result<(), Box<dyn Error>> {
        let release = std::fs::read_to_string(files.join("Release"))?;
        let dists = mirror.join("dists").join(suite);
        std::fs::create_dir_all(dists.join("main/binary-amd64"))?;
        // Without Acquire-By-Hash, so that the plain names are asked for.
        std::fs::write(dists.join("Release"), release.replace("Acquire-By-Hash: yes\n", ""))?;
        if self.date.is_empty() {
            self.date = release.lines().find_map(|l| l.strip_prefix("Date: ")).unwrap_or_default().to_owned();
        }
        let line = release.lines().rfind(|l| l.ends_with(" main/binary-amd64/Packages.xz")).ok_or("no Packages.xz")?;
        let digest = line.split_whitespace().next().unwrap_or_default();
        let compressed = files.join(format!("packages-{digest}"));
        std::fs::copy(&compressed, dists.join("main/binary-amd64/Packages.xz"))?;
        let mut text = String::new();
        liblzma::read::XzDecoder::new(std::fs::File::open(&compressed)?).read_to_string(&mut text)?;
        for paragraph in text.split("\n\n") {
            let field = |name: &str| {
                paragraph.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned)
            };
            let (Some(name), Some(version)) = (field("Package"), field("Version")) else { continue };
            if field("Essential").as_deref() == Some("yes") && !self.essential.contains(&name) {
                self.essential.push(name.clone());
            }
            self.names.insert(name.clone());
            self.paragraphs.entry((name, version)).or_insert_with(|| paragraph.to_owned());
        }
        Ok(())
    }

    fn essential(&self) -> Result<Vec<String>, Box<dyn Error>> {
        let mut names = self.essential.clone();
        names.sort();
        Ok(names)
    }

    /// Makes apt believe that these are installed.
    fn set_installed(&self, packages: &Packages) -> Result<(), Box<dyn Error>> {
        let mut status = String::new();
        for (name, version) in packages {
            let paragraph =
                self.paragraphs.get(&(name.clone(), version.clone())).ok_or("apt installs an unknown package")?;
            status.push_str("Status: install ok installed\n");
            for line in paragraph
                .lines()
                .filter(|l| !l.starts_with("Filename:") && !l.starts_with("SHA256:") && !l.starts_with("MD5sum:"))
            {
                status.push_str(line);
                status.push('\n');
            }
            status.push('\n');
        }
        std::fs::write(self.at("apt/status"), status)?;
        // Once now, so that the parallel calls find apt's cache made.
        self.program().args(["--simulate", "install", "dpkg"]).run()?;
        Ok(())
    }

    /// What would be installed after `apt-get install SET`, or why apt refuses.
    fn simulate(&self, set: &[String], with_installed: bool) -> Result<Result<Packages, String>, Box<dyn Error>> {
        // The base is chosen without recommendations in any case, as ours is.
        let base: &[&str] = if with_installed { &[] } else { &["--no-install-recommends"] };
        let output = self.program().args(["--simulate", "install"]).args(base).args(set).output()?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stdout).into_owned() + &output.stderr;
            let from = text.find("The following packages have unmet").unwrap_or(0);
            return Ok(Err(text[from..].lines().take(4).map(str::trim).collect::<Vec<_>>().join(" ")));
        }
        let mut packages = Packages::new();
        if with_installed {
            let status = std::fs::read_to_string(self.at("apt/status"))?;
            for paragraph in status.split("\n\n") {
                let field = |name: &str| {
                    paragraph.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned)
                };
                if let (Some(name), Some(version)) = (field("Package"), field("Version")) {
                    packages.insert(name, version);
                }
            }
        }
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            // "Inst nginx [old] (1.26.3-3+deb13u1 Debian:13.7/stable [amd64])"
            if let Some(rest) = line.strip_prefix("Inst ") {
                let name = rest.split(' ').next().unwrap_or_default();
                let version = rest.split('(').nth(1).and_then(|r| r.split(' ').next()).unwrap_or_default();
                packages.insert(name.to_owned(), version.to_owned());
            } else if let Some(rest) = line.strip_prefix("Remv ") {
                packages.remove(rest.split(' ').next().unwrap_or_default());
            }
        }
        Ok(Ok(packages))
    }
}
