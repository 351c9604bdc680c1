//! Drafts that a person worked on with git: amended, or with commits on top, or made by git alone.
//!
//! A draft's own message tells what it is based on. Where that is not the commit's parent, or nothing is told, the draft is
//! read as a branch: it is based on where it left HEAD's history, and what is kept with it is taken from the newest of its
//! commits that tells. The next change by Regrow makes one commit of it again.

use jiff::Timestamp;

use crate::drafts::{Data, DraftRef, id_of};
use crate::error::Result;
use crate::repo::Repo;

impl Repo {
    /// Reads a draft as a branch; `None` if it has nothing in common with HEAD.
    pub(crate) fn adopted(&self, name: &str, tip: &str) -> Result<Option<DraftRef>> {
        let Some(id) = id_of(name) else { return Ok(None) };
        let Some(base) = self.git.maybe(["merge-base", "HEAD", tip])?.filter(|base| base != tip) else {
            return Ok(None);
        };
        let range = format!("{base}..{tip}");
        let args = ["log", "--first-parent", "-z", "--encoding=UTF-8", "--no-show-signature", "--no-notes"];
        let format = "--format=tformat:%an%x01%at%x01%ct%x01%B";
        let output = self.call(&args).arg(format).args([&*range, "--"]).run()?.stdout;
        let text = String::from_utf8_lossy(&output).into_owned();
        let commits: Vec<[&str; 4]> = text.split('\0').filter_map(fields).collect();
        let (Some(newest), Some(oldest)) = (commits.first(), commits.last()) else { return Ok(None) };
        let told = commits.iter().find_map(|[_, _, _, message]| Data::in_message(message));
        let second = |text: &str| text.parse().ok().and_then(|s| Timestamp::from_second(s).ok()).unwrap_or_default();
        let title = newest[3].lines().next().unwrap_or_default().trim();
        let (owner, created, data) = match told {
            Some(data) => (data.owner, data.created, data.data),
            None => (oldest[0].to_owned(), second(oldest[1]), serde_json::Value::Null),
        };
        Ok(Some(DraftRef {
            id: id.to_owned(),
            tip: tip.to_owned(),
            base,
            title: if title.is_empty() { "Draft".to_owned() } else { title.chars().take(200).collect() },
            owner,
            created,
            changed: second(newest[2]),
            data,
            paths: Vec::new(),
        }))
    }
}

fn fields(commit: &str) -> Option<[&str; 4]> {
    let mut fields = commit.trim_start_matches('\n').splitn(4, '\u{1}');
    Some([fields.next()?, fields.next()?, fields.next()?, fields.next()?])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::drafts::DraftChange;
    use crate::tests::{Fixture, fixture};

    fn draft(f: &Fixture, base: &str) -> String {
        let at = "2026-01-02T03:04:05Z".parse().unwrap();
        f.repo
            .write_draft(&DraftChange {
                id: "d1",
                expected: None,
                base,
                files_of: base,
                title: "Two",
                owner: "bob",
                created: at,
                at,
                data: &serde_json::json!({"kept": 1}),
                files: &BTreeMap::from([("a".to_owned(), Some(b"2\n".to_vec()))]),
            })
            .unwrap()
    }

    #[test]
    fn a_draft_that_was_amended_or_continued_with_git_is_the_same_draft() {
        let f = fixture();
        let base = f.git(&["rev-parse", "HEAD"]);
        let tip = draft(&f, &base);
        let made = f.repo.draft("d1").unwrap();
        f.git(&["checkout", "--quiet", "--detach", &tip]);
        f.write("b", "b\n");
        f.git(&["add", "b"]);
        f.git(&["commit", "--quiet", "--amend", "--no-edit"]);
        f.git(&["update-ref", "refs/regrow/drafts/d1", "HEAD"]);
        f.write("c", "c\n");
        f.git(&["add", "c"]);
        f.git(&["commit", "--quiet", "-m", "And c"]);
        f.git(&["checkout", "--quiet", "main"]);
        let amended = f.repo.draft("d1").unwrap();
        assert_eq!((&amended.owner, amended.created, &amended.data), (&made.owner, made.created, &made.data));
        assert_eq!(amended.paths.len(), 2);
        f.git(&["update-ref", "refs/regrow/drafts/d1", "HEAD@{1}"]);
        let on_top = f.repo.draft("d1").unwrap();
        assert_eq!((&*on_top.base, &*on_top.title, &on_top.data), (&*base, "And c", &made.data));
        assert_eq!(on_top.paths.iter().map(|p| &*p.path).collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn a_branch_made_by_git_alone_can_be_a_draft_and_what_is_none_is_left_out() {
        let f = fixture();
        let base = f.git(&["rev-parse", "HEAD"]);
        f.git(&["checkout", "--quiet", "--detach"]);
        f.write("a", "2\n");
        f.git(&["commit", "--quiet", "-am", "Two"]);
        f.git(&["update-ref", "refs/regrow/drafts/mine", "HEAD"]);
        f.git(&["checkout", "--quiet", "main"]);
        f.git(&["update-ref", "refs/regrow/drafts/empty", "main"]);
        let blob = f.git(&["rev-parse", "main:a"]);
        f.git(&["update-ref", "refs/regrow/drafts/blob", &blob]);
        let drafts = f.repo.drafts().unwrap();
        assert_eq!(drafts.len(), 1);
        let mine = &drafts[0];
        assert_eq!((&*mine.id, &*mine.owner, &*mine.title, &*mine.base), ("mine", "Ann", "Two", &*base));
        assert_eq!(mine.paths.len(), 1);
    }
}
