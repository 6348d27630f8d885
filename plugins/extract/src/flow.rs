//! Running text: collapses white space and keeps lines, blank lines and list markers apart.

/// A break owed before the next text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Break {
    #[default]
    None,
    Space,
    Line,
    Blank,
}

/// Writes words into a string that starts empty.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    owed: Break,
    /// Just after a list marker, where a paragraph starts on the same line.
    after_marker: bool,
}

impl Flow {
    /// Starts over, with an empty string.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// The next text starts on a new line.
    pub(crate) fn line(&mut self) {
        self.owe(Break::Line);
    }

    /// The next text starts after a blank line.
    pub(crate) fn blank(&mut self) {
        self.owe(Break::Blank);
    }

    /// At least a space before the next text.
    pub(crate) fn space(&mut self) {
        self.owe(Break::Space);
    }

    fn owe(&mut self, owed: Break) {
        if !self.after_marker {
            self.owed = self.owed.max(owed);
        }
    }

    /// Text whose white space means nothing.
    pub(crate) fn inline(&mut self, out: &mut String, text: &str) {
        if text.is_ascii() {
            return self.ascii(out, text);
        }
        let mut rest = text;
        loop {
            let word_at = rest.find(|c: char| !c.is_whitespace());
            if word_at != Some(0) && !rest.is_empty() {
                self.space();
            }
            let Some(word_at) = word_at else { return };
            rest = &rest[word_at..];
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            self.pay(out);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }

    /// The same for most text, copying words with single spaces between them at once.
    fn ascii(&mut self, out: &mut String, text: &str) {
        let bytes = text.as_bytes();
        let is_white = |at: usize| bytes.get(at).is_some_and(|byte| matches!(byte, b' ' | b'\t'..=b'\r'));
        let mut at = 0;
        while at < bytes.len() {
            if is_white(at) {
                self.space();
                at += 1;
                continue;
            }
            let start = at;
            loop {
                while at < bytes.len() && !is_white(at) {
                    at += 1;
                }
                let single = at + 1 < bytes.len() && bytes[at] == b' ' && !is_white(at + 1);
                if !single {
                    break;
                }
                at += 1;
            }
            self.pay(out);
            out.push_str(&text[start..at]);
        }
    }

    /// Text that is kept as it is, such as code.
    pub(crate) fn raw(&mut self, out: &mut String, text: &str) {
        if !text.is_empty() {
            self.pay(out);
            out.push_str(text);
        }
    }

    /// A list marker on a new line.
    pub(crate) fn marker(&mut self, out: &mut String, depth: usize, number: Option<u64>) {
        self.after_marker = false;
        self.line();
        self.pay(out);
        out.extend(std::iter::repeat_n("  ", depth));
        match number {
            Some(number) => out.push_str(&format!("{number}. ")),
            None => out.push_str("- "),
        }
        self.after_marker = true;
    }

    /// Writes the owed break.
    fn pay(&mut self, out: &mut String) {
        let owed = std::mem::take(&mut self.owed);
        self.after_marker = false;
        if out.is_empty() {
            return;
        }
        match owed {
            Break::None => {}
            Break::Space if out.ends_with([' ', '\n']) => {}
            Break::Space => out.push(' '),
            Break::Line | Break::Blank => {
                while out.ends_with(' ') {
                    out.pop();
                }
                let have = if out.ends_with("\n\n") { 2 } else { usize::from(out.ends_with('\n')) };
                let want = if owed == Break::Blank { 2 } else { 1 };
                out.extend(std::iter::repeat_n('\n', want - have.min(want)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_collapses_alike_in_every_script() {
        for (text, wanted) in
            [("  a  b\t\nc d ", "a b c d"), ("é\u{a0} ü  a b\u{3000}", "é ü a b"), (" \u{b} ", ""), ("a", "a")]
        {
            let (mut flow, mut out) = (Flow::default(), String::new());
            flow.inline(&mut out, text);
            assert_eq!(out, wanted);
            flow.inline(&mut out, "x");
            let glue = if text == "a" || wanted.is_empty() { "" } else { " " };
            assert_eq!(out, format!("{wanted}{glue}x"));
        }
    }
}
