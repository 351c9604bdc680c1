//! Names of images and objects: digests, spelled together with the format they belong to.
//!
//! Both are fs-verity digests (SHA-256 over a Merkle tree of 4096-byte blocks): the number the kernel would measure for
//! the same bytes. An image's digest also depends on the layout version of its EROFS writer, so a bare hex number means
//! nothing; it is always spelled `v1-sha256-12:<64 hex digits>` (layout 1, SHA-256, blocks of 2^12 bytes).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What stands before the hex digits of every [`ImageId`].
pub const IMAGE_PREFIX: &str = "v1-sha256-12:";

/// The fs-verity digest of a file's content: its name in the store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub(crate) [u8; 32]);

impl ObjectId {
    /// The digest itself.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Where the object lies below the object folder: `ab/cdef…`.
    pub(crate) fn pathname(&self) -> String {
        format!("{:02x}/{}", self.0[0], hex::encode(&self.0[1..]))
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectId({self})")
    }
}

/// The digest of a whole image: same tree, same name, on every machine.
///
/// Spelled (also in JSON) as `v1-sha256-12:<hex>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageId(pub(crate) [u8; 32]);

impl ImageId {
    /// The first twelve hex digits, for people; never unique enough for programs.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..6])
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{IMAGE_PREFIX}{}", hex::encode(self.0))
    }
}

impl fmt::Debug for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImageId({self})")
    }
}

/// A text that is no [`ImageId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no image id; one looks like `{IMAGE_PREFIX}` followed by 64 hex digits")]
pub struct BadImageId(pub String);

impl FromStr for ImageId {
    type Err = BadImageId;

    fn from_str(text: &str) -> Result<ImageId, BadImageId> {
        let bad = || BadImageId(text.to_owned());
        let digits = text.strip_prefix(IMAGE_PREFIX).ok_or_else(bad)?;
        // Only one spelling per id: ids are compared as text in files and pages.
        if digits.len() != 64 || digits.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(bad());
        }
        let mut digest = [0; 32];
        hex::decode_to_slice(digits, &mut digest).map_err(|_| bad())?;
        Ok(ImageId(digest))
    }
}

impl Serialize for ImageId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ImageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ImageId, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_exactly_one_spelling() {
        let id = ImageId([0xab; 32]);
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in [
            "",
            "abab",
            &id.to_string().to_uppercase(),
            &format!("v2-sha256-12:{}", "ab".repeat(32)),
            &format!("{id}0"),
        ] {
            assert!(bad.parse::<ImageId>().is_err(), "{bad}");
        }
        assert_eq!(serde_json::from_str::<ImageId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
    }
}
