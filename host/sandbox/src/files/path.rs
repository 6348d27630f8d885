//! Relative paths as a guest may write them.

use tributary_core::contract::{Failure, Fault};

use super::quoted;

const MAX_PATH_BYTES: usize = 4096;
const MAX_DEPTH: usize = 128;

/// Plain names joined by `/`; nothing that goes up, starts at the top, or means the same as another spelling.
pub(super) struct RelativePath<'a>(Vec<&'a str>);

impl<'a> RelativePath<'a> {
    /// Parses `path`; the empty path is the root itself.
    pub(super) fn parse(path: &'a str) -> Result<Self, Failure> {
        let refuse = |why: &str| {
            Failure::new(
                Fault::Permission,
                "path_not_allowed",
                format!("{} is not a path inside a root: {why}", quoted(path)),
            )
        };
        if path.is_empty() {
            return Ok(Self(Vec::new()));
        }
        if path.len() > MAX_PATH_BYTES {
            return Err(refuse("it is longer than 4096 bytes"));
        }
        if path.contains('\0') {
            return Err(refuse("it contains a NUL"));
        }
        let parts: Vec<_> = path.split('/').collect();
        if parts.len() > MAX_DEPTH {
            return Err(refuse("it has more than 128 parts"));
        }
        for part in &parts {
            match *part {
                "" => return Err(refuse("it starts or ends with a slash, or has two in a row")),
                "." | ".." => return Err(refuse("`.` and `..` are not allowed")),
                _ => {}
            }
        }
        Ok(Self(parts))
    }

    pub(super) fn parts(&self) -> &[&'a str] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_pass() {
        for good in ["", "a", "a/b.txt", "..a", "a b/ü", "a\\b"] {
            assert!(RelativePath::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "/",
            "/etc",
            "a/",
            "a//b",
            "..",
            "a/../b",
            "./a",
            "a/.",
            "a\0b",
            &"x".repeat(5000),
            &vec!["a"; 200].join("/"),
        ] {
            assert_eq!(RelativePath::parse(bad).err().unwrap().code, "path_not_allowed", "{bad}");
        }
    }
}
