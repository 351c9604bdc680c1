//! Declared files and the files of `root/`.

use regrow_config::{FileKind, RootContent, Server};
use regrow_image::Meta;

use super::Target;
use crate::error::BuildError;
use crate::private_key;

pub(super) fn apply(target: &mut Target<'_>, server: &Server) -> Result<(), BuildError> {
    for (path, file) in &server.root_files {
        let key = &file.source;
        match &file.content {
            RootContent::Bytes(bytes) => {
                refuse_keys(path, bytes, key)?;
                let meta = target.meta(file.mode);
                target.put(key, path, bytes, meta)?;
            }
            RootContent::Symlink(to) => target.put_link(key, path, to)?,
        }
    }
    for (path, file) in &server.files {
        let key = format!("files.{path:?}");
        let id = |kind: &str, name: &str, ids: &std::collections::BTreeMap<String, u32>| {
            ids.get(name).copied().ok_or_else(|| {
                BuildError::text(
                    format!("{key}.{kind}"),
                    format!(
                        "there is no such account in the image: {name}; declare it or add the package that makes it"
                    ),
                )
            })
        };
        let uid = id("owner", &file.owner, &target.users)?;
        let gid = id("group", &file.group, &target.groups)?;
        let meta = Meta::new(file.mode, uid, gid, target.epoch);
        match &file.kind {
            FileKind::Regular { content, .. } => {
                refuse_keys(path, content, &key)?;
                target.put(&key, path, content, meta)?;
            }
            FileKind::Symlink { target: to } => {
                let place = target.place(path);
                target.tree.insert_symlink(place, meta, to.as_bytes()).map_err(|e| super::in_the_way(&key, &e))?;
            }
            FileKind::Directory => target.put_dir(&key, path, meta)?,
        }
    }
    Ok(())
}

fn refuse_keys(path: &str, bytes: &[u8], origin: &str) -> Result<(), BuildError> {
    if private_key::is_in(bytes) {
        return Err(BuildError::PrivateKey { path: path.to_owned(), origin: origin.to_owned() });
    }
    Ok(())
}
