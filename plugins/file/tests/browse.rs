//! What an admin may choose for `include` and `exclude`.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::json;
use support::Source;
use tributary_plugin_file::FileConnector;
use tributary_plugin_sdk::{Browse, Choices, Failure, Fault, browse};

fn look(source: &Source, pointer: &str, at: Option<&str>, after: Option<&str>) -> Result<Choices, Failure> {
    let own = |text: Option<&str>| text.map(str::to_owned);
    let request = Browse { pointer: pointer.to_owned(), at: own(at), after: own(after) };
    browse::<FileConnector>(&source.host, &source.config.to_string(), &request)
}

/// Title and value of each.
fn told(choices: &Choices) -> Vec<(&str, String)> {
    let value = |text: &String| serde_json::from_str::<String>(text).unwrap();
    choices.items.iter().map(|item| (item.title.as_str(), item.value.as_ref().map(value).unwrap())).collect()
}

#[test]
fn folders_files_and_endings_are_globs_that_select_what_they_name() {
    let source = Source::new();
    source.write("guide/a.md", "# A");
    source.write("guide/[old] b.md", "# B");
    source.write("guide/deep/c.md", "# C");
    source.write("top.html", "<p>top");
    source.write("photo.raw", "x");
    let first = look(&source, "/include/0", None, None).unwrap();
    assert_eq!(
        told(&first),
        [
            ("*.html", "*.html".to_owned()),
            ("guide/", "guide/**".to_owned()),
            ("photo.raw", "photo.raw".to_owned()),
            ("top.html", "top.html".to_owned()),
        ]
    );
    let opens = first.items[1].opens.as_deref();
    let guide = look(&source, "/include/0", opens, None).unwrap();
    let ids = |glob: &str| {
        let mut chosen = Source::new().with(json!({ "include": [glob] }));
        for path in ["guide/a.md", "guide/[old] b.md", "guide/deep/c.md", "guide/o b.md", "top.html"] {
            chosen.write(path, path);
        }
        chosen.sync();
        chosen.ids().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let selected: Vec<_> = told(&guide).into_iter().map(|(title, glob)| (title, ids(&glob))).collect();
    assert_eq!(
        selected,
        [
            ("*.md", ["guide/[old] b.md", "guide/a.md", "guide/deep/c.md", "guide/o b.md"].map(str::to_owned).to_vec()),
            ("[old] b.md", vec!["guide/[old] b.md".to_owned()]),
            ("a.md", vec!["guide/a.md".to_owned()]),
            ("deep/", vec!["guide/deep/c.md".to_owned()]),
        ]
    );
    assert_eq!(told(&look(&source, "/exclude/0", None, None).unwrap()), told(&first));
}

#[test]
fn many_names_come_in_pages_that_end() {
    let source = Source::new();
    for number in 0..400 {
        source.write(&format!("{number:03}.md"), "x");
    }
    let (mut after, mut names, mut pages) = (None, Vec::new(), 0);
    loop {
        let choices = look(&source, "/include/0", None, after.as_deref()).unwrap();
        assert!(choices.items.len() <= 200);
        names.extend(choices.items.iter().map(|item| item.title.clone()).filter(|title| title != "*.md"));
        pages += 1;
        after = choices.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((names.len(), pages), (400, 3));
}

#[test]
fn what_cannot_be_looked_at_says_why() {
    let mut source = Source::new();
    assert_eq!(look(&source, "/root", None, None).unwrap_err().fault, Fault::Unsupported);
    assert_eq!(look(&source, "/csv/title_column", None, None).unwrap_err().fault, Fault::Unsupported);
    assert_eq!(look(&source, "/include/0", Some("nowhere"), None).unwrap_err().fault, Fault::NotFound);
    source.config = json!({ "include": [] });
    assert_eq!(look(&source, "/include/0", None, None).unwrap_err().config_pointer.as_deref(), Some("/root"));
}
