//! What the parts of an Office Open XML package say of each other (ECMA-376 part 2).

use tributary_plugin_sdk::Failure;

use crate::{
    archive::{Archive, resolve},
    xml::{Step, Steps},
};

/// One part's word on another.
pub(super) struct Relation {
    pub(super) id: String,
    /// The last step of its type: `officeDocument`, `slide`, `hyperlink`.
    pub(super) kind: String,
    /// The name of the part, or an address outside.
    pub(super) target: String,
    pub(super) is_external: bool,
}

/// The relations of a part; of the package itself for an empty name.
pub(super) fn relations(archive: &mut Archive<'_>, part: &str, what: &'static str) -> Result<Vec<Relation>, Failure> {
    let (folder, file) = part.rsplit_once('/').unwrap_or(("", part));
    let name = if folder.is_empty() { format!("_rels/{file}.rels") } else { format!("{folder}/_rels/{file}.rels") };
    let Some(source) = archive.find_text(&name)? else { return Ok(Vec::new()) };
    let mut relations = Vec::new();
    let mut steps = Steps::new(&source, what);
    while let Some(step) = steps.next()? {
        let Step::Start(tag) = step else { continue };
        if tag.name() != "Relationship" {
            continue;
        }
        let (Some(id), Some(kind), Some(target)) = (tag.find("Id"), tag.find("Type"), tag.find("Target")) else {
            continue;
        };
        let is_external = tag.find("TargetMode").as_deref() == Some("External");
        let target = if is_external { target } else { resolve(part, &target) };
        let kind = kind.rsplit('/').next().unwrap_or_default().to_owned();
        relations.push(Relation { id, kind, target, is_external });
    }
    Ok(relations)
}

/// The name of the main part: what the package says, else where it always is.
pub(super) fn main_part(archive: &mut Archive<'_>, usual: &str, what: &'static str) -> Result<String, Failure> {
    let relations = relations(archive, "", what)?;
    let main = relations.into_iter().find(|relation| relation.kind == "officeDocument" && !relation.is_external);
    Ok(main.map_or_else(|| usual.to_owned(), |relation| relation.target))
}

/// Title and language from the core properties.
pub(super) fn properties(
    archive: &mut Archive<'_>,
    what: &'static str,
) -> Result<(Option<String>, Option<String>), Failure> {
    let source = archive.find_text("docProps/core.xml")?.unwrap_or_default();
    title_and_language(&source, what)
}

/// The first `title` and `language` of Dublin Core metadata.
pub(crate) fn title_and_language(
    source: &str,
    what: &'static str,
) -> Result<(Option<String>, Option<String>), Failure> {
    let (mut title, mut language) = (None, None);
    let mut inside: Option<(bool, String)> = None;
    let mut steps = Steps::new(source, what);
    while let Some(step) = steps.next()? {
        match step {
            Step::Start(tag) => match tag.name() {
                "title" => inside = Some((true, String::new())),
                "language" => inside = Some((false, String::new())),
                _ => {}
            },
            Step::Text(text) => {
                if let Some((_, value)) = &mut inside {
                    value.push_str(&text);
                }
            }
            Step::End(_) => match inside.take() {
                Some((true, value)) if title.is_none() && !value.trim().is_empty() => title = Some(value),
                Some((false, value)) if language.is_none() => language = crate::html::language_tag(&value),
                _ => {}
            },
        }
    }
    Ok((title, language))
}
