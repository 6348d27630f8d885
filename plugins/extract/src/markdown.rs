//! Markdown (CommonMark with tables, footnotes, task lists, front matter) to sections.

use std::collections::BTreeMap;

use pulldown_cmark::{Event, HeadingLevel, MetadataBlockKind, Options, Parser, Tag, TagEnd};
use tributary_plugin_sdk::{Extracted, Failure, Locator};

use crate::{MAX_TEXT_BYTES, flow::Flow, html, outline::Outline};

pub(crate) fn extract(source: &str) -> Result<Extracted, Failure> {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_HEADING_ATTRIBUTES
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS
        | Options::ENABLE_PLUSES_DELIMITED_METADATA_BLOCKS;
    let mut writer = Writer::default();
    for event in Parser::new_ext(source, options) {
        writer.event(event);
        if writer.outline.text_bytes() > MAX_TEXT_BYTES {
            break;
        }
    }
    let title = writer.title.or_else(|| writer.outline.leading_h1().map(str::to_owned));
    writer.outline.finish(title, writer.language)
}

#[derive(Default)]
struct Writer {
    outline: Outline,
    flow: Flow,
    title: Option<String>,
    language: Option<String>,
    /// Next number of each open list; `None` for bullets.
    lists: Vec<Option<u64>>,
    /// The heading being read, with its explicit id.
    heading: Option<(String, Option<String>)>,
    in_code: bool,
    /// Cells so far in the table row being read.
    cells: Option<usize>,
    metadata: Option<(MetadataBlockKind, String)>,
    html: Option<String>,
    /// Fragments so far, with how often each was repeated.
    slugs: BTreeMap<String, u32>,
}

impl Writer {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => self.text(&text),
            Event::Code(text) | Event::InlineMath(text) | Event::DisplayMath(text) => self.inline(&text),
            Event::Html(text) => match &mut self.html {
                Some(html) => html.push_str(&text),
                None => self.block_html(&text),
            },
            Event::InlineHtml(tag) if tag.starts_with("<br") => self.flow.line(),
            Event::InlineHtml(_) => {}
            Event::FootnoteReference(name) => self.inline(&format!("[{name}]")),
            Event::SoftBreak => self.inline(" "),
            Event::HardBreak if self.heading.is_some() || self.cells.is_some() => self.inline(" "),
            Event::HardBreak => self.flow.line(),
            Event::Rule => self.flow.blank(),
            Event::TaskListMarker(done) => self.inline(if done { "[x] " } else { "[ ] " }),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Heading { id, .. } => self.heading = Some((String::new(), id.map(|id| id.to_string()))),
            Tag::Paragraph | Tag::BlockQuote(_) | Tag::FootnoteDefinition(_) => self.flow.blank(),
            Tag::Table(_) | Tag::DefinitionList => self.flow.blank(),
            Tag::CodeBlock(_) => {
                self.flow.blank();
                self.in_code = true;
            }
            Tag::HtmlBlock => self.html = Some(String::new()),
            Tag::List(first) => {
                if self.lists.is_empty() {
                    self.flow.blank();
                }
                self.lists.push(first);
            }
            Tag::Item => {
                let depth = self.lists.len().saturating_sub(1).min(16);
                let number = self.lists.last_mut().and_then(|next| {
                    let number = *next;
                    *next = number.map(|number| number.saturating_add(1));
                    number
                });
                self.flow.marker(self.outline.text(), depth, number);
            }
            Tag::TableHead | Tag::TableRow => {
                self.flow.line();
                self.cells = Some(0);
            }
            Tag::TableCell => {
                if self.cells.is_some_and(|cells| cells > 0) {
                    self.flow.raw(self.outline.text(), " | ");
                }
                self.cells = self.cells.map(|cells| cells + 1);
            }
            Tag::DefinitionListTitle | Tag::DefinitionListDefinition => self.flow.line(),
            Tag::MetadataBlock(kind) => self.metadata = Some((kind, String::new())),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(level) => self.end_heading(level),
            TagEnd::CodeBlock => {
                self.in_code = false;
                self.flow.blank();
            }
            TagEnd::HtmlBlock => {
                if let Some(html) = self.html.take() {
                    self.block_html(&html);
                }
            }
            TagEnd::List(_) => {
                self.lists.pop();
                if self.lists.is_empty() {
                    self.flow.blank();
                }
            }
            TagEnd::TableHead | TagEnd::TableRow => self.cells = None,
            TagEnd::Paragraph if self.lists.is_empty() => self.flow.blank(),
            TagEnd::Paragraph | TagEnd::Item => self.flow.line(),
            TagEnd::Table => self.flow.blank(),
            TagEnd::MetadataBlock(_) => self.end_metadata(),
            _ => {}
        }
    }

    fn text(&mut self, text: &str) {
        if let Some((_, metadata)) = &mut self.metadata {
            metadata.push_str(text);
        } else if self.in_code {
            self.flow.raw(self.outline.text(), text);
        } else {
            self.inline(text);
        }
    }

    fn inline(&mut self, text: &str) {
        match &mut self.heading {
            Some((heading, _)) => heading.push_str(text),
            None => self.flow.inline(self.outline.text(), text),
        }
    }

    fn end_heading(&mut self, level: HeadingLevel) {
        let Some((text, id)) = self.heading.take() else { return };
        let fragment = id.unwrap_or_else(|| self.slug(&text));
        let at = (!fragment.is_empty()).then_some(Locator::Fragment(fragment));
        self.outline.heading(level as u8, &text, at);
        self.flow.reset();
    }

    /// The fragment that GitHub and most site generators give a heading.
    fn slug(&mut self, heading: &str) -> String {
        let mut slug = String::with_capacity(heading.len());
        for c in heading.trim().chars().take(200) {
            match c {
                ' ' => slug.push('-'),
                '-' | '_' => slug.push(c),
                c if c.is_ascii_alphanumeric() => slug.push(c.to_ascii_lowercase()),
                c if c.is_alphanumeric() => slug.extend(c.to_lowercase()),
                _ => {}
            }
        }
        if let Some(count) = self.slugs.get_mut(&slug) {
            *count += 1;
            return format!("{slug}-{count}");
        }
        self.slugs.insert(slug.clone(), 0);
        slug
    }

    fn end_metadata(&mut self) {
        let Some((kind, text)) = self.metadata.take() else { return };
        let separator = match kind {
            MetadataBlockKind::YamlStyle => ':',
            MetadataBlockKind::PlusesStyle => '=',
        };
        for line in text.lines() {
            let Some((key, value)) = line.split_once(separator) else { continue };
            let value = value.trim().trim_matches(['"', '\'']).trim();
            match key {
                "title" | "title " if !value.is_empty() => self.title = Some(value.to_owned()),
                "lang" | "lang " | "language" | "language " => self.language = html::language_tag(value),
                _ => {}
            }
        }
    }

    fn block_html(&mut self, source: &str) {
        let text = html::plain(source);
        self.flow.blank();
        self.flow.raw(self.outline.text(), text.trim());
        self.flow.blank();
    }
}
