//! GitHub: issues and comments of the REST API as its documentation describes them.
//!
//! The traps are in: links to the next page lead from `/repos/OWNER/REPO` to `/repositories/ID`, pull requests are listed as issues,
//! the primary limit is a 403 with `x-ratelimit-remaining: 0` and the secondary one a 429 with `retry-after`, and `If-None-Match`
//! gets a 304.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::{Answer, Fake, Request, iso};

/// The token.
pub const TOKEN: &str = "github_pat_reader";
/// The repository.
pub const REPOSITORY: &str = "octocat/hello-world";
const REPOSITORY_ID: &str = "1296269";

/// A repository.
#[derive(Debug, Default)]
pub struct GitHub {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    issues: Vec<Value>,
    comments: Vec<Value>,
    /// Answers given before anything else is looked at, last first.
    refusals: Vec<Answer>,
}

impl GitHub {
    /// A repository with so many issues, every tenth of which is a pull request and every third of which has a comment.
    pub fn with_issues(count: u64) -> Self {
        let github = Self::default();
        for number in 1..=count {
            let at_s = 1_767_225_600 + number as i64 * 60;
            github.put(number, at_s, &format!("Issue {number}"), number % 10 == 0);
            if number % 3 == 0 {
                github.put_comment(number * 100, number, at_s, "I see it *too*.");
            }
        }
        github
    }

    /// Adds an issue or changes it, at this moment in seconds since 1970.
    pub fn put(&self, number: u64, at_s: i64, title: &str, is_pull: bool) {
        let mut inner = self.inner();
        inner.issues.retain(|one| one["number"] != number);
        let kind = if is_pull { "pull" } else { "issues" };
        let mut issue = json!({
            "id": 1_000_000 + number, "number": number, "title": title, "state": "open", "locked": false,
            "html_url": format!("https://github.com/{REPOSITORY}/{kind}/{number}"), "user": { "login": "octocat", "id": 1 },
            "labels": [{ "id": 1, "name": "bug" }, { "id": 2, "name": "help wanted" }], "assignees": [], "milestone": null, "comments": 0,
            "created_at": format!("{}Z", iso(1_767_225_600 + number as i64)), "updated_at": format!("{}Z", iso(at_s)), "closed_at": null,
            "body": format!("It breaks.\n\n## Steps\n\n1. Open {title}\n"),
        });
        if is_pull {
            issue["pull_request"] =
                json!({ "url": format!("https://api.github.com/repos/{REPOSITORY}/pulls/{number}") });
        }
        inner.issues.push(issue);
        inner.issues.sort_by_key(|one| one["number"].as_u64());
    }

    /// Adds a comment or changes it.
    pub fn put_comment(&self, id: u64, issue: u64, at_s: i64, body: &str) {
        let mut inner = self.inner();
        let is_pull = inner.issues.iter().any(|one| one["number"] == issue && one.get("pull_request").is_some());
        let kind = if is_pull { "pull" } else { "issues" };
        inner.comments.retain(|one| one["id"] != id);
        inner.comments.push(json!({
            "id": id, "html_url": format!("https://github.com/{REPOSITORY}/{kind}/{issue}#issuecomment-{id}"),
            "issue_url": format!("https://api.github.com/repos/{REPOSITORY}/issues/{issue}"), "user": { "login": "hubot", "id": 2 },
            "created_at": format!("{}Z", iso(1_767_225_600 + id as i64)), "updated_at": format!("{}Z", iso(at_s)), "body": body,
        }));
        inner.comments.sort_by_key(|one| one["id"].as_u64());
    }

    /// Takes an issue away, and its comments.
    pub fn delete(&self, number: u64) {
        let mut inner = self.inner();
        inner.issues.retain(|one| one["number"] != number);
        let url = format!("https://api.github.com/repos/{REPOSITORY}/issues/{number}");
        inner.comments.retain(|one| one["issue_url"] != url);
    }

    /// The next request meets the primary limit, which ends so many seconds later by GitHub's clock.
    pub fn limit_next(&self, seconds: i64) {
        let now_s = 1_790_000_000;
        let answer = message(403, "API rate limit exceeded for user ID 1.")
            .header("date", http_date(now_s))
            .header("x-ratelimit-limit", "5000")
            .header("x-ratelimit-remaining", "0")
            .header("x-ratelimit-reset", (now_s + seconds).to_string());
        self.inner().refusals.insert(0, answer);
    }

    /// The next request meets the secondary limit.
    pub fn limit_next_secondary(&self, seconds: u32) {
        let answer =
            message(429, "You have exceeded a secondary rate limit.").header("retry-after", seconds.to_string());
        self.inner().refusals.insert(0, answer);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn http_date(at_s: i64) -> String {
    chrono::DateTime::from_timestamp(at_s, 0).unwrap_or_default().format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn message(status: u16, text: &str) -> Answer {
    Answer::json(&json!({ "message": text, "documentation_url": "https://docs.github.com/rest" })).with_status(status)
}

impl Fake for GitHub {
    fn answer(&self, request: &Request) -> Answer {
        let mut inner = self.inner();
        if let Some(refusal) = inner.refusals.pop() {
            return refusal;
        }
        if request.header("authorization") != Some(&format!("Bearer {TOKEN}")) {
            return message(401, "Bad credentials");
        }
        let rest = request
            .path
            .strip_prefix(&format!("/repos/{REPOSITORY}/"))
            .or_else(|| request.path.strip_prefix(&format!("/repositories/{REPOSITORY_ID}/")));
        let items = match rest {
            Some("issues") => &inner.issues,
            Some("issues/comments") => &inner.comments,
            // What a token may not see is not there.
            _ => return message(404, "Not Found"),
        };
        let since = request.param("since");
        let state = request.param("state").unwrap_or("open");
        let mut found: Vec<&Value> = items
            .iter()
            .filter(|one| state == "all" || one.get("state").is_none_or(|given| given == state))
            .filter(|one| since.is_none_or(|since| one["updated_at"].as_str().is_some_and(|at| at >= since)))
            .collect();
        let key = if request.param("sort") == Some("updated") { "updated_at" } else { "created_at" };
        found.sort_by_key(|one| one[key].as_str());
        if request.param("direction") != Some("asc") {
            found.reverse();
        }
        let number =
            |name: &str, usual: usize| request.param(name).and_then(|text| text.parse().ok()).unwrap_or(usual).max(1);
        let (page, per_page) = (number("page", 1), number("per_page", 30).min(100));
        let pages = found.len().div_ceil(per_page);
        let items: Vec<&Value> = found.into_iter().skip((page - 1) * per_page).take(per_page).collect();
        let body = json!(items).to_string();
        let hash = body
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        let etag = format!("W/\"{hash:016x}\"");
        if request.header("if-none-match") == Some(&etag) {
            return Answer::status(304).header("etag", etag);
        }
        let link = |to: usize, relation: &str| {
            let others = request.query.iter().filter(|(name, _)| name != "page");
            let query: String = url::form_urlencoded::Serializer::new(String::new())
                .extend_pairs(others)
                .append_pair("page", &to.to_string())
                .finish();
            format!(
                "<{}/repositories/{REPOSITORY_ID}/{}?{query}>; rel=\"{relation}\"",
                request.origin,
                rest.unwrap_or_default()
            )
        };
        let mut answer = Answer::ok(body)
            .header("content-type", "application/json; charset=utf-8")
            .header("etag", etag)
            .header("x-ratelimit-remaining", "4999")
            .header("x-ratelimit-reset", "1790003600");
        if page < pages {
            answer = answer.header("link", format!("{}, {}", link(page + 1, "next"), link(pages, "last")));
        }
        answer
    }
}
