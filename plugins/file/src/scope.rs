//! Which files are read: the include and exclude globs.
//!
//! Globs are matched over the normalised path in lower case. One without a slash matches the name in any folder.

use fast_glob::glob_match;
use tributary_plugin_sdk::Failure;
use unicode_normalization::UnicodeNormalization;

use crate::{config::Config, file};

/// The globs of a configuration, ready to match.
pub(crate) struct Scope {
    include: Vec<Glob>,
    exclude: Vec<Glob>,
}

struct Glob {
    pattern: String,
    by_name: bool,
    /// The folders that every match lies in.
    folder: String,
}

impl Scope {
    /// # Errors
    /// `config`, pointing at a glob that is not valid.
    pub(crate) fn new(config: &Config) -> Result<Self, Failure> {
        Ok(Self { include: globs("include", &config.include)?, exclude: globs("exclude", &config.exclude)? })
    }

    /// Whether a file is read. `path` is normalised; its folders were entered.
    pub(crate) fn reads(&self, path: &str) -> bool {
        let path = path.to_lowercase();
        let included = if self.include.is_empty() {
            file::is_supported(&path)
        } else {
            self.include.iter().any(|glob| glob.matches(&path))
        };
        included && !self.exclude.iter().any(|glob| glob.matches(&path))
    }

    /// Whether anything in a folder may be read. `dir` is normalised.
    pub(crate) fn enters(&self, dir: &str) -> bool {
        let dir = dir.to_lowercase();
        let leads_in = |glob: &Glob| is_within(&dir, &glob.folder) || is_within(&glob.folder, &dir);
        (self.include.is_empty() || self.include.iter().any(leads_in))
            && !self.exclude.iter().any(|glob| glob.matches_folder(&dir))
    }
}

impl Glob {
    fn matches(&self, path: &str) -> bool {
        let subject = if self.by_name { path.rsplit('/').next().unwrap_or(path) } else { path };
        glob_match(&self.pattern, subject)
    }

    /// Whether all of a folder is matched: itself, or everything in it.
    fn matches_folder(&self, dir: &str) -> bool {
        self.matches(dir) || self.pattern.strip_suffix("/**").is_some_and(|pattern| glob_match(pattern, dir))
    }
}

fn is_within(path: &str, folder: &str) -> bool {
    folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn globs(field: &str, patterns: &[String]) -> Result<Vec<Glob>, Failure> {
    let parse = |(place, pattern): (usize, &String)| {
        let pointer = format!("/{field}/{place}");
        fast_glob::validate(pattern)
            .map_err(|error| Failure::config(&pointer, format!("The glob `{pattern}` is not valid: {error}.")))?;
        if pattern.starts_with('!') {
            return Err(Failure::config(
                &pointer,
                "A glob cannot start with `!`; list what to leave out under `exclude`.",
            ));
        }
        let normal: String = pattern.nfc().collect::<String>().to_lowercase();
        let normal = normal.trim_start_matches("./").trim_matches('/');
        if normal.is_empty() {
            return Err(Failure::config(
                &pointer,
                format!("The glob `{pattern}` matches nothing; `**` matches everything."),
            ));
        }
        let folder = normal.find(['*', '?', '[', '{', '\\']).map_or(normal, |special| &normal[..special]);
        Ok(Glob {
            by_name: !normal.contains('/') && normal != "**",
            folder: folder.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned(),
            pattern: normal.to_owned(),
        })
    };
    patterns.iter().enumerate().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(include: &[&str], exclude: &[&str]) -> Scope {
        let config = serde_json::json!({ "root": "r", "include": include, "exclude": exclude });
        Scope::new(&serde_json::from_value(config).unwrap()).unwrap()
    }

    #[test]
    fn globs_match_as_people_expect() {
        let all = scope(&[], &[]);
        assert!(all.reads("a/README.MD") && all.reads("x.csv") && !all.reads("logo.png"));
        let some = scope(&["docs/**/*.{md,html}", "*.txt"], &["**/draft/**", "secret.*"]);
        assert!(some.reads("docs/a.md") && some.reads("docs/x/y/b.html") && some.reads("anywhere/c.txt"));
        assert!(!some.reads("a.md") && !some.reads("docs/secret.md"));
        assert!(scope(&["**"], &[]).reads("a/b.xyz"));
    }

    #[test]
    fn folders_without_matches_are_not_entered() {
        let some = scope(&["docs/guide/**/*.md", "shop/*.csv"], &["**/draft/**", ".git", "docs/guide/old"]);
        assert!(some.enters("docs") && some.enters("docs/guide") && some.enters("docs/guide/a") && some.enters("shop"));
        assert!(!some.enters("src") && !some.enters("docs/other") && !some.enters("docs/guide/draft"));
        assert!(!some.enters("docs/guide/x/.git") && !some.enters("docs/guide/old"));
    }

    #[test]
    fn a_bad_glob_is_named() {
        let config = serde_json::json!({ "root": "r", "include": ["*.md", "{a"] });
        let failure = Scope::new(&serde_json::from_value(config).unwrap()).err().unwrap();
        assert_eq!(failure.config_pointer.as_deref(), Some("/include/1"));
        assert!(failure.message.starts_with("The glob `{a` is not valid: unclosed brace"), "{}", failure.message);
    }
}
