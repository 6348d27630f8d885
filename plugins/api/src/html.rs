//! HTML to Markdown, from a tokenizer's stream: no tree, so nesting costs nothing.

use html5gum::{Token, Tokenizer};

/// Deeper lists are treated as this deep.
const MAX_DEPTH: usize = 16;
/// Elements whose content is no text.
const SILENT: [&str; 8] = ["script", "style", "template", "noscript", "svg", "iframe", "object", "head"];

/// The Markdown that says what the HTML says.
pub(crate) fn to_markdown(html: &str) -> String {
    let mut page = Page::default();
    for token in Tokenizer::new(html) {
        match token {
            Ok(Token::StartTag(tag)) => {
                let attribute = |name: &str| {
                    let value = tag.attributes.get(name.as_bytes())?;
                    Some(String::from_utf8_lossy(value).into_owned())
                };
                let name = String::from_utf8_lossy(&tag.name).into_owned();
                page.start(&name, attribute);
                if tag.self_closing && SILENT.contains(&name.as_str()) {
                    page.end(&name);
                }
            }
            Ok(Token::EndTag(tag)) => page.end(&String::from_utf8_lossy(&tag.name)),
            Ok(Token::String(text)) => page.text(&String::from_utf8_lossy(&text)),
            _ => {}
        }
    }
    page.finish()
}

#[derive(Clone, Copy, Default, PartialEq, PartialOrd)]
enum Gap {
    #[default]
    None,
    Space,
    Line,
    Block,
}

#[derive(Default)]
struct Page {
    out: String,
    gap: Gap,
    /// The silent element being passed, and how often it was opened in itself.
    silent: Option<(String, usize)>,
    /// Next number of each open list; `None` for bullets.
    lists: Vec<Option<u64>>,
    quotes: usize,
    preformatted: bool,
    /// Where the text of the open link starts, and where it leads. Links do not nest.
    link: Option<(usize, Option<String>)>,
    /// Cells so far in the row, and whether a row was read, for each open table.
    tables: Vec<(usize, bool)>,
    /// A line begins with this when its text comes.
    mark: Option<String>,
}

impl Page {
    fn start(&mut self, name: &str, attribute: impl Fn(&str) -> Option<String>) {
        if let Some((silent, depth)) = &mut self.silent {
            *depth += usize::from(silent == name);
            return;
        }
        match name {
            _ if SILENT.contains(&name) => self.silent = Some((name.to_owned(), 1)),
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                self.gap(Gap::Block);
                self.mark = Some(format!("{} ", "#".repeat(usize::from(name.as_bytes()[1] - b'0'))));
            }
            "br" => self.gap(Gap::Line),
            "hr" => self.gap(Gap::Block),
            "ul" | "ol" => {
                self.gap(if self.lists.is_empty() { Gap::Block } else { Gap::Line });
                let start = attribute("start").and_then(|start| start.parse().ok()).unwrap_or(1);
                self.lists.push((name == "ol").then_some(start));
            }
            "li" => {
                self.gap(Gap::Line);
                let indent = "  ".repeat(self.lists.len().clamp(1, MAX_DEPTH) - 1);
                self.mark = Some(match self.lists.last_mut() {
                    Some(Some(number)) => {
                        *number = number.saturating_add(1);
                        format!("{indent}{}. ", *number - 1)
                    }
                    _ => format!("{indent}- "),
                });
            }
            "pre" => {
                self.gap(Gap::Block);
                self.flush();
                self.out.push_str("```\n");
                self.preformatted = true;
            }
            "code" if !self.preformatted => self.inline("`", true),
            "strong" | "b" => self.inline("**", true),
            "em" | "i" => self.inline("*", true),
            "a" => {
                self.flush_gap();
                self.link = Some((self.out.len(), attribute("href")));
            }
            "img" => {
                if let Some(alt) = attribute("alt").filter(|alt| !alt.trim().is_empty()) {
                    self.text(&alt);
                }
            }
            "table" => {
                self.gap(Gap::Block);
                self.tables.push((0, false));
            }
            "tr" => {
                self.gap(Gap::Line);
                if let Some((cells, _)) = self.tables.last_mut() {
                    *cells = 0;
                }
            }
            "td" | "th" => {
                if let Some((cells, _)) = self.tables.last_mut() {
                    *cells += 1;
                    let mark = if *cells == 1 { "| " } else { " | " };
                    if *cells == 1 {
                        self.flush();
                    }
                    self.gap = Gap::None;
                    self.out.push_str(mark);
                }
            }
            "blockquote" => {
                self.gap(Gap::Block);
                self.quotes = (self.quotes + 1).min(MAX_DEPTH);
            }
            "p" | "div" | "section" | "article" | "header" | "footer" | "main" | "aside" | "nav" | "figure" | "dl"
            | "form" | "address" | "details" => self.block(),
            "dt" | "dd" | "figcaption" | "summary" | "option" => self.gap(Gap::Line),
            _ => {}
        }
    }

    fn end(&mut self, name: &str) {
        if let Some((silent, depth)) = &mut self.silent {
            *depth -= usize::from(silent == name);
            if *depth == 0 {
                self.silent = None;
            }
            return;
        }
        match name {
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                self.mark = None;
                self.gap(Gap::Block);
            }
            "ul" | "ol" => {
                self.lists.pop();
                self.gap(if self.lists.is_empty() { Gap::Block } else { Gap::Line });
            }
            "pre" if self.preformatted => {
                self.preformatted = false;
                if !self.out.ends_with('\n') {
                    self.out.push('\n');
                }
                self.out.push_str("```");
                self.gap(Gap::Block);
            }
            "code" if !self.preformatted => self.inline("`", false),
            "strong" | "b" => self.inline("**", false),
            "em" | "i" => self.inline("*", false),
            "a" => {
                if let Some((start, Some(href))) = self.link.take()
                    && (href.starts_with("https://") || href.starts_with("http://") || href.starts_with("mailto:"))
                    && href.len() < 2_000
                    && !href.contains([' ', ')', '\n'])
                    && self.out.len() > start
                    && !self.out[start..].contains('\n')
                    && self.out[start..].trim() != href
                {
                    self.out.insert(start, '[');
                    self.out.push_str(&format!("]({href})"));
                }
            }
            "tr" => {
                if let Some((cells, headed)) = self.tables.last_mut()
                    && *cells > 0
                {
                    self.gap = Gap::None;
                    self.out.push_str(" |");
                    if !std::mem::replace(headed, true) {
                        let line = format!("\n|{}", " --- |".repeat((*cells).min(200)));
                        self.out.push_str(&line);
                    }
                    *cells = 0;
                }
                self.gap(Gap::Line);
            }
            "table" => {
                self.tables.pop();
                self.gap(Gap::Block);
            }
            "blockquote" => {
                self.quotes = self.quotes.saturating_sub(1);
                self.gap(Gap::Block);
            }
            "p" | "div" | "section" | "article" | "header" | "footer" | "main" | "aside" | "nav" | "figure" | "dl"
            | "form" | "address" | "details" => self.block(),
            "li" | "dt" | "dd" | "figcaption" | "summary" | "option" => self.gap(Gap::Line),
            _ => {}
        }
    }

    /// A block inside a list item or a cell only breaks the line, or not even that.
    fn block(&mut self) {
        if self.in_cell() {
            self.gap(Gap::Space);
        } else if self.mark.is_none() {
            self.gap(if self.lists.is_empty() { Gap::Block } else { Gap::Line });
        }
    }

    fn in_cell(&self) -> bool {
        self.tables.last().is_some_and(|(cells, _)| *cells > 0)
    }

    fn gap(&mut self, gap: Gap) {
        let gap = if self.in_cell() { Gap::Space } else { gap };
        if gap > self.gap {
            self.gap = gap;
        }
    }

    fn flush_gap(&mut self) {
        let gap = std::mem::take(&mut self.gap);
        let quote = "> ".repeat(self.quotes);
        if self.out.is_empty() {
            self.out.push_str(&quote);
            return;
        }
        match gap {
            Gap::None => {}
            Gap::Space if self.out.ends_with([' ', '\n']) => {}
            Gap::Space => self.out.push(' '),
            Gap::Line => self.out.push_str(&format!("\n{quote}")),
            Gap::Block => self.out.push_str(&format!("\n\n{quote}")),
        }
    }

    fn flush(&mut self) {
        self.flush_gap();
        if let Some(mark) = self.mark.take() {
            self.out.push_str(&mark);
        }
    }

    fn inline(&mut self, mark: &str, opens: bool) {
        if opens {
            self.flush();
            self.out.push_str(mark);
        } else if self.out.ends_with(mark) {
            // Nothing stood in it.
            self.out.truncate(self.out.len() - mark.len());
        } else {
            self.out.push_str(mark);
        }
    }

    fn text(&mut self, text: &str) {
        if self.silent.is_some() {
            return;
        }
        if self.preformatted {
            self.out.push_str(text);
            return;
        }
        if text.starts_with(char::is_whitespace) {
            self.gap(Gap::Space);
        }
        for (number, word) in text.split_whitespace().enumerate() {
            if number > 0 {
                self.gap(Gap::Space);
            }
            self.flush();
            if self.in_cell() { self.out.push_str(&word.replace('|', "\\|")) } else { self.out.push_str(word) }
        }
        if text.ends_with(char::is_whitespace) {
            self.gap(Gap::Space);
        }
    }

    fn finish(mut self) -> String {
        if self.preformatted {
            self.out.push_str("\n```");
        }
        self.out.trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn html_says_the_same_in_markdown() {
        for (html, expected) in [
            ("<p>One <b>two</b>\n three</p><p>four</p>", "One **two** three\n\nfour"),
            (
                "<h2>Care</h2><ul><li>Wash</li><li>Dry<ol><li>a</li><li>b</li></ol></li></ul>after",
                "## Care\n\n- Wash\n- Dry\n  1. a\n  2. b\n\nafter",
            ),
            ("a<br>b &amp; c&nbsp;d", "a\nb & c\u{a0}d".replace('\u{a0}', " ").as_str()),
            ("<a href=\"https://x.example/\">x</a> <a href=\"javascript:alert(1)\">y</a>", "[x](https://x.example/) y"),
            ("<script>no()</script><style>no</style>yes", "yes"),
            (
                "<table><tr><th>A</th><th>B</th></tr><tr><td>1|2</td><td><p>x</p></td></tr></table>",
                "| A | B |\n| --- | --- |\n| 1\\|2 | x |",
            ),
            ("<pre><code>fn a() {\n}</code></pre>", "```\nfn a() {\n}\n```"),
            ("<img alt='A picture'><b></b>", "A picture"),
            ("<li>alone", "- alone"),
            ("plain text", "plain text"),
        ] {
            assert_eq!(to_markdown(html), expected, "{html}");
        }
    }

    #[test]
    fn hostile_html_costs_no_more_than_its_bytes() {
        for html in [
            "<ul><li>".repeat(50_000),
            "<a href=x>".repeat(50_000),
            "<table><tr><td>".repeat(20_000),
            "</p>".repeat(50_000),
        ] {
            assert!(to_markdown(&html).len() <= html.len() * 8);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_html(html in "(</?(a|b|li|ul|pre|table|td|tr|h1|script|code|p|blockquote|x)( href=\"https://h\")?>|\\PC{0,4}){0,30}") {
            to_markdown(&html);
        }
    }
}
