//! The recipe for GitHub issues: links that move, pull requests among issues, two kinds of limits.

use std::sync::Arc;

use tributary_fakes::{
    Secret,
    github::{GitHub, TOKEN},
};
use tributary_plugin_api::ApiConnector;
use tributary_plugin_sdk::{Next, PullRequest, pull};

use crate::support::{NOW_MS, Source};

const LATER_S: i64 = 1_775_000_000;

fn repository(issues: u64, parameters: &[(&str, &str)]) -> (Arc<GitHub>, Source) {
    let github = Arc::new(GitHub::with_issues(issues));
    let all = [&[("owner", "octocat"), ("repo", "hello-world")], parameters].concat();
    (github.clone(), Source::recipe(github, Secret::Token(TOKEN), "github-issues", &all))
}

#[test]
fn issues_and_comments_come_through_links_that_move() {
    let (_, mut source) = repository(250, &[]);
    source.sync();
    // A tenth are pull requests, and so are a tenth of what is commented.
    assert_eq!(source.synced.documents.len(), 225 + 75);
    assert!(source.urls().iter().any(|url| url.starts_with("repositories/1296269/issues?")), "{:#?}", source.urls());
    assert!(source.text("issues/7").contains("Steps> 1. Open Issue 7"), "{}", source.text("issues/7"));
    assert_eq!(source.document("comments/300").provenance.authors, ["hubot"]);
    source.sync();
    assert_eq!((source.synced.written, source.synced.deleted, source.requests.len()), (0, 0, 3 + 1));
}

#[test]
fn changes_and_deletions_are_found() {
    let (github, mut source) = repository(250, &[]);
    source.sync();
    github.put(8, LATER_S, "Issue 8, better", false);
    github.put_comment(300, 3, LATER_S, "Not any more.");
    github.delete(9);
    source.sync();
    assert_eq!((source.synced.written, source.synced.deleted), (2, 2));
}

#[test]
fn without_deletions_only_what_changed_is_asked_for() {
    let (github, mut source) = repository(250, &[("deletions", "none")]);
    source.sync();
    github.put(8, LATER_S, "Issue 8, better", false);
    github.delete(9);
    source.sync();
    assert_eq!((source.synced.written, source.synced.deleted, source.requests.len()), (1, 0, 2));
    assert!(source.urls()[0].contains("since=2026-01-01T04%3A09%3A00Z"), "{}", source.urls()[0]);
    assert!(!source.synced.exhaustive);
}

#[test]
fn an_issue_that_becomes_a_pull_request_goes() {
    let (github, mut source) = repository(20, &[("deletions", "none")]);
    source.sync();
    github.put(8, LATER_S, "Issue 8", true);
    source.sync();
    assert!(!source.ids().contains(&"issues/8"));
}

#[test]
fn both_limits_wait_as_long_as_they_say() {
    let (github, source) = repository(5, &[]);
    let mut request = PullRequest {
        config: source.config.to_string(),
        cursor: None,
        full: false,
        upper_bound: NOW_MS,
        max_items: 256,
        max_bytes: 8 << 20,
        deadline_ms: 60_000,
    };
    github.limit_next(95);
    let page = pull::<ApiConnector>(&source.host, &request).unwrap();
    assert_eq!(page.next, Next::WaitMs(95_000));
    request.cursor = page.cursor;
    github.limit_next_secondary(30);
    let page = pull::<ApiConnector>(&source.host, &request).unwrap();
    assert_eq!(page.next, Next::WaitMs(30_000));
    request.cursor = page.cursor;
    assert_eq!(pull::<ApiConnector>(&source.host, &request).unwrap().next, Next::CompleteExhaustive);
}
