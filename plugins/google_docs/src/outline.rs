//! A Google document, paragraph by paragraph, as sections under its headings.
//! <https://developers.google.com/workspace/docs/api/reference/rest/v1/documents>

use serde::Deserialize;
use tributary_plugin_sdk::Section;

/// The most text one document yields.
pub(crate) const MAX_TEXT_BYTES: usize = 16 << 20;
/// The most sections one document yields.
pub(crate) const MAX_SECTIONS: usize = 20_000;
/// The most characters of a heading; it stands above each of its sections.
const MAX_HEADING_CHARS: usize = 200;
/// Tables in tables, and tabs in tabs, deeper than this are left out.
const MAX_DEPTH: usize = 8;

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Outline {
    tabs: Vec<Tab>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Tab {
    tab_properties: TabProperties,
    document_tab: DocumentTab,
    child_tabs: Vec<Tab>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TabProperties {
    title: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DocumentTab {
    body: Body,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    content: Vec<Element>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Element {
    paragraph: Option<Paragraph>,
    table: Option<Table>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Paragraph {
    elements: Vec<Run>,
    paragraph_style: Style,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Style {
    named_style_type: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Run {
    text_run: Option<TextRun>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TextRun {
    content: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Table {
    table_rows: Vec<Row>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Row {
    table_cells: Vec<Body>,
}

/// The sections, empty ones left out. A document with several tabs has their titles as outermost headings.
pub(crate) fn sections(outline: &Outline) -> Vec<Section> {
    let mut writer = Writer::default();
    let titled = outline.tabs.len() > 1 || outline.tabs.iter().any(|tab| !tab.child_tabs.is_empty());
    for tab in &outline.tabs {
        writer.tab(tab, titled, 0);
    }
    writer.flush();
    writer.sections
}

#[derive(Default)]
struct Writer {
    sections: Vec<Section>,
    tab: Vec<String>,
    /// Level and text, outermost first.
    headings: Vec<(u8, String)>,
    text: String,
}

impl Writer {
    fn tab(&mut self, tab: &Tab, titled: bool, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        self.flush();
        self.headings.clear();
        if titled {
            self.tab.push(heading(&tab.tab_properties.title));
        }
        for element in &tab.document_tab.body.content {
            if let Some(paragraph) = &element.paragraph {
                self.paragraph(paragraph);
            } else if let Some(table) = &element.table {
                self.table(table);
            }
        }
        for child in &tab.child_tabs {
            self.tab(child, titled, depth + 1);
        }
        self.flush();
        if titled {
            self.tab.pop();
        }
    }

    fn paragraph(&mut self, paragraph: &Paragraph) {
        let text = text_of(paragraph);
        let text = text.trim_end();
        if text.is_empty() {
            return;
        }
        if let Some(level) = level_of(&paragraph.paragraph_style.named_style_type) {
            self.flush();
            self.headings.retain(|(above, _)| *above < level);
            self.headings.push((level, heading(text)));
            return;
        }
        self.line(text);
    }

    /// A line for each row, cells between bars.
    fn table(&mut self, table: &Table) {
        for row in &table.table_rows {
            let cells: Vec<String> = row.table_cells.iter().map(|cell| cell_text(cell, 0)).collect();
            self.line(&cells.join(" | "));
        }
    }

    fn line(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(text);
    }

    fn flush(&mut self) {
        let text = std::mem::take(&mut self.text);
        // One too many tells that there are too many.
        if text.trim().is_empty() || self.sections.len() > MAX_SECTIONS {
            return;
        }
        let heading = self.tab.iter().cloned().chain(self.headings.iter().map(|(_, text)| text.clone())).collect();
        self.sections.push(Section::new(heading, text));
    }
}

fn heading(text: &str) -> String {
    text.trim().chars().take(MAX_HEADING_CHARS).collect()
}

fn text_of(paragraph: &Paragraph) -> String {
    // A vertical tab is a line break within a paragraph.
    let runs = paragraph.elements.iter().filter_map(|run| run.text_run.as_ref());
    runs.map(|run| run.content.replace('\u{b}', "\n")).collect()
}

fn cell_text(cell: &Body, depth: usize) -> String {
    if depth > MAX_DEPTH {
        return String::new();
    }
    let mut lines = Vec::new();
    for element in &cell.content {
        if let Some(paragraph) = &element.paragraph {
            lines.push(text_of(paragraph).trim().to_owned());
        } else if let Some(table) = &element.table {
            lines.extend(
                table.table_rows.iter().flat_map(|row| row.table_cells.iter().map(|cell| cell_text(cell, depth + 1))),
            );
        }
    }
    lines.retain(|line| !line.is_empty());
    lines.join(" ")
}

fn level_of(style: &str) -> Option<u8> {
    match style {
        "TITLE" => Some(0),
        _ => style.strip_prefix("HEADING_")?.parse().ok().filter(|level| (1..=6).contains(level)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_heading_over_many_sections_stays_small() {
        let paragraph = |style: &str, text: &str| {
            serde_json::json!({ "paragraph": { "elements": [{ "textRun": { "content": text } }],
                "paragraphStyle": { "namedStyleType": style } } })
        };
        let mut content = vec![paragraph("HEADING_1", &"x".repeat(1 << 20))];
        for _ in 0..MAX_SECTIONS + 100 {
            content.extend([paragraph("HEADING_2", "y"), paragraph("NORMAL_TEXT", "z")]);
        }
        let document = serde_json::json!({ "tabs": [{ "documentTab": { "body": { "content": content } } }] });
        let sections = sections(&serde_json::from_value(document).unwrap());
        assert_eq!(sections.len(), MAX_SECTIONS + 1);
        assert!(sections.iter().all(|section| section.heading.iter().map(String::len).sum::<usize>() < 300));
    }

    #[test]
    fn headings_tabs_and_tables_become_sections() {
        let paragraph = |style: &str, text: &str| {
            serde_json::json!({ "paragraph": { "elements": [{ "textRun": { "content": format!("{text}\n") } }],
                "paragraphStyle": { "namedStyleType": style } } })
        };
        let cell = |text: &str| serde_json::json!({ "content": [paragraph("NORMAL_TEXT", text)] });
        let document = serde_json::json!({ "tabs": [
            { "tabProperties": { "title": "Main" }, "documentTab": { "body": { "content": [
                { "sectionBreak": {} },
                paragraph("HEADING_1", "Shipping"), paragraph("NORMAL_TEXT", "We ship."), paragraph("HEADING_2", "Europe"),
                { "table": { "tableRows": [{ "tableCells": [cell("DE"), cell("4 days")] }] } },
                paragraph("HEADING_1", "Returns"), paragraph("NORMAL_TEXT", "Within a month."),
            ] } } },
            { "tabProperties": { "title": "Notes" }, "documentTab": { "body": { "content": [paragraph("NORMAL_TEXT", "Ask.")] } } },
        ] });
        let sections = sections(&serde_json::from_value(document).unwrap());
        let told: Vec<_> = sections.iter().map(|one| (one.heading.join("/"), one.text.as_str())).collect();
        let expected = [
            ("Main/Shipping", "We ship."),
            ("Main/Shipping/Europe", "DE | 4 days"),
            ("Main/Returns", "Within a month."),
            ("Notes", "Ask."),
        ];
        assert_eq!(told, expected.map(|(heading, text)| (heading.to_owned(), text)));
    }
}
