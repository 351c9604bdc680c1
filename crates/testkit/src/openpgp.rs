//! A throw-away OpenPGP key that signs, without an agent, a key ring or randomness: the same seed is the same key.
//!
//! Version 4 packets with EdDSA over Curve25519 and SHA-256 (RFC 4880 with the EdDSA extension), which every verifier in
//! Debian 12 and 13 accepts.

use ring::signature::{Ed25519KeyPair, KeyPair};
use sha2::Digest;

/// OID 1.3.6.1.4.1.11591.15.1
const CURVE: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01];
const EDDSA: u8 = 22;
const SHA256: u8 = 8;
const TEXT: u8 = 0x01;
const BINARY: u8 = 0x00;
const CERTIFICATION: u8 = 0x13;

/// A signing key.
#[derive(Debug)]
pub struct Key {
    pair: Ed25519KeyPair,
    created: u32,
    /// Seconds after `created` when it expires; 0 for never.
    lifetime: u32,
}

impl Key {
    /// The key of this seed, made on 2020-01-01, that never expires.
    pub fn new(seed: u8) -> Key {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("32 bytes are a seed");
        Key { pair, created: 1_577_836_800, lifetime: 0 }
    }

    /// The same key, expired `seconds` after it was made.
    pub fn expiring_after(mut self, seconds: u32) -> Key {
        self.lifetime = seconds;
        self
    }

    fn body(&self) -> Vec<u8> {
        let mut body = vec![4];
        body.extend(self.created.to_be_bytes());
        body.push(EDDSA);
        body.push(CURVE.len() as u8);
        body.extend(CURVE);
        body.extend(mpi(&[&[0x40], self.pair.public_key().as_ref()].concat()));
        body
    }

    fn prefixed_body(&self) -> Vec<u8> {
        let body = self.body();
        let mut out = vec![0x99];
        out.extend((body.len() as u16).to_be_bytes());
        out.extend(body);
        out
    }

    fn fingerprint(&self) -> Vec<u8> {
        let sha1 = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &self.prefixed_body());
        sha1.as_ref().to_vec()
    }

    /// A signature packet over `content`, which is hashed before the packet's own fields.
    fn signature(&self, kind: u8, content: &[u8], created: u32, more: &[u8]) -> Vec<u8> {
        let fingerprint = self.fingerprint();
        let mut hashed = subpacket(2, &created.to_be_bytes());
        hashed.extend(subpacket(33, &[&[4], fingerprint.as_slice()].concat()));
        hashed.extend(more);
        let mut fields = vec![4, kind, EDDSA, SHA256];
        fields.extend((hashed.len() as u16).to_be_bytes());
        fields.extend(&hashed);
        let mut hasher = sha2::Sha256::new();
        hasher.update(content);
        hasher.update(&fields);
        hasher.update([4, 0xff]);
        hasher.update((fields.len() as u32).to_be_bytes());
        let digest: [u8; 32] = hasher.finalize().into();
        let signature = self.pair.sign(&digest);
        let (r, s) = signature.as_ref().split_at(32);
        let unhashed = subpacket(16, &fingerprint[12..]);
        let mut body = fields;
        body.extend((unhashed.len() as u16).to_be_bytes());
        body.extend(unhashed);
        body.extend(&digest[..2]);
        body.extend(mpi(r));
        body.extend(mpi(s));
        packet(2, &body)
    }

    /// The public key, binary, as a keyring file holds it.
    pub fn public(&self) -> Vec<u8> {
        let user = b"A test archive <test@example.invalid>";
        let mut content = self.prefixed_body();
        content.push(0xb4);
        content.extend((user.len() as u32).to_be_bytes());
        content.extend(user);
        let mut more = subpacket(27, &[0x03]);
        if self.lifetime > 0 {
            more.extend(subpacket(9, &self.lifetime.to_be_bytes()));
        }
        let certification = self.signature(CERTIFICATION, &content, self.created, &more);
        [packet(6, &self.body()), packet(13, user), certification].concat()
    }

    /// The public key in armour.
    pub fn public_armoured(&self) -> String {
        armour("PUBLIC KEY BLOCK", &self.public())
    }

    /// `text` with its signature around it, as in `InRelease`. `when` is in seconds since the epoch.
    pub fn clear_sign(&self, text: &str, when: i64) -> String {
        let text = text.trim_end_matches('\n');
        let canonical: Vec<&str> = text.lines().map(|l| l.trim_end_matches([' ', '\t', '\r'])).collect();
        let signature = self.signature(TEXT, canonical.join("\r\n").as_bytes(), when as u32, &[]);
        let escaped: Vec<String> =
            text.lines().map(|l| if l.starts_with('-') { format!("- {l}") } else { l.to_owned() }).collect();
        let signature = armour("SIGNATURE", &signature);
        format!("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{}\n{signature}", escaped.join("\n"))
    }

    /// The armoured signature of `bytes` apart from them, as in `Release.gpg`.
    pub fn detach_sign(&self, bytes: &[u8], when: i64) -> String {
        armour("SIGNATURE", &self.signature(BINARY, bytes, when as u32, &[]))
    }
}

fn packet(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![0xc0 | tag];
    match body.len() {
        n @ 0..192 => out.push(n as u8),
        n => {
            let n = n - 192;
            assert!(n < 8192, "no packet of ours is so long");
            out.extend([(n >> 8) as u8 + 192, n as u8]);
        }
    }
    out.extend(body);
    out
}

fn subpacket(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![body.len() as u8 + 1, kind];
    out.extend(body);
    out
}

/// A number with its length in bits.
fn mpi(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|b| *b != 0).unwrap_or(bytes.len());
    let bytes = &bytes[start..];
    let bits = bytes.first().map_or(0, |b| bytes.len() * 8 - b.leading_zeros() as usize);
    let mut out = (bits as u16).to_be_bytes().to_vec();
    out.extend(bytes);
    out
}

fn armour(kind: &str, bytes: &[u8]) -> String {
    let mut out = format!("-----BEGIN PGP {kind}-----\n\n");
    for line in base64(bytes).as_bytes().chunks(64) {
        out.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
        out.push('\n');
    }
    let crc = bytes.iter().fold(0x00b7_04ceu32, |mut crc, byte| {
        crc ^= u32::from(*byte) << 16;
        for _ in 0..8 {
            crc <<= 1;
            if crc & 0x0100_0000 != 0 {
                crc ^= 0x0186_4cfb;
            }
        }
        crc
    });
    out.push_str(&format!("={}\n-----END PGP {kind}-----\n", base64(&crc.to_be_bytes()[1..])));
    out
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().fold(0u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let digit = DIGITS[(n >> (18 - 6 * i) & 63) as usize];
            out.push(if i <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}
