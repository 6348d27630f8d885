//! The format of API keys: `trib_<environment>_<30 base62><6 base62>`.
//!
//! The last six characters are the CRC-32 (IEEE) of everything before them, as base62 (`0-9A-Za-z`), most significant digit first. So
//! a scanner that looks for leaked keys can tell one from something that looks like it, and a key that was cut or mistyped is told
//! from one that is unknown without a look into the record.
//!
//! Test vector: thirty zeros in the test environment are `trib_test_0000000000000000000000000000000TRjKp`.

use rand::RngExt;
use secrecy::{ExposeSecret, SecretString};
use tributary_core::hash::Sha256Hash;

const PREFIX: &str = "trib_";
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM: usize = 30;
const CHECKSUM: usize = 6;

/// Which kind of server a key opens, so that a key of a test server is refused by the real one with a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// For real.
    #[default]
    Live,
    /// For trying out.
    Test,
}

impl Environment {
    /// As it stands in a key.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }
}

/// A key in full. Only its hash is ever kept.
pub struct Secret(SecretString);

impl Secret {
    /// A new one: 178 bits.
    pub fn generate(environment: Environment) -> Self {
        let mut rng = rand::rng();
        let random: String = (0..RANDOM).map(|_| char::from(DIGITS[rng.random_range(0..DIGITS.len())])).collect();
        let body = format!("{PREFIX}{}_{random}", environment.as_str());
        let checksum = checksum(&body);
        Self(format!("{body}{checksum}").into())
    }

    /// To be shown once.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Under which it is found.
    pub fn hash(&self) -> Sha256Hash {
        Sha256Hash::of(self.expose())
    }

    /// To tell keys apart.
    pub fn last4(&self) -> &str {
        let text = self.expose();
        &text[text.len() - 4..]
    }
}

/// Why a text is not a key of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It was cut or mistyped.
    Checksum,
    /// It belongs to the other kind of server.
    Environment(Environment),
}

/// Whether a credential looks like one of our keys, rather than like a token.
pub fn looks_like_key(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// The hash of a well-formed key of this environment.
pub fn parse(text: &str, environment: Environment) -> Result<Sha256Hash, Malformed> {
    let rest = text.strip_prefix(PREFIX).ok_or(Malformed::Checksum)?;
    let (named, random) = rest.split_once('_').ok_or(Malformed::Checksum)?;
    let plain = random.len() == RANDOM + CHECKSUM && random.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !plain || checksum(&text[..text.len() - CHECKSUM]) != text[text.len() - CHECKSUM..] {
        return Err(Malformed::Checksum);
    }
    match [Environment::Live, Environment::Test].into_iter().find(|it| it.as_str() == named) {
        Some(found) if found == environment => Ok(Sha256Hash::of(text)),
        Some(other) => Err(Malformed::Environment(other)),
        None => Err(Malformed::Checksum),
    }
}

fn checksum(body: &str) -> String {
    let mut left = crc32fast::hash(body.as_bytes());
    let mut digits = [b'0'; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(left % 62) as usize];
        left /= 62;
    }
    digits.map(char::from).iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_test_vector_holds() {
        let body = format!("trib_test_{}", "0".repeat(30));
        let key = format!("{body}{}", checksum(&body));
        assert_eq!(key, "trib_test_0000000000000000000000000000000TRjKp");
        assert!(parse(&key, Environment::Test).is_ok());
        assert_eq!(parse(&key, Environment::Live), Err(Malformed::Environment(Environment::Test)));
    }

    #[test]
    fn a_key_is_found_again_and_a_changed_one_is_told_from_it() {
        let secret = Secret::generate(Environment::Live);
        let text = secret.expose();
        assert_eq!(text.len(), "trib_live_".len() + 36);
        assert_eq!(parse(text, Environment::Live), Ok(secret.hash()));
        for at in 5..text.len() {
            let mut changed = text.as_bytes().to_vec();
            changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(parse(&changed, Environment::Live).is_err(), "{changed}");
        }
        for cut in 0..text.len() {
            assert!(parse(&text[..cut], Environment::Live).is_err());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_refused_quietly(text in ".*") {
            let _ = parse(&text, Environment::Live);
            let _ = parse(&format!("trib_{text}"), Environment::Live);
            let _ = parse(&format!("trib_live_{text}"), Environment::Live);
        }
    }
}
