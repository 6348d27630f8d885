//! Signatures of components, as `minisign` and `rsign` make them. <https://jedisct1.github.io/minisign/#signature-format>

use base64::{Engine, prelude::BASE64_STANDARD};
use minisign_verify::{PublicKey, Signature};

/// The keys whose signatures the operator trusts. With none, signatures are not asked for.
#[derive(Clone, Debug, Default)]
pub struct PluginKeys(Vec<(String, PublicKey)>);

impl PluginKeys {
    /// From public keys as `minisign -G` prints them, each with or without the comment above it. The error says what one looks like.
    pub fn parse(texts: &[String]) -> Result<Self, String> {
        let parse = |text: &String| {
            let line = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
            let key = PublicKey::from_base64(line).ok().zip(key_id(line));
            key.map(|(key, id)| (id, key)).ok_or_else(|| {
                format!("a plugin key is the second line of a minisign.pub file, 56 characters that begin with RW, not {text:?}")
            })
        };
        texts.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether signatures are asked for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The id of the key that signed these bytes; `None` when no signature is asked for. The error says what to do.
    pub fn signer(&self, wasm: &[u8], signature: Option<&str>) -> Result<Option<String>, String> {
        if self.is_empty() {
            return Ok(None);
        }
        let trusted = || self.0.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>().join(", ");
        let Some(text) = signature else {
            return Err(format!(
                "this server takes signed components alone; sign it with `minisign -Sm FILE` and a key it trusts ({}), and send the signature along",
                trusted()
            ));
        };
        let signature = Signature::decode(text.trim())
            .map_err(|_| "the signature is not one of minisign: send the whole .minisig file".to_owned())?;
        let signer = self.0.iter().find(|(_, key)| key.verify(wasm, &signature, false).is_ok());
        signer.map(|(id, _)| Some(id.clone())).ok_or_else(|| {
            format!("the signature is not of this component and a key that this server trusts ({}); do not install it before you know why", trusted())
        })
    }
}

/// As `minisign` shows it: the eight bytes after the algorithm, least significant first.
fn key_id(line: &str) -> Option<String> {
    let bytes = BASE64_STANDARD.decode(line).ok()?;
    let id: [u8; 8] = bytes.get(2..10)?.try_into().ok()?;
    Some(format!("{:016X}", u64::from_le_bytes(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the documentation of minisign-verify: the bytes "test".
    const KEY: &str = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
    const SIGNATURE: &str = "untrusted comment: signature from minisign secret key
RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=
trusted comment: timestamp:1633700835\tfile:test\tprehashed
wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==";

    #[test]
    fn a_signature_is_of_a_trusted_key_and_of_these_bytes() {
        let keys = PluginKeys::parse(&[KEY.to_owned()]).unwrap();
        let signer = keys.signer(b"test", Some(SIGNATURE)).unwrap();
        assert_eq!(signer.as_deref(), Some("E7620F1842B4E81F"), "as minisign shows it");
        assert!(keys.signer(b"Test", Some(SIGNATURE)).unwrap_err().contains("E7620F1842B4E81F"));
        assert!(keys.signer(b"test", None).unwrap_err().contains("minisign -Sm"));
        assert!(keys.signer(b"test", Some("nonsense")).unwrap_err().contains(".minisig"));
        let altered = SIGNATURE.replace("file:test", "file:best");
        assert!(keys.signer(b"test", Some(&altered)).is_err(), "the trusted comment is signed as well");
        assert_eq!(PluginKeys::default().signer(b"test", None), Ok(None));
    }

    #[test]
    fn a_key_may_come_with_its_comment() {
        let file = format!("untrusted comment: minisign public key E7620F1842B4E81F\n{KEY}\n");
        assert!(!PluginKeys::parse(&[file]).unwrap().is_empty());
        for text in ["", "RWQ", "ssh-ed25519 AAAA"] {
            let error = PluginKeys::parse(&[text.to_owned()]).unwrap_err();
            assert!(error.contains("minisign.pub"), "{error}");
        }
    }
}
