//! Files, links and directories that the text declares.

use serde::{Deserialize, Serialize};

use crate::read::rules::{AccountName, FleetPath, LinkTarget, Mode, Text};
use crate::read::table;

/// One declared path of the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// What it is.
    pub kind: FileKind,
    /// Permission bits, special bits included (0–0o7777); 0o777 for a link.
    pub mode: u32,
    /// Owner by name.
    pub owner: String,
    /// Group by name.
    pub group: String,
}

/// What a [`FileEntry`] is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// A plain file.
    Regular {
        /// Its bytes.
        #[serde(skip)]
        content: Vec<u8>,
        /// The file of the fleet it was taken from, if it was.
        source: Option<String>,
    },
    /// A symbolic link, target kept as written.
    Symlink {
        /// Where it points.
        target: String,
    },
    /// A directory.
    Directory,
}

table! {
    /// A path of the image: a file by `content` or `source`, a symbolic link by `symlink`, or a `directory`.
    pub struct FileText {
        /// The file's text.
        content: Option<String> as Text,
        /// A file of the fleet (path relative to the fleet) with the bytes.
        source: Option<String> as FleetPath,
        /// Target of a symbolic link.
        symlink: Option<String> as LinkTarget,
        /// Makes the path a directory.
        directory: bool as bool,
        /// Permission bits in octal as text, such as "0644". Absent: 0644, for a directory 0755.
        mode: Option<u32> as Mode,
        /// Owner.
        owner: String as AccountName = "root".to_owned(),
        /// Group.
        group: String as AccountName = "root".to_owned(),
    }
}
