//! The rules: what of a page is text, where lines break, and which headings stand above.

use tributary_plugin_sdk::Locator;

use super::{language_tag, tokens::StartTag};
use crate::{MAX_TEXT_BYTES, flow::Flow, outline::Outline};

/// A heading left open ends here, so that it cannot swallow the page.
const MAX_HEADING_BYTES: usize = 2_000;
/// Deeper lists and tables are treated as this deep.
const MAX_DEPTH: usize = 64;

/// The part of a page that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Region {
    /// `main` or `role=main`.
    Main,
    /// All articles.
    Article,
    /// The body without its furniture.
    Body,
    /// The body with everything that is visible.
    Everything,
}

impl Region {
    /// A cheap look at the source.
    pub(super) fn may_occur(self, source: &str) -> bool {
        match self {
            Self::Main => {
                ["<main", "<MAIN", "role=\"main\"", "role='main'", "role=main"].iter().any(|s| source.contains(s))
            }
            Self::Article => source.contains("<article") || source.contains("<ARTICLE"),
            Self::Body | Self::Everything => true,
        }
    }

    fn starts_at(self, tag: &StartTag) -> bool {
        match self {
            Self::Main => tag.name == b"main" || tag.role == b"main",
            Self::Article => tag.name == b"article",
            Self::Body | Self::Everything => true,
        }
    }
}

/// An element being left out or read, found again by counting its name.
struct Open {
    name: Vec<u8>,
    depth: u32,
    /// Lists and tables opened inside: the end of one around ends an element whose own end tag is optional.
    inside: i32,
}

struct Heading {
    level: u8,
    text: String,
    /// The text of buttons, used when there is no other.
    button: String,
    id: Option<String>,
}

/// A page being read.
pub(super) struct Page {
    pub(super) outline: Outline,
    pub(super) title: Option<String>,
    pub(super) language: Option<String>,
    region: Region,
    /// The region's element, once inside.
    inside: Option<Open>,
    skipped: Option<Open>,
    in_title: bool,
    heading: Option<Heading>,
    in_button: bool,
    flow: Flow,
    preformatted: u32,
    /// Next number of each open list; `None` for bullets.
    lists: Vec<Option<u64>>,
    /// Cells so far in the current row of each open table.
    tables: Vec<u32>,
    /// The last id that no text has followed yet.
    fresh_id: Option<String>,
}

impl Page {
    pub(super) fn new(region: Region) -> Self {
        Self {
            outline: Outline::default(),
            title: None,
            language: None,
            region,
            inside: None,
            skipped: None,
            in_title: false,
            heading: None,
            in_button: false,
            flow: Flow::default(),
            preformatted: 0,
            lists: Vec::new(),
            tables: Vec::new(),
            fresh_id: None,
        }
    }

    pub(super) fn is_over_limit(&self) -> bool {
        self.outline.text_bytes() > MAX_TEXT_BYTES
    }

    pub(super) fn is_blank(&self) -> bool {
        self.outline.text_bytes() == 0 && self.outline.first_heading().is_none() && self.heading.is_none()
    }

    pub(super) fn end(&mut self) {
        self.end_heading();
    }

    pub(super) fn text(&mut self, text: &str) {
        if self.in_title {
            let title = self.title.get_or_insert_default();
            if title.len() < MAX_HEADING_BYTES {
                title.push_str(text);
            }
            return;
        }
        if self.skipped.is_some() || self.is_outside() {
            return;
        }
        if let Some(heading) = &mut self.heading {
            let buffer = if self.in_button { &mut heading.button } else { &mut heading.text };
            buffer.push_str(text);
            if heading.text.len() > MAX_HEADING_BYTES {
                self.end_heading();
            }
        } else if self.in_button {
            // A control, not content.
        } else if self.preformatted > 0 {
            self.flow.raw(self.outline.text(), text);
            self.fresh_id = None;
        } else {
            self.flow.inline(self.outline.text(), text);
            if !text.trim().is_empty() {
                self.fresh_id = None;
            }
        }
    }

    pub(super) fn start_tag(&mut self, tag: &StartTag) {
        let name = tag.name.as_slice();
        if let Some(skipped) = &mut self.skipped {
            if skipped.inside > 0 || !ends_before(&skipped.name, name) {
                skipped.depth += u32::from(name == skipped.name);
                skipped.inside += i32::from(is_holder(name));
                return;
            }
            self.skipped = None;
        }
        match name {
            b"title" if self.title.is_none() => {
                self.in_title = true;
                return;
            }
            b"html" => self.language = std::str::from_utf8(&tag.lang).ok().and_then(language_tag),
            _ => {}
        }
        if !is_void(name) {
            if let Some(inside) = &mut self.inside {
                inside.depth += u32::from(name == inside.name);
            } else if matches!(self.region, Region::Main | Region::Article)
                && self.region.starts_at(tag)
                && !is_hidden(tag)
            {
                self.inside = Some(Open { name: name.to_vec(), depth: 1, inside: 0 });
            }
            if self.is_outside() {
                return;
            }
            if self.is_left_out(tag) {
                let closed = tag.self_closing && matches!(name, b"svg" | b"math");
                if !closed {
                    // Its own name was counted above as part of the region; its end tag is never seen there.
                    if let Some(inside) = &mut self.inside {
                        inside.depth -= u32::from(name == inside.name);
                    }
                    self.skipped = Some(Open { name: name.to_vec(), depth: 1, inside: 0 });
                }
                return;
            }
        } else if self.is_outside() {
            return;
        }
        self.note_id(tag);
        self.open(name);
    }

    fn open(&mut self, name: &[u8]) {
        match name {
            b"h1" | b"h2" | b"h3" | b"h4" | b"h5" | b"h6" => {
                self.end_heading();
                let id = self.fresh_id.take();
                self.heading = Some(Heading { level: name[1] - b'0', text: String::new(), button: String::new(), id });
            }
            b"button" => self.in_button = true,
            b"br" => self.soft_line(),
            b"pre" | b"listing" | b"xmp" | b"plaintext" => {
                self.end_heading();
                self.flow.blank();
                self.preformatted += 1;
            }
            b"ul" | b"ol" | b"menu" => {
                self.end_heading();
                if self.lists.is_empty() {
                    self.flow.blank();
                } else {
                    self.flow.line();
                }
                if self.lists.len() < MAX_DEPTH {
                    self.lists.push((name == b"ol").then_some(1));
                }
            }
            b"li" if self.heading.is_none() => {
                let number = self.lists.last_mut().and_then(|next| {
                    let number = *next;
                    *next = number.map(|number| number + 1);
                    number
                });
                self.flow.marker(self.outline.text(), self.lists.len().saturating_sub(1), number);
            }
            b"table" => {
                self.end_heading();
                self.flow.blank();
                if self.tables.len() < MAX_DEPTH {
                    self.tables.push(0);
                }
            }
            b"tr" => {
                self.flow.line();
                if let Some(cells) = self.tables.last_mut() {
                    *cells = 0;
                }
            }
            b"td" | b"th" => {
                if let Some(cells) = self.tables.last_mut() {
                    *cells += 1;
                    if *cells > 1 {
                        self.flow.raw(self.outline.text(), " | ");
                    }
                }
            }
            b"p" => {
                self.end_heading();
                self.paragraph();
            }
            _ => self.block(name),
        }
    }

    pub(super) fn end_tag(&mut self, name: &[u8]) {
        if self.in_title {
            self.in_title = name != b"title";
            return;
        }
        if let Some(skipped) = &mut self.skipped {
            if name == skipped.name {
                skipped.depth -= 1;
            }
            skipped.inside -= i32::from(is_holder(name));
            let ended = skipped.depth == 0;
            let abandoned = skipped.inside < 0 && has_optional_end(&skipped.name);
            if ended || abandoned {
                self.skipped = None;
            }
            if !abandoned || ended {
                return;
            }
        }
        if self.is_outside() {
            return;
        }
        match name {
            b"h1" | b"h2" | b"h3" | b"h4" | b"h5" | b"h6" => self.end_heading(),
            b"button" => self.in_button = false,
            b"pre" | b"listing" | b"xmp" => {
                self.preformatted = self.preformatted.saturating_sub(1);
                self.flow.blank();
            }
            b"ul" | b"ol" | b"menu" => {
                self.lists.pop();
                if self.lists.is_empty() {
                    self.flow.blank();
                } else {
                    self.flow.line();
                }
            }
            b"table" => {
                self.tables.pop();
                self.flow.blank();
            }
            b"p" => self.paragraph(),
            _ => self.block(name),
        }
        if let Some(inside) = &mut self.inside
            && name == inside.name
        {
            inside.depth -= 1;
            if inside.depth == 0 {
                self.end_heading();
                self.in_button = false;
                self.inside = None;
                self.flow.blank();
            }
        }
    }

    fn is_outside(&self) -> bool {
        matches!(self.region, Region::Main | Region::Article) && self.inside.is_none()
    }

    /// Furniture and what nobody sees.
    fn is_left_out(&self, tag: &StartTag) -> bool {
        let furniture = match tag.name.as_slice() {
            b"script" | b"style" | b"noscript" | b"template" | b"svg" | b"canvas" | b"iframe" | b"object"
            | b"select" | b"datalist" | b"textarea" | b"audio" | b"video" | b"head" => return tag.name != b"head",
            b"nav" | b"footer" | b"aside" | b"form" | b"dialog" => true,
            b"header" => self.region == Region::Body,
            _ => matches!(tag.role.as_slice(), b"navigation" | b"banner" | b"contentinfo" | b"search"),
        };
        furniture && self.region != Region::Everything || is_hidden(tag)
    }

    fn note_id(&mut self, tag: &StartTag) {
        if tag.id.is_empty() {
            return;
        }
        let id = String::from_utf8_lossy(&tag.id).into_owned();
        match &mut self.heading {
            Some(heading) if heading.id.is_none() && tag.name != b"button" => heading.id = Some(id),
            Some(_) => {}
            None => self.fresh_id = Some(id),
        }
    }

    fn end_heading(&mut self) {
        let Some(heading) = self.heading.take() else { return };
        let text = if heading.text.trim().is_empty() { &heading.button } else { &heading.text };
        // Signs that generators put next to a heading as a link to it.
        let text = text.trim().trim_matches(['§', '¶', '#', '🔗']);
        self.outline.heading(heading.level, text, heading.id.map(Locator::Fragment));
        self.flow.reset();
    }

    fn paragraph(&mut self) {
        if self.tables.is_empty() && self.lists.is_empty() {
            self.flow.blank();
        } else {
            self.soft_line();
        }
    }

    /// A line break, except where a line is a table row or a heading.
    fn soft_line(&mut self) {
        match &mut self.heading {
            Some(heading) => heading.text.push(' '),
            None if self.preformatted > 0 => self.flow.raw(self.outline.text(), "\n"),
            None if self.tables.is_empty() => self.flow.line(),
            None => self.flow.space(),
        }
    }

    fn block(&mut self, name: &[u8]) {
        match name {
            b"div" | b"section" | b"article" | b"main" | b"header" | b"footer" | b"figure" | b"figcaption"
            | b"details" | b"summary" | b"address" | b"dd" | b"dt" | b"fieldset" | b"legend" | b"option" | b"body"
            | b"caption" | b"aside" | b"nav" | b"form" | b"dialog" | b"hgroup" | b"center" | b"li" => {
                if self.preformatted == 0 {
                    self.soft_line();
                } else {
                    self.flow.line();
                }
            }
            b"blockquote" | b"dl" | b"hr" => self.flow.blank(),
            _ => {}
        }
    }
}

fn is_hidden(tag: &StartTag) -> bool {
    tag.hidden
        || tag.aria_hidden == b"true"
        || has_noise_class(&tag.class)
        || (!tag.style.is_empty() && {
            let style: Vec<u8> = tag.style.iter().filter(|byte| !byte.is_ascii_whitespace()).copied().collect();
            let style = style.to_ascii_lowercase();
            [b"display:none".as_slice(), b"visibility:hidden"].iter().any(|s| style.windows(s.len()).any(|w| w == *s))
        })
}

/// Classes by which common site generators (rustdoc, mdBook, Sphinx, Bootstrap) mark what is not content.
const NOISE: [&[u8]; 15] = [
    b"anchor",
    b"boring",
    b"breadcrumb",
    b"breadcrumbs",
    b"headerlink",
    b"hideme",
    b"pagination",
    b"rightside",
    b"rule-link",
    b"rustdoc-breadcrumbs",
    b"sr-only",
    b"src",
    b"sub-heading",
    b"tooltip",
    b"visually-hidden",
];

fn has_noise_class(class: &[u8]) -> bool {
    !class.is_empty() && class.split(u8::is_ascii_whitespace).any(|class| NOISE.contains(&class))
}

fn is_void(name: &[u8]) -> bool {
    matches!(
        name,
        b"area"
            | b"base"
            | b"br"
            | b"col"
            | b"embed"
            | b"hr"
            | b"img"
            | b"input"
            | b"link"
            | b"meta"
            | b"source"
            | b"track"
            | b"wbr"
    )
}

/// Elements whose end ends the open items inside.
fn is_holder(name: &[u8]) -> bool {
    matches!(name, b"ul" | b"ol" | b"dl" | b"table" | b"select" | b"menu" | b"body")
}

/// Whether a start tag ends an open element whose own end tag was left out.
fn ends_before(open: &[u8], start: &[u8]) -> bool {
    match open {
        b"p" => matches!(
            start,
            b"p" | b"div" | b"ul" | b"ol" | b"dl" | b"table" | b"pre" | b"section" | b"h1" | b"h2" | b"h3"
        ),
        b"li" => start == b"li",
        b"dt" | b"dd" => matches!(start, b"dt" | b"dd"),
        b"td" | b"th" => matches!(start, b"td" | b"th" | b"tr"),
        b"tr" => start == b"tr",
        b"option" => start == b"option",
        _ => false,
    }
}

fn has_optional_end(name: &[u8]) -> bool {
    matches!(
        name,
        b"p" | b"li" | b"dt" | b"dd" | b"tr" | b"td" | b"th" | b"thead" | b"tbody" | b"tfoot" | b"option" | b"optgroup"
    )
}
