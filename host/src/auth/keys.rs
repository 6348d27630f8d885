//! The format of API keys, `trib_<environment>_<30 base62><6 base62>`, and of widget keys, `tribw_…`.
//!
//! The last six characters are the CRC-32 (IEEE) of everything before them, as base62 (`0-9A-Za-z`), most significant digit first. So
//! a scanner that looks for leaked keys can tell one from something that looks like it, and a key that was cut or mistyped is told
//! from one that is unknown without a look into the record.
//!
//! Test vector: thirty zeros in the test environment are `trib_test_0000000000000000000000000000000TRjKp`.

use rand::RngExt;
use secrecy::{ExposeSecret, SecretString};
use tributary_core::hash::Sha256Hash;

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

/// Who a key is for. It stands in the key, so that one in the wrong place is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A program that keeps it secret.
    Server,
    /// A page that everybody can read.
    Widget,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Server => "trib_",
            Self::Widget => "tribw_",
        }
    }

    /// Which kind a text looks like; `None` for what is no key, such as a token.
    pub fn of(text: &str) -> Option<Self> {
        [Self::Server, Self::Widget].into_iter().find(|kind| text.starts_with(kind.prefix()))
    }
}

/// A key in full. Only its hash is ever kept.
pub struct Secret(SecretString);

impl Secret {
    /// A new one: 178 bits.
    pub fn generate(kind: Kind, environment: Environment) -> Self {
        let mut rng = rand::rng();
        let random: String = (0..RANDOM).map(|_| char::from(DIGITS[rng.random_range(0..DIGITS.len())])).collect();
        let body = format!("{}{}_{random}", kind.prefix(), environment.as_str());
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It was cut or mistyped.
    #[error("the key was cut or mistyped: its checksum does not fit")]
    Checksum,
    /// It is for something else.
    #[error("{}", misplaced(.0))]
    Kind(Kind),
    /// It belongs to the other kind of server.
    #[error("{}", elsewhere(.0))]
    Environment(Environment),
}

fn misplaced(found: &Kind) -> &'static str {
    match found {
        Kind::Widget => "this is a widget key, for pages: visitors begin at POST /api/v1/widgets/{key}/sessions",
        Kind::Server => "this is a secret API key and does not belong into a page: revoke it, and make a widget key",
    }
}

fn elsewhere(found: &Environment) -> &'static str {
    match found {
        Environment::Test => "this is a test key, and this server takes live keys only",
        Environment::Live => "this is a live key, and this server takes test keys only",
    }
}

/// The hash of a well-formed key of this kind and environment.
pub fn parse(text: &str, kind: Kind, environment: Environment) -> Result<Sha256Hash, Malformed> {
    if let Some(other) = Kind::of(text).filter(|found| *found != kind) {
        return Err(Malformed::Kind(other));
    }
    let rest = text.strip_prefix(kind.prefix()).ok_or(Malformed::Checksum)?;
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
        assert!(parse(&key, Kind::Server, Environment::Test).is_ok());
        assert_eq!(parse(&key, Kind::Server, Environment::Live), Err(Malformed::Environment(Environment::Test)));
    }

    #[test]
    fn a_key_is_found_again_and_a_changed_one_is_told_from_it() {
        let secret = Secret::generate(Kind::Server, Environment::Live);
        let text = secret.expose();
        assert_eq!(text.len(), "trib_live_".len() + 36);
        assert_eq!(parse(text, Kind::Server, Environment::Live), Ok(secret.hash()));
        for at in 5..text.len() {
            let mut changed = text.as_bytes().to_vec();
            changed[at] = if changed[at] == b'x' { b'y' } else { b'x' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(parse(&changed, Kind::Server, Environment::Live).is_err(), "{changed}");
        }
        for cut in 0..text.len() {
            assert!(parse(&text[..cut], Kind::Server, Environment::Live).is_err());
        }
    }

    #[test]
    fn a_widget_key_is_told_from_a_key_that_is_secret() {
        let (public, secret) = (Kind::Widget, Kind::Server);
        let key = Secret::generate(public, Environment::Live);
        assert!(key.expose().starts_with("tribw_live_"));
        assert_eq!(parse(key.expose(), public, Environment::Live), Ok(key.hash()));
        assert_eq!(parse(key.expose(), secret, Environment::Live), Err(Malformed::Kind(public)));
        let key = Secret::generate(secret, Environment::Live);
        assert_eq!(parse(key.expose(), public, Environment::Live), Err(Malformed::Kind(secret)));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_refused_quietly(text in ".*") {
            let _ = parse(&text, Kind::Server, Environment::Live);
            let _ = parse(&format!("trib_{text}"), Kind::Server, Environment::Live);
            let _ = parse(&format!("trib_live_{text}"), Kind::Server, Environment::Live);
        }
    }
}
