//! Which files are read and in which form: their media type, their name, and the include and exclude globs.

use fast_glob::glob_match;
use tributary_plugin_sdk::Failure;

use crate::{config::Config, wire::File};

/// How a file's content is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Exported as Markdown; what is too long for that is read paragraph by paragraph.
    Document,
    /// Exported as a workbook: CSV would be the first sheet alone.
    Spreadsheet,
    /// Exported as plain text.
    Presentation,
    /// Downloaded; the media type for the extractor.
    Media(&'static str),
}

impl Form {
    /// Kind of the document.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::Spreadsheet => "spreadsheet",
            Self::Presentation => "presentation",
            Self::Media(_) => "file",
        }
    }
}

/// Media types that the extractor reads, and the endings of names where Drive knows no better than `octet-stream`.
const MEDIA: &[(&str, &[&str])] = &[
    ("text/markdown", &["md", "markdown"]),
    ("text/plain", &["txt", "text", "log", "rst", "adoc"]),
    ("text/html", &["html", "htm", "xhtml"]),
    ("text/csv", &["csv"]),
    ("text/tab-separated-values", &["tsv"]),
    ("application/json", &["json"]),
    ("application/x-ndjson", &["jsonl", "ndjson"]),
    ("application/pdf", &["pdf"]),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", &["docx", "docm", "dotx"]),
    ("application/vnd.openxmlformats-officedocument.presentationml.presentation", &["pptx", "pptm", "ppsx"]),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", &["xlsx", "xlsm", "xltx"]),
    ("application/vnd.ms-excel.sheet.binary.macroenabled.12", &["xlsb"]),
    ("application/vnd.ms-excel", &["xls"]),
    ("application/vnd.oasis.opendocument.text", &["odt", "ott"]),
    ("application/vnd.oasis.opendocument.presentation", &["odp", "otp"]),
    ("application/vnd.oasis.opendocument.spreadsheet", &["ods", "ots"]),
    ("application/epub+zip", &["epub"]),
    ("application/rtf", &["rtf"]),
    ("message/rfc822", &["eml"]),
];

/// What is read of a selection.
pub(crate) struct Scope {
    include: Vec<Glob>,
    exclude: Vec<Glob>,
}

struct Glob {
    pattern: String,
    /// Matches the media type, not the name.
    of_type: bool,
}

impl Glob {
    fn matches(&self, name: &str, media_type: &str) -> bool {
        glob_match(&self.pattern, if self.of_type { media_type } else { name })
    }
}

impl Scope {
    /// # Errors
    /// `config`, pointing at a glob that is not valid.
    pub(crate) fn new(config: &Config) -> Result<Self, Failure> {
        Ok(Self { include: globs("include", &config.include)?, exclude: globs("exclude", &config.exclude)? })
    }

    /// Whether the globs want a file, whatever its format.
    pub(crate) fn wants(&self, file: &File) -> bool {
        // A slash in a name is no folder.
        let name = file.name.to_lowercase().replace('/', "_");
        let media_type = file.mime_type.to_lowercase();
        let any = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(&name, &media_type));
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }

    /// Whether a folder of this name is entered.
    pub(crate) fn enters(&self, name: &str) -> bool {
        let name = name.to_lowercase().replace('/', "_");
        !self.exclude.iter().any(|glob| !glob.of_type && glob_match(&glob.pattern, &name))
    }
}

/// How a file is read; `None` when it cannot be.
pub(crate) fn form(file: &File) -> Option<Form> {
    match file.mime_type.strip_prefix("application/vnd.google-apps.") {
        Some("document") => return Some(Form::Document),
        Some("spreadsheet") => return Some(Form::Spreadsheet),
        Some("presentation") => return Some(Form::Presentation),
        Some(_) => return None,
        None => {}
    }
    let essence = file.mime_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let extension = file.name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    let by_name = extension.and_then(|extension| {
        MEDIA.iter().find(|(_, endings)| endings.contains(&extension.as_str())).map(|(media_type, _)| *media_type)
    });
    let by_type = MEDIA.iter().find(|(media_type, _)| *media_type == essence).map(|(media_type, _)| *media_type);
    match essence.as_str() {
        // What Drive guesses of uploads: the name knows better.
        "text/plain" => by_name.or(by_type),
        "text/rtf" => Some("application/rtf"),
        "text/x-markdown" => Some("text/markdown"),
        "application/octet-stream" | "application/zip" | "application/x-zip-compressed" => by_name,
        _ if essence.starts_with("text/") => by_type.or(by_name).or(Some("text/plain")),
        _ => by_type,
    }
    .map(Form::Media)
}

fn globs(field: &str, patterns: &[String]) -> Result<Vec<Glob>, Failure> {
    let parse = |(place, pattern): (usize, &String)| {
        let pointer = format!("/{field}/{place}");
        fast_glob::validate(pattern)
            .map_err(|error| Failure::config(&pointer, format!("The glob `{pattern}` is not valid: {error}.")))?;
        if pattern.starts_with('!') {
            let what = "A glob cannot start with `!`; list what to leave out under `exclude`.";
            return Err(Failure::config(&pointer, what));
        }
        Ok(Glob { pattern: pattern.to_lowercase(), of_type: pattern.contains('/') })
    };
    patterns.iter().enumerate().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, mime_type: &str) -> File {
        File { name: name.into(), mime_type: mime_type.into(), ..File::default() }
    }

    fn scope(include: &[&str], exclude: &[&str]) -> Scope {
        let config = serde_json::json!({ "credential": "g", "include": include, "exclude": exclude });
        Scope::new(&serde_json::from_value(config).unwrap()).unwrap()
    }

    #[test]
    fn globs_match_names_and_media_types() {
        let pdfs = scope(&["application/pdf", "*.DOCX"], &["Draft*"]);
        assert!(pdfs.wants(&file("a", "application/pdf")) && pdfs.wants(&file("b.docx", "application/octet-stream")));
        assert!(!pdfs.wants(&file("draft.pdf", "application/pdf")) && !pdfs.wants(&file("c.txt", "text/plain")));
        assert!(pdfs.enters("Reports") && !pdfs.enters("Drafts"));
    }

    #[test]
    fn a_form_comes_from_the_type_and_where_that_says_nothing_from_the_name() {
        assert_eq!(form(&file("Plan", "application/vnd.google-apps.document")), Some(Form::Document));
        assert_eq!(form(&file("Ask us", "application/vnd.google-apps.form")), None);
        assert_eq!(form(&file("a.md", "text/plain")), Some(Form::Media("text/markdown")));
        assert_eq!(form(&file("a.pdf", "application/octet-stream")), Some(Form::Media("application/pdf")));
        assert_eq!(form(&file("a.rs", "text/x-rust")), Some(Form::Media("text/plain")));
        assert_eq!(form(&file("a.png", "image/png")), None);
    }
}
