//! Pieces of text on a page back into lines and paragraphs.
//!
//! The order in which a page draws is kept: programs draw column after column and row after row. Only spaces, line ends
//! and the gaps between columns of a table are read off the positions.

use super::content::Piece;

/// A gap wider than this part of the font's size is a space.
const SPACE: f64 = 0.17;
/// A gap wider than this many times the font's size is one between columns; justified words stand closer.
const COLUMN: f64 = 1.1;
/// Lines further apart than this are paragraphs.
const PARAGRAPH: f64 = 1.75;

/// The text of a page.
pub(super) fn text(pieces: Vec<Piece>) -> String {
    let mut out = String::new();
    let mut last: Option<Piece> = None;
    for piece in pieces {
        if let Some(last) = &last {
            between(&mut out, last, &piece);
        }
        for c in piece.text.chars() {
            match c {
                // Soft hyphens are drawn at the end of a line only.
                '\u{ad}' => out.push('-'),
                '\u{fb00}' => out.push_str("ff"),
                '\u{fb01}' => out.push_str("fi"),
                '\u{fb02}' => out.push_str("fl"),
                '\u{fb03}' => out.push_str("ffi"),
                '\u{fb04}' => out.push_str("ffl"),
                '\u{a0}' => out.push(' '),
                // Private use says nothing outside its font.
                '\u{e000}'..='\u{f8ff}' => {}
                c if c.is_control() => out.push(' '),
                c => out.push(c),
            }
        }
        last = Some(piece);
    }
    out
}

/// What stands between two pieces.
fn between(out: &mut String, last: &Piece, next: &Piece) {
    let size = last.size.max(next.size).max(0.1);
    let down = next.y - last.y;
    let gap = next.x - last.end_x;
    // Raised and lowered characters stay on the line.
    let same_line = down.abs() < 0.5 * size && gap > -size.max(0.5 * (last.end_x - last.x));
    if same_line {
        if gap > COLUMN * size {
            trim_end(out);
            out.push_str(" | ");
        } else if gap > SPACE * size && !out.ends_with(' ') && !next.text.starts_with(' ') {
            out.push(' ');
        }
        return;
    }
    trim_end(out);
    if out.is_empty() {
        return;
    }
    let other_size = (last.size - next.size).abs() > 0.15 * size;
    if down > PARAGRAPH * size || down < -0.5 * size || other_size {
        out.push_str("\n\n");
    } else if is_hyphenated(out) && next.text.starts_with(char::is_lowercase) {
        out.pop();
    } else {
        out.push('\n');
    }
}

fn trim_end(out: &mut String) {
    out.truncate(out.trim_end().len());
}

/// Ends in a letter and a hyphen.
fn is_hyphenated(text: &str) -> bool {
    text.strip_suffix(['-', '\u{2010}']).is_some_and(|rest| rest.ends_with(char::is_alphabetic))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(text: &str, x: f64, y: f64) -> Piece {
        Piece { text: text.into(), x, y, end_x: x + 5.0 * text.chars().count() as f64, size: 10.0 }
    }

    #[test]
    fn words_lines_columns_and_paragraphs_are_told_apart() {
        let pieces = vec![
            piece("Ship", 0.0, 0.0),
            piece("ping", 20.5, 0.0),
            piece("costs", 45.0, 0.0),
            piece("119.90", 150.0, 0.0),
            piece("within Eu-", 0.0, 12.0),
            piece("rope", 0.0, 24.0),
            piece("and on.", 0.0, 36.0),
            piece("Returns", 0.0, 60.0),
        ];
        assert_eq!(text(pieces), "Shipping costs | 119.90\nwithin Europe\nand on.\n\nReturns");
    }
}
