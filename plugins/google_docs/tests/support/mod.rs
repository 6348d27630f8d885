//! A Google with some files in it, a host, and what a source has read.
#![allow(dead_code)] // each test binary uses its own part

use std::sync::Arc;

use serde_json::{Value, json};
use tributary_fakes::{
    Secret,
    google::{DOCUMENT, DRIVE_READONLY, Google, PRESENTATION, SPREADSHEET},
    script,
};
use tributary_plugin_google_docs::GoogleDocs;
use tributary_plugin_sdk::{
    CheckItem, Connector, Failure,
    testing::{PullLimits, Synced, TestHost, sync},
};

pub struct World {
    pub google: Arc<Google>,
    pub host: TestHost,
    pub config: Value,
    pub limits: PullLimits,
    pub synced: Synced,
}

impl World {
    /// A folder `handbook` that is shared and selected, and nothing in it.
    pub fn empty() -> Self {
        let google = Arc::new(Google::new());
        google.add_shared_folder("handbook", "Handbook");
        let token = google.token(&[DRIVE_READONLY]);
        let host = TestHost::new().with_http(script(google.clone(), &[("google", Secret::Token(token))]));
        let config = json!({ "credential": "google", "folders": ["handbook"] });
        Self { google, host, config, limits: PullLimits::default(), synced: Synced::default() }
    }

    /// The same with files of every kind, in two levels of folders, and things that cannot be read.
    pub fn new() -> Self {
        let world = Self::empty();
        let google = &world.google;
        google.add("welcome", "Welcome", DOCUMENT, Some("handbook"), "# Welcome\nWe are glad.");
        google.add("prices", "Prices", SPREADSHEET, Some("handbook"), "a workbook");
        google.add("pitch", "Pitch", PRESENTATION, Some("handbook"), "First slide");
        google.add("guide", "guide.pdf", "application/pdf", Some("handbook"), "%PDF-1.7 guide");
        google.add("logo", "logo.png", "image/png", Some("handbook"), "png");
        google.add("survey", "Survey", "application/vnd.google-apps.form", Some("handbook"), "");
        google.add_folder("teams", "Teams", "handbook");
        google.add("sales", "Sales", DOCUMENT, Some("teams"), "We sell.");
        google.add_folder("deep", "Deep", "teams");
        google.add("notes", "notes.md", "text/markdown", Some("deep"), "# Notes");
        google.take_downloads();
        world
    }

    pub fn configured(mut self, field: &str, value: Value) -> Self {
        self.config[field] = value;
        self
    }

    pub fn items_per_page(mut self, max_items: u32) -> Self {
        self.limits.max_items = max_items;
        self
    }

    pub fn sync(&mut self) -> Result<(), Failure> {
        self.sync_as::<GoogleDocs>()
    }

    pub fn sync_as<C: Connector>(&mut self) -> Result<(), Failure> {
        sync::<C>(&self.host, &self.config.to_string(), self.limits, &mut self.synced)
    }

    pub fn check(&self) -> Vec<CheckItem> {
        tributary_plugin_sdk::check::<GoogleDocs>(&self.host, &self.config.to_string()).expect("a check")
    }

    /// Ids of what the source holds.
    pub fn ids(&self) -> Vec<&str> {
        self.synced.documents.keys().map(String::as_str).collect()
    }

    /// Path of a document, with its name.
    pub fn path(&self, id: &str) -> String {
        self.synced.documents[id].provenance.path.join("/")
    }

    /// Text of a document.
    pub fn text(&self, id: &str) -> String {
        match &self.synced.documents[id].content {
            tributary_plugin_sdk::Content::Sections(sections) => {
                sections.iter().map(|section| section.text.as_str()).collect::<Vec<_>>().join("\n")
            }
            other => panic!("{other:?}"),
        }
    }

    /// Requests since the last call, and contents given out.
    pub fn spent(&self) -> (usize, u64) {
        (self.host.take_requests().len(), self.google.take_downloads())
    }
}

/// Documents without what only tells about fetching.
pub fn contents(synced: &Synced) -> Vec<(String, String, Vec<String>)> {
    let one = |(id, document): (&String, &tributary_plugin_sdk::Document)| {
        (id.clone(), format!("{:?}", document.content), document.provenance.path.clone())
    };
    synced.documents.iter().map(one).collect()
}
