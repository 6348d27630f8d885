//! Extism modules in Extism's own host and in ours: the same module and the same questions, the same answers.
//!
//! The other host is `tests/extism-twin`, a workspace of its own with its own wasmtime. It and the guests are built from their
//! sources, once, which takes minutes and needs crates.io, an npm registry and the Rust target wasm32-unknown-unknown
//! (`xtask/ensure-wasm-target.sh`): the long tier, `cargo xtask test --full`.
#![allow(clippy::unwrap_used)]

#[path = "support/extism.rs"]
mod guests;
mod support;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    thread,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use support::{options, request};
use tributary_core::{
    contract::{Failure, Fault, Next, Page},
    http::{Http, HttpRequest, HttpResponse, Method},
    ledger::Ledger,
};
use tributary_sandbox::{Files, HostServices, Meter, Sandbox, with_manifest};

/// What is committed, for both hosts.
const LEDGER: [(&str, &str); 2] = [("b", "two"), ("c", "three, as it was")];

/// The API, for both hosts: two files of lines, and one that says what it was sent.
fn answer(method: &str, path: &str, asked: &str, body: &str) -> (u16, String) {
    match path {
        "/lines/1.txt" => (200, "a\tÄpfel\tsay \"hi\"\nb\tB\ttwo\nc\tC\tthree, as it is\n".to_owned()),
        "/lines/2.txt" => (200, format!("long\tLong\t{}\n", "Grüße, 世界 🎈 ".repeat(5_000))),
        "/post" => (202, format!("{method} {asked} {body}")),
        "/empty" => (204, String::new()),
        "/broken/1.txt" => (503, "later".to_owned()),
        _ => (404, "not here".to_owned()),
    }
}

fn headers(body: &str) -> [(&'static str, String); 3] {
    [("content-length", body.len().to_string()), ("connection", "close".to_owned()), ("x-kind", "lines".to_owned())]
}

/// Serves the API until the process ends; gives its address.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || listener.incoming().for_each(|stream| serve_one(stream.unwrap())));
    url
}

fn serve_one(mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let head: Vec<String> = (&mut reader).lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
    let header = |name: &str| {
        head.iter()
            .filter_map(|line| line.split_once(": "))
            .find(|(one, _)| one.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    };
    let mut body = vec![0; header("content-length").map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    let mut words = head[0].split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let (status, body) = answer(method, path, header("x-ask").unwrap_or("-"), std::str::from_utf8(&body).unwrap());
    let head: String = headers(&body).map(|(name, value)| format!("{name}: {value}\r\n")).concat();
    write!(stream, "HTTP/1.1 {status} Answer\r\n{head}\r\n{body}").unwrap();
}

/// The API as the egress would ask it.
struct Api {
    url: String,
}

#[async_trait]
impl Http for Api {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let Some(path) = request.url.strip_prefix(&self.url) else {
            return Err(Failure::new(Fault::Permission, "host_not_granted", "not granted"));
        };
        let asked = request.headers.iter().find(|(name, _)| name == "x-ask").map_or("-", |(_, value)| value.as_str());
        let method = if request.method == Method::Post { "POST" } else { "GET" };
        let sent = request.body.unwrap_or_default();
        let (status, body) = answer(method, path, asked, std::str::from_utf8(&sent).unwrap());
        Ok(HttpResponse {
            status,
            url: request.url.clone(),
            headers: headers(&body).map(|(name, value)| (name.to_owned(), value)).to_vec(),
            body: stream::iter([Ok(Bytes::from(body))]).boxed(),
        })
    }
}

struct Committed;

#[async_trait]
impl Ledger for Committed {
    async fn lookup(&self, external_ids: Vec<String>) -> Result<Vec<Option<String>>, Failure> {
        let known = BTreeMap::from(LEDGER);
        Ok(external_ids.iter().map(|id| known.get(id.as_str()).map(|&found| found.to_owned())).collect())
    }

    async fn state(&self) -> Result<BTreeMap<String, String>, Failure> {
        Ok(BTreeMap::new())
    }
}

fn services(url: &str) -> HostServices {
    let (files, meter) = (Arc::new(Files::none()), Arc::new(Meter::default()));
    HostServices::new(files, Arc::new(Committed), meter, "twin").with_http(Arc::new(Api { url: url.to_owned() }))
}

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn well(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}

/// The other host and the guest in Rust, built side by side.
struct Twin {
    host: PathBuf,
    in_rust: Vec<u8>,
}

fn twin() -> Twin {
    well(Command::new(checkout().join("xtask/ensure-wasm-target.sh")).arg("wasm32-unknown-unknown"));
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("extism-twin");
    let build = |args: &[&str]| {
        let mut cargo = Command::new("cargo");
        cargo.args(["build", "--quiet", "--locked", "--package"]).args(args);
        well(cargo.current_dir(checkout().join("tests/extism-twin")).env("CARGO_TARGET_DIR", &target));
    };
    build(&["extism-twin"]);
    build(&["twin-guest", "--release", "--target", "wasm32-unknown-unknown"]);
    let in_rust = fs::read(target.join("wasm32-unknown-unknown/release/twin_guest.wasm")).unwrap();
    Twin { host: target.join("debug/extism-twin"), in_rust }
}

type Answers = Vec<Result<String, String>>;

impl Twin {
    fn ask(&self, wasm: &[u8], config: &Value, calls: &[(&str, String)]) -> Answers {
        let module = tempfile::NamedTempFile::new().unwrap();
        fs::write(module.path(), wasm).unwrap();
        let questions =
            json!({"module": module.path(), "config": config, "ledger": BTreeMap::from(LEDGER), "calls": calls});
        let mut child =
            Command::new(&self.host).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it was built");
        child.stdin.take().unwrap().write_all(questions.to_string().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let answers: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        answers.iter().map(|it| it.get("ok").map(text).ok_or_else(|| text(&it["err"]))).collect()
    }
}

async fn ask_us(wasm: &[u8], config: &Value, calls: &[(&str, String)], url: &str) -> Answers {
    let wasm = with_manifest(wasm, json!({ "config": config }).to_string().as_bytes()).unwrap();
    let module = Sandbox::new(options()).unwrap().open_extism(wasm).await.unwrap();
    let mut answers = Vec::new();
    for (export, input) in calls {
        let answered = module.call(export, input.as_bytes(), &services(url)).await;
        answers.push(
            answered.map(|output| String::from_utf8_lossy(&output).into_owned()).map_err(|failure| failure.message),
        );
    }
    answers
}

fn full() -> bool {
    let full = std::env::var_os("TRIBUTARY_TEST_FULL").is_some();
    if !full {
        eprintln!("set TRIBUTARY_TEST_FULL=1 to build Extism's own host and its guests");
    }
    full
}

#[tokio::test]
async fn extisms_own_host_and_ours_answer_the_same() {
    if !full() {
        return;
    }
    let (twin, url) = (twin(), serve());
    let config = json!({"base_url": format!("{url}/lines"), "empty": "", "name": "Grüße"});
    let text = |text: &str| text.to_owned();
    let calls = [
        ("echo", text("")),
        ("echo", text("Grüße, 世界 🎈")),
        ("echo", "0123456789abcdef".repeat(100_000)),
        ("configured", text("name")),
        ("configured", text("empty")),
        ("configured", text("nothing")),
        ("configured", text("")),
        ("variables", text("")),
        ("state", text("")),
        ("posted", format!("{url}/post")),
        ("posted", format!("{url}/empty")),
        ("posted", format!("{url}/nowhere")),
        ("taken", format!("{url}/post")),
        ("nowhere", text("")),
        ("blocks", text("")),
        ("fails", text("Die Prüfung schlug fehl")),
        ("fails_with_zero", text("")),
        ("takes_it_back", text("")),
    ];
    let (theirs, ours) = (twin.ask(&twin.in_rust, &config, &calls), ask_us(&twin.in_rust, &config, &calls, &url).await);
    let differ = calls.iter().zip(&theirs).zip(&ours).filter(|((_, theirs), ours)| ours != theirs);
    let differ: Vec<_> =
        differ.map(|((call, theirs), ours)| format!("{call:.60?}: {theirs:?}, but here {ours:?}")).collect();
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    // What goes wrong is said in words of one's own.
    let calls = [
        ("returns_seven", text("")),
        ("panics", text("")),
        ("posted", text("http://127.0.0.2/")),
        ("posted", text("no address")),
        ("no_such_export", text("")),
    ];
    for answers in [twin.ask(&twin.in_rust, &config, &calls), ask_us(&twin.in_rust, &config, &calls, &url).await] {
        assert!(answers.iter().all(Result::is_err), "{answers:?}");
    }

    let vowels = include_bytes!("fixtures/extism/count_vowels.wasm");
    let calls =
        [("count_vowels", text("Hello, World!")), ("count_vowels", text("")), ("count_vowels", "aeiou ".repeat(9_000))];
    assert_eq!(ask_us(vowels, &config, &calls, &url).await, twin.ask(vowels, &config, &calls));
}

#[tokio::test]
async fn connectors_read_the_same_pages_in_extisms_own_host_and_in_ours() {
    if !full() {
        return;
    }
    let (twin, url) = (twin(), serve());
    for (language, wasm) in [("Rust", twin.in_rust.clone()), ("AssemblyScript", guests::in_assemblyscript())] {
        let config = json!({"base_url": format!("{url}/lines")});
        let mut asked = request(config.clone());
        let ask = |cursor: &Option<String>| {
            json!({
                "config": config, "cursor": cursor, "full": false, "upper_bound": 0, "max_items": 256,
                "max_bytes": 8 << 20, "deadline_ms": 20_000,
            })
            .to_string()
        };
        let sandbox = Sandbox::new(options()).unwrap();
        let (_, connector) = sandbox.open_connector(wasm.clone()).await.unwrap();
        let mut pages = Vec::new();
        loop {
            let calls = [
                ("describe", String::new()),
                ("check", json!({"config": config}).to_string()),
                ("pull", ask(&asked.cursor)),
            ];
            let theirs = twin.ask(&wasm, &config, &calls);
            assert_eq!(ask_us(&wasm, &config, &calls, &url).await, theirs, "{language}");
            // And as the connector that a source has.
            let page = connector.pull(&asked, &services(&url)).await.unwrap();
            assert_eq!(page, told(&sandbox, theirs[2].as_ref().unwrap()).await, "{language}");
            asked.cursor.clone_from(&page.cursor);
            let next = page.next;
            pages.push(page);
            if next != Next::More {
                break;
            }
        }
        let changes: Vec<_> = pages.iter().map(|page| page.changes.len()).collect();
        assert_eq!(changes, [3, 1, 0], "{language}");

        let broken = json!({"base_url": format!("{url}/broken")});
        let calls = [("pull", ask(&None))];
        let theirs = twin.ask(&wasm, &broken, &calls);
        assert_eq!(ask_us(&wasm, &broken, &calls, &url).await.len(), 1);
        let said: Value = serde_json::from_str(theirs[0].as_ref().unwrap_err()).unwrap();
        let failure = connector.pull(&request(broken), &services(&url)).await.unwrap_err();
        assert_eq!(
            (failure.fault, json!(failure.code), json!(failure.message)),
            (Fault::Transient, said["code"].clone(), said["message"].clone())
        );
    }
}

/// The page that a text is, as any connector's.
async fn told(sandbox: &Sandbox, page: &str) -> Page {
    let (_, connector) = sandbox.open_connector(guests::saying(page)).await.unwrap();
    connector.pull(&request(json!({})), &services("")).await.unwrap()
}
