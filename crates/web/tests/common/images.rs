//! Images of `web1` at its last two changesets, made by hand: as a build would leave them, without building.

use regrow_image::{Meta, Store, Tree};
use regrow_ops::evidence::{self, Kind, New, Verdict};
use regrow_ops::{Context, changes};
use serde_json::json;

/// The files of an image: path, mode, content.
type Files<'f> = Vec<(&'f str, u32, String)>;

/// Makes both. In the newer one a package is newer and one is new, there is one more user, and the greeting is another.
pub(crate) fn make(ctx: &Context) {
    let log = changes::log(ctx, Some("web1"), None, 2).unwrap().changes;
    let old = base("1.0-1", "");
    let new = base("1.1-1", "\nPackage: curl\nStatus: install ok installed\nVersion: 8.0\n");
    let users = |more: &str| format!("root:x:0:0:root:/root:/bin/sh\n{more}");
    let text = |mode, greeting: &str, more: &str| -> Files<'static> {
        vec![
            ("/etc/motd", mode, format!("Welcome.\n{greeting}\nBye.\n")),
            ("/etc/passwd", 0o644, users(more)),
            ("/etc/systemd/system/nginx.service", 0o644, format!("[Service]\n# {greeting}\n")),
        ]
    };
    record(ctx, &log[1].revision, &old, text(0o644, "change", ""));
    let mut files = text(0o640, "mend", "bob:x:1001:1001::/home/bob:/bin/sh\n");
    files.push(("/etc/<b>bold", 0o600, "It is bold.\n".repeat(40)));
    record(ctx, &log[0].revision, &new, files);
}

/// What packages bring.
fn base(nginx: &str, more: &str) -> Files<'static> {
    vec![
        (
            "/var/lib/dpkg/status",
            0o644,
            format!("Package: nginx\nStatus: install ok installed\nVersion: {nginx}\n{more}"),
        ),
        ("/var/lib/dpkg/info/nginx.list", 0o644, "/.\n/usr\n/usr/sbin\n/usr/sbin/nginx\n".to_owned()),
        ("/usr/sbin/nginx", 0o755, format!("nginx {nginx}\n")),
    ]
}

/// Puts an image of two layers into the store and records its build.
fn record(ctx: &Context, revision: &str, packages: &Files<'_>, text: Files<'_>) {
    let store = Store::open(ctx.home().store()).unwrap();
    let mut tree = Tree::default();
    let mut layers = Vec::new();
    let mut image = None;
    for (layer, files) in [("base", packages), ("config", &text)] {
        for (path, mode, content) in files {
            let content = store.put_bytes(content.as_bytes()).unwrap();
            tree.insert_file(path, Meta::new(*mode, 0, 0, 0), content).unwrap();
        }
        let made = store.commit(&tree).unwrap();
        // A key is the hash of what goes in: the image itself tells these layers apart as well.
        let key = made.to_string().rsplit(':').next().unwrap().to_owned();
        store.put_layer(&key, &made).unwrap();
        layers.push(json!({"name": layer, "key": key, "cached": false, "seconds": 0.1}));
        image = Some(made.to_string());
    }
    let image = image.unwrap();
    let report = json!({"server": "web1", "revision": revision, "image": image, "seconds": 0.2, "layers": layers, "packages": 1});
    let new = New { kind: Kind::Build, server: "web1", revision, image: Some(&image), verdict: Verdict::Built };
    evidence::record(ctx, &new, &report).unwrap();
}
