//! Markdown to sections: the text under each heading.

use tributary_plugin_sdk::Section;

/// Splits Markdown at its headings, which stand in `outer` already.
pub(crate) fn sections(markdown: &str, outer: &[String]) -> Vec<Section> {
    let mut sections = Vec::new();
    let mut heading: Vec<(usize, String)> = Vec::new();
    let (mut text, mut fence) = (String::new(), None::<&str>);
    let mut flush = |heading: &[(usize, String)], text: &mut String| {
        let body = std::mem::take(text);
        if !body.trim().is_empty() {
            let path = outer.iter().cloned().chain(heading.iter().map(|(_, title)| title.clone()));
            sections.push(Section::new(path.collect(), body.trim()));
        }
    };
    for line in markdown.lines() {
        let start = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            _ => {}
        }
        let level = line.bytes().take_while(|byte| *byte == b'#').count();
        let title = line[level..].trim().trim_end_matches('#').trim_end();
        if fence.is_none() && (1..=6).contains(&level) && line[level..].starts_with(' ') && !title.is_empty() {
            flush(&heading, &mut text);
            heading.retain(|(above, _)| *above < level);
            heading.push((level, title.to_owned()));
        } else {
            text.push_str(line);
            text.push('\n');
        }
    }
    flush(&heading, &mut text);
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_make_sections_and_code_does_not() {
        let found = sections("intro\n# A\ntext\n## B\n```\n# no\n```\n# C ##\nend\n# D\n", &["Top".to_owned()]);
        let found: Vec<_> = found.iter().map(|one| (one.heading.join("/"), one.text.as_str())).collect();
        let expected = [("Top", "intro"), ("Top/A", "text"), ("Top/A/B", "```\n# no\n```"), ("Top/C", "end")];
        assert_eq!(found, expected.map(|(heading, text)| (heading.to_owned(), text)));
    }
}
