//! HTML to sections: the main content without the page's furniture.
//!
//! Works on the token stream of a WHATWG tokenizer and never builds a tree, so that nesting costs nothing: no recursion,
//! no quadratic scope checks, memory bounded by the text kept.

mod page;
mod tokens;

use html5gum::Tokenizer;
use tributary_plugin_sdk::{Extracted, Failure};

use crate::outline::heading_text;
use page::{Page, Region};
use tokens::Tokens;

/// Extracts a page. `main_content`: leave out navigation, headers, footers, asides and forms.
pub(crate) fn extract(source: &str, main_content: bool) -> Result<Extracted, Failure> {
    let regions: &[Region] = if main_content { &[Region::Main, Region::Article, Region::Body] } else { &[] };
    for region in regions.iter().filter(|region| region.may_occur(source)) {
        let page = read(source, Page::new(*region));
        // A region that turns out empty was a decoy, such as the word in a script.
        if !page.is_blank() {
            return finish(page);
        }
    }
    finish(read(source, Page::new(Region::Everything)))
}

/// The text of a fragment, such as a block inside Markdown.
pub(crate) fn plain(source: &str) -> String {
    let mut page = read(source, Page::new(Region::Everything));
    page.end();
    match page.outline.finish(None, None) {
        Ok(extracted) => extracted.sections.into_iter().map(|section| section.text).collect::<Vec<_>>().join("\n\n"),
        Err(_) => String::new(),
    }
}

/// A language tag as BCP 47 shapes it; `None` for anything else.
pub(crate) fn language_tag(tag: &str) -> Option<String> {
    let tag = tag.trim().replace('_', "-");
    let shaped = tag.split('-').enumerate().all(|(place, part)| {
        let long_enough = if place == 0 { 2..=8 } else { 1..=8 };
        long_enough.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    (shaped && tag.len() <= 35).then_some(tag)
}

fn read(source: &str, mut page: Page) -> Page {
    let mut tokens = Tokenizer::new_with_emitter(source, Tokens::new(&mut page));
    // The only token is the wish to stop.
    let _ = tokens.next();
    drop(tokens);
    page
}

fn finish(mut page: Page) -> Result<Extracted, Failure> {
    page.end();
    let (first, top) = (page.outline.first_heading(), page.outline.leading_h1());
    let title = title(page.title.as_deref(), first).or_else(|| top.map(str::to_owned));
    let language = page.language.take();
    page.outline.finish(title, language)
}

/// A page's title usually carries the name of the site; a first heading that starts or ends it says the rest better.
fn title(title: Option<&str>, heading: Option<&str>) -> Option<String> {
    let title = title.map(heading_text).filter(|title| !title.is_empty())?;
    let Some(heading) = heading else { return Some(title) };
    let (lower, heading_lower) = (title.to_lowercase(), heading.to_lowercase());
    let around = lower.starts_with(&heading_lower) || lower.ends_with(&heading_lower);
    Some(if around { heading.to_owned() } else { title })
}

#[cfg(test)]
mod tests;
