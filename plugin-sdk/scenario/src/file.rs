//! What a scenario's file may say.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;

use crate::Failure;

/// 2026-01-01T00:00:00Z, when runs start that do not say when.
const DEFAULT_NOW_MS: i64 = 1_767_225_600_000;

/// A scenario: one run, or several one after the other over what the earlier ones left.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it shows, in a sentence.
    #[serde(default)]
    pub name: String,
    /// The source's configuration.
    #[serde(default)]
    pub config: Value,
    /// What is known before the first run.
    #[serde(default)]
    pub before: Known,
    /// Scripted answers, for runs that have none of their own.
    #[serde(default)]
    pub http: Vec<Exchange>,
    /// Files by root, for runs that have none of their own.
    #[serde(default)]
    pub files: Files,
    /// When runs start: Unix milliseconds.
    #[serde(default = "default_now_ms")]
    pub now_ms: i64,
    /// Most changes in a page.
    #[serde(default = "default_max_items")]
    pub max_items: u32,
    /// What the only run must bring.
    pub expect: Option<Expected>,
    /// The runs, when there are several.
    #[serde(default)]
    pub runs: Vec<Run>,
    /// Where its files are looked for.
    #[serde(skip)]
    pub(crate) directory: PathBuf,
}

/// Files by root and path.
pub type Files = BTreeMap<String, BTreeMap<String, FileContent>>;

/// One of several runs. What it does not say is as the scenario says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// What it shows.
    #[serde(default)]
    pub name: String,
    /// Configuration from now on.
    pub config: Option<Value>,
    /// Answers.
    pub http: Option<Vec<Exchange>>,
    /// All files that are there.
    pub files: Option<Files>,
    /// Read everything again.
    #[serde(default)]
    pub full: bool,
    /// What it must bring.
    #[serde(default)]
    pub expect: Expected,
}

/// What is known of a source.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// Fingerprints of documents and containers.
    #[serde(default)]
    pub ledger: BTreeMap<String, String>,
    /// What the connector remembers.
    #[serde(default)]
    pub state: BTreeMap<String, String>,
}

/// A request and its answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// Which requests.
    pub request: Request,
    /// What they get.
    pub response: Response,
}

/// Requests that an answer is for. Of several that fit, the one that says most is taken, the first of those.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// GET unless it says otherwise.
    #[serde(default = "get")]
    pub method: String,
    /// Absolute; parameters in it are as if they stood in `query`.
    pub url: String,
    /// Values that parameters have; null means that the parameter is not there. Others may be there.
    #[serde(default)]
    pub query: BTreeMap<String, Value>,
    /// Values that headers have, whatever the case of their names.
    #[serde(default, alias = "header")]
    pub headers: BTreeMap<String, String>,
    /// What the body contains.
    #[serde(default)]
    pub body: OneOrMany,
    /// Name of the credential that it is authorised by.
    pub credential: Option<String>,
}

/// An answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// 200 unless it says otherwise.
    #[serde(default = "ok")]
    pub status: u16,
    /// Headers.
    #[serde(default, alias = "header")]
    pub headers: BTreeMap<String, String>,
    /// Body as text.
    pub body: Option<String>,
    /// Body as JSON.
    pub json: Option<Value>,
    /// Body from a file, relative to the scenario.
    pub file: Option<PathBuf>,
    /// Given so many times; without end when it does not say.
    pub times: Option<u32>,
    /// No answer at all: what the host says instead.
    pub failure: Option<Failure>,
}

/// A file in a root.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum FileContent {
    /// Text.
    Text(String),
    /// A file, relative to the scenario.
    #[serde(rename_all = "snake_case")]
    File {
        /// Its path.
        file: PathBuf,
    },
}

/// A text or several.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// Nothing.
    #[default]
    None,
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl OneOrMany {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let (one, many) = match self {
            Self::None => (None, &[][..]),
            Self::One(one) => (Some(one.as_str()), &[][..]),
            Self::Many(many) => (None, many.as_slice()),
        };
        one.into_iter().chain(many.iter().map(String::as_str))
    }
}

/// What a run must bring. What is not said is not looked at.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// All documents that are there after the run, by external id.
    pub documents: Option<BTreeMap<String, ExpectedDocument>>,
    /// Other documents may be there as well.
    #[serde(default)]
    pub more_documents: bool,
    /// Documents that the run sent with their content.
    pub written: Option<Vec<String>>,
    /// Documents that the run removed.
    pub deleted: Option<Vec<String>>,
    /// Items that could not be read, with their fault or code.
    pub failed: Option<BTreeMap<String, String>>,
    /// Most requests.
    pub requests: Option<usize>,
    /// Whether absence means deleted.
    pub exhaustive: Option<bool>,
    /// How the run fails: a fault or code. Without it the run must not fail.
    pub failure: Option<String>,
    /// What the connector remembers after the run.
    pub state: Option<BTreeMap<String, String>>,
    /// Things that a check finds failed: names or config pointers. Empty: the check is fine.
    pub check_failed: Option<Vec<String>>,
}

/// What a document must be like.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedDocument {
    /// The title.
    pub title: Option<String>,
    /// The kind.
    pub kind: Option<String>,
    /// What the text contains.
    #[serde(default)]
    pub text: OneOrMany,
    /// What the text does not contain.
    #[serde(default)]
    pub not_text: OneOrMany,
    /// The address.
    pub url: Option<String>,
    /// Values of fields; null means that the field is not there.
    #[serde(default)]
    pub fields: BTreeMap<String, Value>,
}

impl Scenario {
    /// Reads a file.
    ///
    /// # Errors
    /// One sentence with the file's name.
    pub fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let text = fs::read_to_string(path).map_err(|error| format!("{shown} cannot be read: {error}"))?;
        let mut scenario = Self::parse(&text).map_err(|error| format!("{shown}: {error}"))?;
        scenario.directory = path.parent().unwrap_or(Path::new(".")).to_path_buf();
        if scenario.name.is_empty() {
            scenario.name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        }
        Ok(scenario)
    }

    /// Reads JSON text; files are looked for in the working directory.
    ///
    /// # Errors
    /// One sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let scenario: Self = serde_json::from_str(text).map_err(|error| format!("this is no scenario: {error}"))?;
        if scenario.expect.is_some() && !scenario.runs.is_empty() {
            return Err("this is no scenario: with `runs`, each run has an `expect` of its own".to_owned());
        }
        Ok(scenario)
    }

    /// Whether its first run is expected to end well, so that [`conformance`](crate::conformance) can start from it.
    pub fn works(&self) -> bool {
        self.runs().first().is_some_and(|run| run.expect.failure.is_none())
    }

    /// Its runs, at least one.
    pub(crate) fn runs(&self) -> Vec<Run> {
        match self.runs.is_empty() {
            true => vec![Run { expect: self.expect.clone().unwrap_or_default(), ..Run::default() }],
            false => self.runs.clone(),
        }
    }
}

fn default_now_ms() -> i64 {
    DEFAULT_NOW_MS
}

fn default_max_items() -> u32 {
    256
}

fn get() -> String {
    "GET".to_owned()
}

fn ok() -> u16 {
    200
}
