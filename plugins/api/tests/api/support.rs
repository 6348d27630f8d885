//! A source over a fake, with the requests it made.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value as Json;
use tributary_fakes::{Fake, Secret, script};
use tributary_plugin_api::ApiConnector;
use tributary_plugin_sdk::{
    CheckItem, Connector, Content, Document, Failure, HttpRequest, check,
    testing::{PullLimits, Synced, TestHost, hosts_of, sync},
};

/// The moment at which the runs start, after everything the fakes hold: 2026-06-01.
pub const NOW_MS: i64 = 1_780_272_000_000;

pub struct Source {
    pub host: TestHost,
    pub config: Json,
    pub limits: PullLimits,
    pub synced: Synced,
    /// Of the last run.
    pub requests: Vec<HttpRequest>,
}

impl Source {
    pub fn new(fake: Arc<dyn Fake>, credentials: &[(&'static str, Secret)], config: Json) -> Self {
        assert_valid(&config);
        Self::unchecked(fake, credentials, config)
    }

    /// A source with a configuration that the server may refuse.
    pub fn plain_unchecked(answer: impl Fake, config: Json) -> Self {
        Self::unchecked(Arc::new(answer), &[], config)
    }

    fn unchecked(fake: Arc<dyn Fake>, credentials: &[(&'static str, Secret)], config: Json) -> Self {
        let host = TestHost::new().with_http(script(fake, credentials));
        let limits = PullLimits { upper_bound: NOW_MS, ..PullLimits::default() };
        Self { host, config, limits, synced: Synced::default(), requests: Vec::new() }
    }

    /// A source over answers without credentials.
    pub fn plain(answer: impl Fake, config: Json) -> Self {
        Self::new(Arc::new(answer), &[], config)
    }

    pub fn recipe(fake: Arc<dyn Fake>, secret: Secret, name: &str, parameters: &[(&str, &str)]) -> Self {
        let parameters: BTreeMap<_, _> = parameters.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let config = tributary_recipes::render(name, &parameters).unwrap();
        let credential = config["auth"]["credential"].as_str().unwrap_or_default().to_owned();
        let credential: &'static str = credential.leak();
        Self::new(fake, &[(credential, secret)], config)
    }

    pub fn try_sync(&mut self) -> Result<(), Failure> {
        let result = sync::<ApiConnector>(&self.host, &self.config.to_string(), self.limits, &mut self.synced);
        self.requests = self.host.take_requests();
        result
    }

    pub fn sync(&mut self) -> &Synced {
        self.try_sync().unwrap();
        &self.synced
    }

    pub fn failure(&mut self) -> Failure {
        self.try_sync().unwrap_err()
    }

    pub fn ids(&self) -> Vec<&str> {
        self.synced.documents.keys().map(String::as_str).collect()
    }

    pub fn document(&self, id: &str) -> &Document {
        self.synced.documents.get(id).unwrap_or_else(|| panic!("no {id} in {:?}", self.ids()))
    }

    pub fn text(&self, id: &str) -> String {
        match &self.document(id).content {
            Content::Sections(sections) => sections
                .iter()
                .map(|section| {
                    format!(
                        "{}{}",
                        section.heading.iter().map(|one| format!("{one}> ")).collect::<String>(),
                        section.text
                    )
                })
                .collect::<Vec<_>>()
                .join("\n\n"),
            other => panic!("{id} has {other:?}"),
        }
    }

    /// (written, unchanged, deleted) of the last run.
    pub fn counts(&self) -> (u64, u64, u64) {
        (self.synced.written, self.synced.unchanged, self.synced.deleted)
    }

    pub fn check(&self) -> Vec<CheckItem> {
        let config = self.config.to_string();
        self.host.grant_hosts(hosts_of(&ApiConnector::describe(), &config).unwrap());
        check::<ApiConnector>(&self.host, &config).unwrap()
    }

    /// Paths with queries of the last run's requests.
    pub fn urls(&self) -> Vec<&str> {
        self.requests.iter().map(|request| request.url.splitn(4, '/').nth(3).unwrap_or_default()).collect()
    }
}

/// As the server looks at a configuration before the connector does.
pub fn assert_valid(config: &Json) {
    let schema: Json = serde_json::from_str(&ApiConnector::describe().config_schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<_> = validator.iter_errors(config).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}
