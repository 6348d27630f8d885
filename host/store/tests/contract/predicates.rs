//! Whether a test would notice: every tenant predicate of every statement is left out once, and the tests must fail.

use std::{fs, path::Path, process::Command};

use tributary_store::testing::{DROPPED, POSTGRES_URL, predicates};

/// Predicates without which all is as before: file, a piece of the statement, the predicate.
const REDUNDANT: [(&str, &str, &str); 3] = [
    // A job's id is its whole primary key, and it comes from the workspace's own run.
    ("jobs.rs", "UPDATE job SET cancel_requested", "workspace_id = $2"),
    ("jobs.rs", "SELECT state FROM job", "workspace_id = $2"),
    // Names to delete, and that deletion asks for the workspace: a name of another's container deletes nothing here.
    ("finish.rs", "SELECT external_id FROM container", "workspace_id = $1"),
];

/// Set for all files.
const EVERYTHING: &str = "TRIBUTARY_TEST_ALL_PREDICATES";

/// One predicate: the value of [`DROPPED`] that leaves it out, and what it is part of.
pub struct Predicate {
    pub place: String,
    pub file: String,
    statement: String,
    text: String,
}

/// Every tenant predicate of the store's sources.
pub fn all() -> Vec<Predicate> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files: Vec<_> = fs::read_dir(&sources).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut all = Vec::new();
    for path in files {
        let (source, file) =
            (fs::read_to_string(&path).unwrap(), path.file_name().unwrap().to_str().unwrap().to_owned());
        for (start, _) in
            source.match_indices("q!(").filter(|_| !matches!(file.as_str(), "dialect.rs" | "predicates.rs"))
        {
            let statement = call(&source[start..]);
            let line = source[..written_out(&source, start)].matches('\n').count() + 1;
            for (n, range) in predicates(statement).into_iter().enumerate() {
                all.push(Predicate {
                    place: format!("host/store/src/{file}:{line}:{n}"),
                    file: file.clone(),
                    statement: statement.to_owned(),
                    text: statement[range].to_owned(),
                });
            }
        }
    }
    all
}

/// Where a statement counts as standing: that of a macro is where the macro is called.
fn written_out(source: &str, start: usize) -> usize {
    const MACRO: &str = "macro_rules! ";
    let Some(made) = source[..start].rfind(MACRO) else { return start };
    if made + closed(&source[made..], ('{', '}')).len() < start {
        return start;
    }
    let (name, _) = source[made + MACRO.len()..].split_once(" {").unwrap();
    let called = source[start..].find(&format!("{name}!("));
    start + called.expect("a macro with a statement is called behind it")
}

/// From `q!(` to the parenthesis that closes it.
fn call(source: &str) -> &str {
    closed(source, ('(', ')'))
}

/// Up to the bracket that closes the first one.
fn closed(source: &str, (opening, closing): (char, char)) -> &str {
    let mut depth = 0;
    for (at, c) in source.char_indices() {
        depth += i32::from(c == opening) - i32::from(c == closing);
        if c == closing && depth == 0 {
            return &source[..=at];
        }
    }
    panic!("an unclosed bracket: {source}")
}

/// Whether the tests with these words in their names pass without the predicate. On SQLite: both engines run the same text.
fn passes_without(predicate: &Predicate, filters: &[&str]) -> bool {
    let mut tests = Command::new(std::env::current_exe().unwrap());
    tests.args(filters).env(DROPPED, &predicate.place).env_remove(POSTGRES_URL).env_remove("CI");
    tests.output().unwrap().status.success()
}

/// `cargo xtask mutate-tenancy` goes over all of them, which takes minutes; among the other tests those of a few files are enough.
#[test]
fn without_any_tenant_predicate_a_test_fails() {
    let everything = std::env::var_os(EVERYTHING).is_some();
    let predicates = all();
    assert!(predicates.len() > 80, "{}", predicates.len());
    let none = Predicate { place: String::new(), file: String::new(), statement: String::new(), text: String::new() };
    assert!(passes_without(&none, &["tenancy", "twins"]), "these tests must pass as the statements are");
    let (mut survivors, mut redundant) = (Vec::new(), [false; REDUNDANT.len()]);
    for predicate in predicates.iter().filter(|it| everything || matches!(it.file.as_str(), "chat.rs" | "members.rs")) {
        // Those that are about it first: the rest takes longer.
        if !passes_without(predicate, &["tenancy", "twins"])
            || !passes_without(predicate, &["--skip", "tenancy", "--skip", "predicates"])
        {
            continue;
        }
        let known = REDUNDANT.iter().position(|(file, statement, text)| {
            predicate.file == *file && predicate.statement.contains(statement) && predicate.text == *text
        });
        match known {
            Some(known) => redundant[known] = true,
            None => survivors.push(format!("{} {}", predicate.place, predicate.text)),
        }
    }
    println!("{} predicates, {} survivors, {} redundant", predicates.len(), survivors.len(), REDUNDANT.len());
    assert!(survivors.is_empty(), "no test fails without:\n{}", survivors.join("\n"));
    assert!(!everything || redundant.iter().all(|seen| *seen), "some that are called redundant are not: {redundant:?}");
}
