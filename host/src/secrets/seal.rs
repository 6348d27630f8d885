//! AES-256-GCM with random nonces (NIST SP 800-38D): what is sealed opens under the same key and context only.
//!
//! A sealed value is the version 1 in one byte, the nonce (12 bytes), and ciphertext with its tag (16 bytes). The context is the
//! associated data, so that a value that was moved to another place does not open there. With random nonces a key may seal 2^32 values;
//! keys here seal far fewer.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use secrecy::{SecretSlice, zeroize::Zeroizing};

use super::Error;

const VERSION: u8 = 1;
const TAG_LEN: usize = 16;
/// Length of a key in bytes.
pub(super) const KEY_LEN: usize = 32;

/// A key that seals and opens. The library wipes it from memory when it is dropped.
pub struct Sealer(RandomizedNonceKey);

impl Sealer {
    /// With a key of 32 bytes.
    pub fn new(key: &[u8]) -> Result<Self, Error> {
        let key = RandomizedNonceKey::new(&AES_256_GCM, key);
        Ok(Self(key.map_err(|_| Error::Internal("a key for sealing has not 32 bytes"))?))
    }

    /// Seals a value to a context.
    pub fn seal(&self, context: &str, value: &[u8]) -> Result<Vec<u8>, Error> {
        // As large as it will get: growing would leave a copy of the value behind.
        let mut in_out = Vec::with_capacity(value.len() + TAG_LEN);
        in_out.extend_from_slice(value);
        let nonce = self.0.seal_in_place_append_tag(Aad::from(context), &mut in_out);
        let nonce = nonce.map_err(|_| Error::Internal("a secret could not be sealed"))?;
        Ok([&[VERSION][..], nonce.as_ref(), &in_out].concat())
    }

    /// Opens what was sealed to this context; `None` for anything else.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Option<SecretSlice<u8>> {
        let (&VERSION, sealed) = sealed.split_first()? else { return None };
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut in_out = Zeroizing::new(ciphertext.to_vec());
        let value = self.0.open_in_place(Nonce::from(nonce), Aad::from(context), &mut in_out).ok()?;
        Some(value.to_vec().into())
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_value_opens_under_its_own_key_and_context_only() {
        let (ours, theirs) = (Sealer::new(&[1; 32]).unwrap(), Sealer::new(&[2; 32]).unwrap());
        let sealed = ours.seal("credential/a/shop", b"K7Q").unwrap();
        assert_eq!(ours.open("credential/a/shop", &sealed).unwrap().expose_secret(), b"K7Q");
        assert!(ours.open("credential/b/shop", &sealed).is_none(), "moved to another workspace");
        assert!(theirs.open("credential/a/shop", &sealed).is_none());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(ours.open("credential/a/shop", &changed).is_none(), "byte {at}");
            assert!(ours.open("credential/a/shop", &sealed[..at]).is_none(), "cut at {at}");
        }
        assert_ne!(ours.seal("x", b"K7Q").unwrap(), ours.seal("x", b"K7Q").unwrap(), "nonces differ");
        assert!(Sealer::new(&[0; 16]).is_err());
    }
}
