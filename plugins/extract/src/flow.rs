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
