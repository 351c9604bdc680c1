//! fs-verity digests of file contents, computed as the kernel would.
//!
//! Content is cut into blocks of 4096 bytes (the last padded with zeroes), each hashed with SHA-256; the digests are
//! themselves cut into blocks and hashed, until one digest is left; that, with the length, is hashed in a descriptor.
//! Data can be added in pieces of any size; memory is one block per level of the tree.

use sha2::{Digest, Sha256};

use crate::id::ObjectId;

const BLOCK: usize = 4096;
const DIGEST: usize = 32;

/// One level above the data: digests that wait to fill a block.
#[derive(Debug, Clone)]
struct Level {
    block: [u8; BLOCK],
    filled: usize,
}

/// Computes one digest.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hasher {
    /// The beginning of a block whose rest has not come yet.
    partial: Vec<u8>,
    levels: Vec<Level>,
    length: u64,
}

/// The digest of `data`.
pub(crate) fn digest(data: &[u8]) -> ObjectId {
    let mut hasher = Hasher::default();
    hasher.update(data);
    hasher.finish()
}

impl Hasher {
    /// Takes the next bytes.
    pub(crate) fn update(&mut self, mut data: &[u8]) {
        self.length += data.len() as u64;
        if !self.partial.is_empty() {
            let take = data.len().min(BLOCK - self.partial.len());
            self.partial.extend_from_slice(&data[..take]);
            data = &data[take..];
            if self.partial.len() < BLOCK {
                return;
            }
            let block = std::mem::take(&mut self.partial);
            self.push(0, Sha256::digest(&block).into());
        }
        let mut blocks = data.chunks_exact(BLOCK);
        for block in &mut blocks {
            self.push(0, Sha256::digest(block).into());
        }
        self.partial.extend_from_slice(blocks.remainder());
    }

    /// Adds the digest of a complete block to a level, and what that completes to the levels above.
    fn push(&mut self, mut at: usize, mut digest: [u8; DIGEST]) {
        loop {
            if at == self.levels.len() {
                self.levels.push(Level { block: [0; BLOCK], filled: 0 });
            }
            let level = &mut self.levels[at];
            // A full block is hashed only when more follows: a tree of exactly one full block ends there.
            let overflow = (level.filled == BLOCK).then(|| Sha256::digest(level.block).into());
            if overflow.is_some() {
                level.block.fill(0);
                level.filled = 0;
            }
            level.block[level.filled..level.filled + DIGEST].copy_from_slice(&digest);
            level.filled += DIGEST;
            match overflow {
                Some(above) => {
                    at += 1;
                    digest = above;
                }
                None => return,
            }
        }
    }

    /// The digest of everything taken.
    pub(crate) fn finish(mut self) -> ObjectId {
        if !self.partial.is_empty() {
            let mut block = std::mem::take(&mut self.partial);
            block.resize(BLOCK, 0);
            self.push(0, Sha256::digest(&block).into());
        }
        // The kernel defines the root of an empty file as all zeroes.
        let mut root = [0; DIGEST];
        let mut at = 0;
        while at < self.levels.len() {
            let level = &self.levels[at];
            if at + 1 == self.levels.len() && level.filled == DIGEST {
                root.copy_from_slice(&level.block[..DIGEST]);
                break;
            }
            let digest = Sha256::digest(level.block).into();
            self.push(at + 1, digest);
            at += 1;
        }
        let mut descriptor = [0_u8; 256];
        descriptor[0] = 1; // version
        descriptor[1] = 1; // SHA-256
        descriptor[2] = 12; // log2 of the block size
        descriptor[8..16].copy_from_slice(&self.length.to_le_bytes());
        descriptor[16..16 + DIGEST].copy_from_slice(&root);
        ObjectId(Sha256::digest(descriptor).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use composefs::fsverity::{FsVerityHashValue as _, Sha256HashValue, compute_verity};

    #[test]
    fn digests_are_those_of_the_reference_implementation() {
        let data: Vec<u8> = (0..3 * 128 * 4096 + 5000_u32).map(|i| (i / 7) as u8).collect();
        // Around every boundary: empty, block, one full level, the next level.
        for length in [
            0,
            1,
            64,
            4095,
            4096,
            4097,
            8192,
            127 * 4096,
            128 * 4096 - 1,
            128 * 4096,
            128 * 4096 + 1,
            256 * 4096,
            data.len(),
        ] {
            let expected: Sha256HashValue = compute_verity(&data[..length]);
            assert_eq!(digest(&data[..length]).to_string(), expected.to_hex(), "{length} bytes");
        }
    }

    #[test]
    fn a_third_level_is_right() {
        let data: Vec<u8> = (0..(128 * 128 + 3) * 4096_u32).map(|i| (i / 4096) as u8).collect();
        let expected: Sha256HashValue = compute_verity(&data);
        assert_eq!(digest(&data).to_string(), expected.to_hex());
    }

    #[test]
    fn pieces_give_the_digest_of_the_whole() {
        let data: Vec<u8> = (0..50_000_u32).map(|i| (i % 251) as u8).collect();
        for piece in [1, 63, 4095, 4096, 4097, 10_000] {
            let mut hasher = Hasher::default();
            data.chunks(piece).for_each(|p| hasher.update(p));
            assert_eq!(hasher.finish(), digest(&data), "pieces of {piece}");
        }
    }
}
