//! Scripted answers: which one a request gets, and why it gets none.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;
use url::Url;

use crate::{Exchange, Failure, Request, Response};

/// What a connector asks for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// `GET`, `HEAD` or `POST`.
    pub method: String,
    /// Absolute.
    pub url: String,
    /// As the connector wrote them.
    pub headers: Vec<(String, String)>,
    /// Of a `POST`.
    pub body: Option<Vec<u8>>,
    /// Name of the credential.
    pub credential: Option<String>,
    /// Longest answer it takes.
    pub max_bytes: u64,
}

impl Ask {
    /// Method and address, for messages.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.url)
    }
}

/// What a scripted source answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body, as the connector gets it: decompressed.
    pub body: Vec<u8>,
}

impl Answer {
    /// 200 with this body.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, headers: Vec::new(), body: body.into() }
    }

    /// 200 with a value as JSON.
    pub fn json(body: &Value) -> Self {
        Self::ok(body.to_string()).header("content-type", "application/json")
    }

    /// This status without a body.
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::ok([]) }
    }

    /// The same, with one more header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into().to_ascii_lowercase(), value.into()));
        self
    }

    /// The same, with another status.
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }
}

/// A scenario's answers, counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    exchanges: Vec<Scripted>,
}

#[derive(Clone, Debug)]
struct Scripted {
    wanted: Wanted,
    answer: Result<Answer, Failure>,
    left: Option<u32>,
}

/// A request pattern, ready to compare.
#[derive(Clone, Debug)]
struct Wanted {
    method: String,
    place: String,
    query: BTreeMap<String, Option<String>>,
    headers: BTreeMap<String, String>,
    body: Vec<String>,
    credential: Option<String>,
}

impl Script {
    pub(crate) fn new(exchanges: &[Exchange], directory: &Path) -> Result<Self, String> {
        let scripted = |exchange: &Exchange| {
            Ok(Scripted {
                wanted: Wanted::new(&exchange.request)?,
                answer: answer(&exchange.response, directory)?,
                left: exchange.response.times,
            })
        };
        Ok(Self { exchanges: exchanges.iter().map(scripted).collect::<Result<_, String>>()? })
    }

    /// Whether nothing is ever answered.
    pub(crate) fn is_empty(&self) -> bool {
        self.exchanges.is_empty()
    }

    /// The answer to a request.
    pub(crate) fn answer(&mut self, ask: &Ask) -> Result<Answer, Failure> {
        let differences: Vec<_> = self.exchanges.iter().map(|one| one.wanted.differences(ask)).collect();
        let fits = |(index, one): &(usize, &Scripted)| differences[*index].is_empty() && one.left != Some(0);
        // The last of equals wins in `max_by_key`, hence the order.
        let best = self.exchanges.iter().enumerate().filter(fits).rev().max_by_key(|(_, one)| one.wanted.says());
        if let Some((index, _)) = best {
            let chosen = &mut self.exchanges[index];
            chosen.left = chosen.left.map(|left| left - 1);
            return chosen.answer.clone();
        }
        Err(Failure::new("internal", "not_scripted", self.unmatched(ask, &differences)))
    }

    fn unmatched(&self, ask: &Ask, differences: &[Vec<String>]) -> String {
        let line = ask.line();
        // Another address is further away than anything else.
        let distance = |index: usize| {
            let same_place = Url::parse(&ask.url).is_ok_and(|url| place(&url) == self.exchanges[index].wanted.place);
            (!same_place, differences[index].len())
        };
        let nearest = differences.iter().enumerate().min_by_key(|(index, _)| distance(*index));
        match nearest {
            None => format!("{line} has no answer: the scenario scripts none"),
            Some((index, none)) if none.is_empty() => {
                let wanted = &self.exchanges[index].wanted;
                format!("{line} has no answer left: {} was answered as often as its `times` says", wanted.line())
            }
            Some((index, differences)) => {
                let wanted = &self.exchanges[index].wanted;
                format!("{line} has no answer; the nearest is {}: {}", wanted.line(), differences.join(", "))
            }
        }
    }
}

impl Wanted {
    fn new(request: &Request) -> Result<Self, String> {
        let url = Url::parse(&request.url).map_err(|error| format!("{:?} is no URL: {error}", request.url))?;
        let mut query: BTreeMap<_, _> =
            url.query_pairs().map(|(name, value)| (name.into_owned(), Some(value.into_owned()))).collect();
        query.extend(request.query.iter().map(|(name, value)| (name.clone(), plain(value))));
        Ok(Self {
            method: request.method.to_ascii_uppercase(),
            place: place(&url),
            query,
            headers: request.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect(),
            body: request.body.iter().map(str::to_owned).collect(),
            credential: request.credential.clone(),
        })
    }

    fn line(&self) -> String {
        format!("{} {}", self.method, self.place)
    }

    /// How much it asks for: of two that fit, the one that says more is meant.
    fn says(&self) -> usize {
        self.query.len() + self.headers.len() + self.body.len() + usize::from(self.credential.is_some())
    }

    /// Why a request does not fit. At another address nothing else matters.
    fn differences(&self, ask: &Ask) -> Vec<String> {
        let Ok(url) = Url::parse(&ask.url) else { return vec![format!("{:?} is no URL", ask.url)] };
        let mut found = Vec::new();
        if place(&url) != self.place {
            return vec![format!("the address is {}", place(&url))];
        }
        if ask.method != self.method {
            found.push(format!("the method is {}", ask.method));
        }
        let given: BTreeMap<_, _> = url.query_pairs().into_owned().collect();
        for (name, wanted) in &self.query {
            if given.get(name) != wanted.as_ref() {
                found.push(difference(&format!("parameter {name}"), given.get(name), wanted.as_ref()));
            }
        }
        for (name, wanted) in &self.headers {
            let given = ask.headers.iter().find(|(one, _)| one.eq_ignore_ascii_case(name)).map(|(_, value)| value);
            if given != Some(wanted) {
                found.push(difference(&format!("header {name}"), given, Some(wanted)));
            }
        }
        let body = String::from_utf8_lossy(ask.body.as_deref().unwrap_or_default());
        found.extend(
            self.body.iter().filter(|part| !body.contains(*part)).map(|part| format!("the body lacks {part:?}")),
        );
        if self.credential.is_some() && ask.credential != self.credential {
            found.push(difference("the credential", ask.credential.as_ref(), self.credential.as_ref()));
        }
        found
    }
}

fn difference(what: &str, given: Option<&String>, wanted: Option<&String>) -> String {
    let show = |value: Option<&String>| value.map_or_else(|| "not there".to_owned(), |value| format!("{value:?}"));
    format!("{what} is {} where {} is scripted", show(given), show(wanted))
}

/// Origin and path.
fn place(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

/// A parameter as text; null: it must not be there.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn answer(response: &Response, directory: &Path) -> Result<Result<Answer, Failure>, String> {
    if let Some(failure) = &response.failure {
        return Ok(Err(failure.clone()));
    }
    let mut answer = match (&response.body, &response.json, &response.file) {
        (None, None, None) => Answer::ok([]),
        (Some(body), None, None) => Answer::ok(body.as_bytes()),
        (None, Some(json), None) => Answer::json(json),
        (None, None, Some(file)) => {
            let path = directory.join(file);
            Answer::ok(fs::read(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?)
        }
        _ => return Err("an answer has one of `body`, `json` and `file`".to_owned()),
    };
    answer.status = response.status;
    for (name, value) in &response.headers {
        answer.headers.retain(|(one, _)| !one.eq_ignore_ascii_case(name));
        answer = answer.header(name, value);
    }
    Ok(Ok(answer))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn script(exchanges: Value) -> Script {
        Script::new(&serde_json::from_value::<Vec<Exchange>>(exchanges).unwrap(), Path::new(".")).unwrap()
    }

    fn ask(url: &str) -> Ask {
        Ask { method: "GET".into(), url: url.into(), headers: vec![], body: None, credential: None, max_bytes: 100 }
    }

    #[test]
    fn the_answer_that_says_most_is_given_as_often_as_it_may() {
        let mut script = script(json!([
            {"request": {"url": "https://a.test/items"}, "response": {"body": "first"}},
            {"request": {"url": "https://a.test/items?page=2"}, "response": {"body": "second", "times": 1}},
            {"request": {"url": "https://a.test/items", "query": {"page": 2, "x": null}}, "response": {"body": "third", "times": 1}},
        ]));
        let mut body = |url: &str| String::from_utf8(script.answer(&ask(url)).unwrap().body).unwrap();
        assert_eq!(body("https://a.test/items?page=1"), "first");
        assert_eq!(body("https://a.test/items?page=2"), "third");
        assert_eq!(body("https://a.test/items?page=2&x=1"), "second");
        assert_eq!(body("https://a.test/items?page=2"), "first");
    }

    #[test]
    fn a_request_without_an_answer_hears_of_the_nearest() {
        let mut script = script(json!([
            {"request": {"url": "https://a.test/other"}, "response": {}},
            {"request": {"url": "https://a.test/items?page=2", "header": {"X-Version": "3"}}, "response": {"status": 404, "times": 1}},
        ]));
        let message = script.answer(&ask("https://a.test/items?page=3")).unwrap_err().message;
        assert_eq!(
            message,
            "GET https://a.test/items?page=3 has no answer; the nearest is GET https://a.test/items: \
             parameter page is \"3\" where \"2\" is scripted, header x-version is not there where \"3\" is scripted"
        );
        let mut right = ask("https://a.test/items?page=2");
        right.headers.push(("X-VERSION".into(), "3".into()));
        assert_eq!(script.answer(&right).unwrap().status, 404);
        let message = script.answer(&right).unwrap_err().message;
        assert!(message.contains("no answer left"), "{message}");
    }
}
