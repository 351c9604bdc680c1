//! A server's objects: every page of every object opens, every form sent as it was drawn changes nothing, hostile values
//! stay values, and a broken file spoils only itself.

mod common;

use common::{Answer, Pages, fleet};
use regrow_config::objects::form::changes;

const HOSTILE: &str = r#"schema = 1
roles = ["base"]
"<b>top" = "<script>alert(0)</script>"

# <img src=x onerror=alert(1)> & "note"
[users.alice]
comment = "<script>alert(2)</script>\t\"'&amp;"
uid = "text"
shel = "/bin/sh"

[files."/etc/\"><script>alert(3)</script>"]
content = "\n\nfirst lines empty\r\n</textarea><script>alert(4)</script>\n"

[files."/etc/a b?c#d%2F..é"]
content = '''
a
b'''
mode = 0o644

[files."/etc/control"]
content = "a\u0001b"

[services."..".override]
x = 1

[services.long]
override = "LONG"

[sysctl]
"net.a" = [1, 2]

[checks.empty]
[checks.c]
command = ["", " x "]
timeout = 99999
"#;

fn hostile(dir: &std::path::Path) {
    fleet::write(dir);
    let text = HOSTILE.replace("LONG", &"x".repeat(5000));
    fleet::put(dir, "servers/odd/server.toml", &text);
    fleet::put(dir, "servers/odd/root/etc/<i>x", "root");
    fleet::put(
        dir,
        "servers/broken/server.toml",
        "[users.bob]\nuid = 1000\n[users.eve\nuid = \n\n[checks.a]\nunit = \"a\"\n",
    );
    fleet::put(dir, "servers/broken/more.toml", "[services.nginx]\nenabled = true\n");
    fleet::put(dir, "servers/empty/server.toml", "");
    fleet::commit(dir, "Odd ones");
}

/// The addresses of all objects that a server's page links to.
fn objects_of(pages: &Pages, cookie: &str, server: &str) -> Vec<String> {
    let page = pages.get_as(cookie, &format!("/server/{server}"));
    assert_eq!(page.status, 200, "{}", page.body);
    let start = format!("href=\"/server/{server}/");
    let mut found: Vec<String> = page
        .body
        .split(&start)
        .skip(1)
        .map(|rest| format!("/server/{server}/{}", rest.split('"').next().unwrap()))
        .filter(|path| !path.contains("/file?") && !path.contains("/hunt") && !path.ends_with("/why"))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Name and value of every field of the form to `/edit`, as a browser sends them; buttons are not pressed.
fn fields_of(page: &Answer) -> Vec<(String, String)> {
    let Some(from) = page.body.find("action=\"/edit\"") else { return Vec::new() };
    let form = &page.body[from..page.body[from..].find("</form>").unwrap() + from];
    let mut out = Vec::new();
    let mut rest = form;
    while let Some(at) = ["<input ", "<select ", "<textarea "].iter().filter_map(|t| rest.find(t)).min() {
        rest = &rest[at + 1..];
        let tag = &rest[..rest.find('>').unwrap()];
        let name = attribute(tag, "name").unwrap_or_else(|| panic!("a field without a name: {tag}"));
        let inner = &rest[tag.len() + 1..];
        let value = if tag.starts_with("input") {
            attribute(tag, "value").unwrap_or_default()
        } else if tag.starts_with("textarea") {
            let text = &inner[..inner.find("</textarea>").unwrap()];
            let text = unescape(text.strip_prefix('\n').unwrap_or(text));
            text.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n")
        } else {
            let options = &inner[..inner.find("</select>").unwrap()];
            let chosen =
                options.split("<option ").skip(1).find(|o| o.split('>').next().unwrap().ends_with(" selected"));
            let chosen = chosen
                .or_else(|| options.split("<option ").nth(1))
                .unwrap_or_else(|| panic!("nothing to choose: {tag}: {options}"));
            attribute(&format!(" {}", chosen.split('>').next().unwrap()), "value").unwrap()
        };
        out.push((name, value));
    }
    out
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let from = tag.find(&format!(" {name}=\""))? + name.len() + 3;
    Some(unescape(tag[from..].split('"').next()?))
}

fn unescape(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#34;", "\"");
    text.replace("&#39;", "'").replace("&#60;", "<").replace("&#62;", ">").replace("&#38;", "&").replace("&amp;", "&")
}

#[test]
fn every_form_opens_and_sent_as_drawn_changes_nothing() {
    let pages = Pages::with(hostile);
    let cookie = pages.sign_in();
    for (server, least) in [("web1", 20), ("odd", 8), ("broken", 3), ("empty", 1)] {
        let objects = objects_of(&pages, &cookie, server);
        assert!(objects.len() >= least, "{server}: {objects:#?}");
        for path in &objects {
            let page = pages.get_as(&cookie, path);
            assert_eq!(page.status, 200, "{path}: {}", page.body);
            let fields = fields_of(&page);
            assert!(
                fields.iter().any(|(name, _)| name.starts_with("f:")) || path.contains("services/%2E%2E"),
                "{path}"
            );
            assert_eq!(changes(&fields), Ok(vec![]), "{path}");
            for view in ["text", "history", "effects"] {
                let page = pages.get_as(&cookie, &format!("{path}?view={view}"));
                assert_eq!(page.status, 200, "{path} {view}: {}", page.body);
            }
        }
    }
}

#[test]
fn hostile_values_stay_values() {
    let pages = Pages::with(hostile);
    let cookie = pages.sign_in();
    let mut paths = objects_of(&pages, &cookie, "odd");
    paths.extend(["/server/odd".to_owned(), "/server/odd/file?path=servers/odd/server.toml".to_owned()]);
    paths.push("/server/odd?find=%3Cscript%3E%22".to_owned());
    paths.push("/server/odd/users/alice?at=%22%3E%3Cscript%3E".to_owned());
    for path in paths {
        let page = pages.get_as(&cookie, &path);
        assert_eq!(page.status, 200, "{path}");
        for raw in ["<script>", "<img", "<b>", "<i>x", "onerror=alert(1)>"] {
            assert!(!page.body.contains(raw), "{path} has {raw}");
        }
    }
    let page = pages.get_as(&cookie, "/server/odd/users/alice").body;
    assert!(page.contains("Not known to Regrow") && page.contains("did you mean `shell`"), "{page}");
    assert!(page.contains("name=\"f:users.alice.shel\""), "unknown keys are kept as fields");
}

#[test]
fn a_broken_file_spoils_only_itself() {
    let pages = Pages::with(hostile);
    let cookie = pages.sign_in();
    let page = pages.get_as(&cookie, "/server/broken");
    assert!(
        page.body.contains("Part of the text cannot be read") && page.body.contains("servers/broken/server.toml:3")
    );
    assert!(page.body.contains("/server/broken/file?path=servers/broken/server.toml&#38;line=3#L3"), "{}", page.body);
    for path in ["/server/broken/users/bob", "/server/broken/services/nginx", "/server/broken/checks/a"] {
        assert_eq!(pages.get_as(&cookie, path).status, 200, "{path}");
    }
    let text = pages.get_as(&cookie, "/server/broken/file?path=servers/broken/server.toml&line=3");
    assert!(text.body.contains("class=\"marked wrong\"") && text.body.contains("[users.eve"), "{}", text.body);
}

#[test]
fn a_value_says_where_it_is_and_since_when() {
    let pages = Pages::with(fleet::write);
    let cookie = pages.sign_in();
    let log = regrow_ops::log(&pages.ctx, None, None, 3).unwrap().changes;
    let page = pages.get_as(&cookie, "/server/web1/users/alice?at=users.alice.comment").body;
    let line = std::fs::read_to_string(pages.fleet().join("servers/web1/server.toml")).unwrap();
    let line = line.lines().position(|l| l.starts_with("comment")).unwrap() + 1;
    assert!(
        page.contains(&format!(">server.toml:{line}</a>, since <a href=\"/changeset/{}\"", log[1].revision)),
        "{page}"
    );
    assert!(page.contains(&format!("/changeset/{}\"", log[2].revision)), "the shell is older");
    assert!(
        page.contains(&format!("id=\"p0-L{line}\" class=\"marked\" data-key=\"users.alice.comment\"")),
        "one cursor: {page}"
    );
    assert!(page.contains("regrow set web1 users.alice.comment &#39;&#34;Alice Exampleson&#34;&#39;"), "{page}");
    let zone = pages.get_as(&cookie, "/server/web1/system/-").body;
    assert!(
        zone.contains("roles/base.toml:") && zone.contains("role base") && zone.contains("value=\"role:base\""),
        "{zone}"
    );
    let history = pages.get_as(&cookie, "/server/web1/users/alice?view=history").body;
    assert!(
        history.contains("Alice has married") && history.contains("<del>&#34;Alice Example&#34;</del>"),
        "{history}"
    );
    assert!(!history.contains("greeting"), "other changesets are left out");
}

#[test]
fn the_list_of_objects_is_searched_without_scripts() {
    let pages = Pages::with(hostile);
    let cookie = pages.sign_in();
    let found = |find: &str| pages.get_as(&cookie, &format!("/server/web1?find={find}")).body;
    let page = found("alice");
    assert!(page.contains("/server/web1/users/alice") && !page.contains("/server/web1/packages/curl"), "{page}");
    assert!(found("Europe+nothing").contains("Nothing is called like this"));
    assert!(found("html").contains("/var/www/html/index.html"), "files of root/ are found");
}

#[test]
fn what_is_not_there_or_not_ones_business_is_not_found() {
    let pages = Pages::with(hostile);
    let cookie = pages.sign_in();
    for path in [
        "/server/nowhere/users/alice",
        "/server/web1/users/nobody",
        "/server/web1/nothing/alice",
        "/server/..%2Fweb1/users/alice",
        "/server/web1/file?path=servers/odd/server.toml",
        "/server/web1/file?path=../../etc/passwd",
        "/server/web1/file?path=/etc/passwd",
        "/server/web1/file?path=.git/config",
        "/server/web1/file?path=servers/web1/none.toml",
        "/server/web1/file?path=servers/web1",
        "/server/web1/file",
    ] {
        let page = pages.get_as(&cookie, path);
        assert_eq!(page.status, 404, "{path}");
        assert!(!page.body.contains("root:x"), "{path}");
    }
    assert!(!pages.home().join("servers/nowhere").exists());
}

#[test]
fn a_draft_is_shown_in_place_of_the_newest_changeset() {
    let pages = Pages::with(fleet::write);
    let cookie = pages.sign_in();
    let draft = regrow_ops::drafts::create(&pages.ctx, Some("Try"), "tester").unwrap();
    let edit = regrow_config::edit::Edit::Set { key: "users.alice.comment".into(), value: "\"Drafted\"".into() };
    let target = regrow_ops::drafts::Target::Server("web1".into());
    let wish = regrow_ops::drafts::Wish { target, edits: vec![edit] };
    assert!(matches!(
        regrow_ops::drafts::edit(&pages.ctx, &draft.id, None, &[wish]).unwrap(),
        regrow_ops::drafts::Edited::Saved(_)
    ));
    let with = format!("{cookie}; regrow_draft_{}={}", pages.serving.address.port(), draft.id);
    let page = pages.get_as(&with, "/server/web1/users/alice").body;
    assert!(page.contains("value=\"Drafted\"") && page.contains("in this draft"), "{page}");
    let page = pages.get_as(&with, "/server/web1/users/alice?view=effects").body;
    assert!(page.contains("&#34;Alice Exampleson&#34;") && page.contains("&#34;Drafted&#34;"), "{page}");
    assert!(pages.get_as(&with, "/server/web1").body.contains("changed in the draft"));
    assert!(!pages.get_as(&cookie, "/server/web1/users/alice").body.contains("Drafted"), "others see what is landed");
}
