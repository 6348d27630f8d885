//! `tributary plugin new`: a project with the SDK and the contract that this server was built with.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use clap::{Args, ValueEnum};

/// Path and text of every file of the SDK and the contract, relative to `vendor/`.
static VENDORED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/vendored.rs"));

/// The project: path and template.
const TEMPLATES: [(&str, &str); 11] = [
    ("Cargo.toml", include_str!("template/project.toml")),
    ("README.md", include_str!("template/README.md")),
    (".gitignore", include_str!("template/gitignore")),
    ("src/lib.rs", include_str!("template/lib.rs")),
    ("src/config.schema.json", include_str!("template/config.schema.json")),
    ("tests/connector.rs", include_str!("template/connector.rs")),
    ("tests/scenarios/articles.json", include_str!("template/scenarios/articles.json")),
    ("tests/scenarios/refused.json", include_str!("template/scenarios/refused.json")),
    ("config.json", include_str!("template/config.json")),
    ("vendor/plugin-sdk/Cargo.toml", include_str!("template/sdk.toml")),
    ("vendor/plugin-sdk/scenario/Cargo.toml", include_str!("template/scenario.toml")),
];

/// Names that no crate can have: Rust's own words, and crates that the project depends on.
const RESERVED: &str = "as async await box break const continue crate do dyn else enum extern false fn for gen if impl in let \
    loop match mod move mut pub ref return self static struct super trait true try type unsafe use where while yield \
    alloc core proc_macro std test serde tributary_plugin_sdk tributary_scenario";

#[derive(Args)]
pub(super) struct New {
    /// Name of the connector: a-z, 0-9, `-` and `_`
    name: String,
    /// Write into this folder, which must be empty, and not into a new one
    #[arg(long)]
    here: bool,
    /// Language
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    language: Language,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    Rust,
    Python,
    Javascript,
}

impl New {
    pub(super) fn run(self) -> anyhow::Result<()> {
        ensure!(
            self.language == Language::Rust,
            "only connectors in Rust can be begun with this command yet; others are components of the same contract, wit/v0_1/connector.wit"
        );
        let names = Names::new(&self.name)?;
        let folder = if self.here { env::current_dir()? } else { PathBuf::from(&self.name) };
        if folder.exists() && fs::read_dir(&folder)?.next().is_some() {
            let advice = if self.here { "go to an empty one" } else { "choose another name" };
            bail!("{} is not empty; {advice}", folder.display());
        }
        for (path, template) in TEMPLATES {
            write(&folder.join(path), &names.fill(template))?;
        }
        for (path, text) in VENDORED {
            write(&folder.join("vendor").join(path), text)?;
        }
        println!("{} is a connector now: src/lib.rs is its code, tests/scenarios what it must do.", folder.display());
        if !self.here {
            println!("  cd {}", self.name);
        }
        println!("  tributary plugin doctor    # once: what building needs\n  cargo test\n  tributary plugin test");
        Ok(())
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let shown = path.display();
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("{shown} cannot be written"))
}

/// A name in the forms that the templates need.
struct Names {
    /// `my-shop`, the connector's id and the package.
    name: String,
    /// `my_shop`
    crate_name: String,
    /// `MyShop`
    type_name: String,
    /// `My shop`
    title: String,
}

impl Names {
    fn new(name: &str) -> anyhow::Result<Self> {
        let plain = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || matches!(char, '-' | '_');
        let good =
            name.starts_with(|char: char| char.is_ascii_lowercase()) && name.chars().all(plain) && name.len() <= 64;
        ensure!(
            good,
            "{name:?} cannot be a connector's name: it has a-z, 0-9, `-` and `_`, begins with a letter, and is at most 64 long"
        );
        let words: Vec<&str> = name.split(['-', '_']).filter(|word| !word.is_empty()).collect();
        let capital = |word: &str| word[..1].to_ascii_uppercase() + &word[1..];
        let mut type_name: String = words.iter().map(|word| capital(word)).collect();
        let crate_name = name.replace('-', "_");
        ensure!(
            !RESERVED.split_whitespace().any(|word| word == crate_name),
            "{name:?} means something to Rust; choose another name"
        );
        // No name that `use tributary_plugin_sdk::*` or the standard library brings.
        type_name.push_str("Connector");
        Ok(Self { name: name.to_owned(), crate_name, type_name, title: capital(&words.join(" ")) })
    }

    fn fill(&self, template: &str) -> String {
        let values = [
            ("{{name}}", self.name.as_str()),
            ("{{package}}", &self.name),
            ("{{crate}}", &self.crate_name),
            ("{{Type}}", &self.type_name),
            ("{{Title}}", &self.title),
            ("{{version}}", env!("CARGO_PKG_VERSION")),
        ];
        values.iter().fold(template.to_owned(), |text, (mark, value)| text.replace(mark, value))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use toml::{Table, Value};

    use super::*;

    #[test]
    fn a_name_takes_every_form_that_rust_wants() {
        let names = Names::new("my-web_shop2").unwrap();
        assert_eq!(
            names.fill("{{name}} {{crate}} {{Type}} {{Title}}"),
            "my-web_shop2 my_web_shop2 MyWebShop2Connector My web shop2"
        );
        for bad in ["", "-shop", "2shop", "Shop", "shop/..", "a b", "crate", "serde", &"x".repeat(65)] {
            assert!(Names::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_guide_shows_what_is_written() {
        let guide = include_str!("../../../../docs/write-a-connector.md");
        let names = Names::new("helpdesk").unwrap();
        for path in ["src/lib.rs", "src/config.schema.json", "tests/scenarios/refused.json"] {
            let (_, template) = TEMPLATES.iter().find(|(one, _)| *one == path).unwrap();
            assert!(guide.contains(names.fill(template).trim_end()), "docs/write-a-connector.md shows another {path}");
        }
    }

    /// Name, requirement, default features and features of every dependency, for any target.
    fn dependencies(manifest: &str, workspace: &Table) -> BTreeMap<String, (String, Vec<String>)> {
        let manifest: Table = manifest.parse().unwrap();
        let mut tables = vec![manifest.get("dependencies")];
        tables.extend(
            manifest
                .get("target")
                .and_then(Value::as_table)
                .into_iter()
                .flatten()
                .map(|(_, one)| one.get("dependencies")),
        );
        let entries = tables.into_iter().flatten().filter_map(Value::as_table).flatten();
        let entry = |(name, entry): (&String, &Value)| {
            let given = entry.get("workspace").map_or(entry, |_| &workspace[name]);
            let version = given.as_str().or_else(|| given.get("version")?.as_str()).unwrap_or("path").to_owned();
            let plain = given.get("default-features").is_some_and(|with| with.as_bool() == Some(false));
            let features = given.get("features").and_then(Value::as_array).into_iter().flatten();
            let mut features: Vec<_> = features.filter_map(|one| Some(one.as_str()?.to_owned())).collect();
            features.extend(plain.then(|| "no defaults".to_owned()));
            (name.clone(), (version, features))
        };
        entries.map(entry).collect()
    }

    #[test]
    fn the_written_sdk_has_the_dependencies_of_the_real_one() {
        let root: Table = include_str!("../../../../Cargo.toml").parse().unwrap();
        let workspace = root["workspace"]["dependencies"].as_table().unwrap();
        for (written, real) in [
            (include_str!("template/sdk.toml"), include_str!("../../../../plugin-sdk/Cargo.toml")),
            (include_str!("template/scenario.toml"), include_str!("../../../../plugin-sdk/scenario/Cargo.toml")),
        ] {
            assert_eq!(dependencies(written, workspace), dependencies(real, workspace));
            for field in ["edition", "rust-version"] {
                let written: Table = written.parse().unwrap();
                assert_eq!(written["package"][field], root["workspace"]["package"][field], "{field}");
            }
        }
    }

    #[test]
    fn the_sdk_and_the_contract_are_written_whole() {
        let has = |path: &str| VENDORED.iter().any(|(one, _)| *one == path);
        assert!(has("plugin-sdk/src/lib.rs") && has("plugin-sdk/scenario/src/lib.rs") && has("wit/v0_1/connector.wit"));
        let sources = VENDORED.iter().filter(|(path, _)| path.ends_with(".rs"));
        assert!(
            sources.clone().all(|(_, text)| !text.contains("include_str!(\"../../")),
            "nothing leads out of vendor/"
        );
    }
}
