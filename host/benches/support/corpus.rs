//! Documents and queries made from a seed: varied text with a natural spread of frequent and rare words, the same on every machine.

use std::{fmt::Write, path::Path};

use rand::{RngExt, SeedableRng, rngs::StdRng};

/// Words of every text, the frequent ones first.
const COMMON: &str = "the of and to in a is that for it as with on be by this are or from at an not you can which will have \
    if all when one may other more use was but any do each has your we time must new how only these into there their no some \
    what than first also after then two should where page source order value before customer item number price product list \
    file set name day between data through need following same example change section delivery account return select line \
    address country support open service system report option request without message project user code state part payment \
    release review search result manual table version minutes device window answer question quality standard create contact \
    stock size color material warranty battery cable filter sensor engine garden kitchen travel winter summer morning office \
    team partner invoice receipt refund exchange discount shipping package customs insurance express freight pallet warehouse \
    schedule calendar meeting training safety install update remove replace repair clean measure connect charge reset lock \
    small large heavy light quick slow early late warm cold dry wet clear dark strong thin wide narrow public private";
/// How many rare words there are beside the common ones.
const RARE: u32 = 20_000;

/// A document of about 2 KB of Markdown: a title, a part number, three sections, a list.
pub fn markdown(number: usize) -> String {
    let mut text = Text::seeded(number as u64);
    let mut out = format!("# {}\n\nPart number {}. {}\n", text.title(), part_number(number), text.paragraph(25));
    for _ in 0..3 {
        let _ = write!(out, "\n## {}\n\n{}\n", text.title(), text.paragraph(65));
    }
    out.push('\n');
    for _ in 0..4 {
        let _ = writeln!(out, "- {}", text.words(6));
    }
    out
}

/// A web page of about 50 KB: navigation, headings, paragraphs, lists, a table and links.
pub fn html(number: usize) -> String {
    let mut text = Text::seeded(1 << 32 | number as u64);
    let title = text.title();
    let mut out = format!(
        "<!doctype html><html lang=\"en\"><head><title>{title}</title><style>p {{ margin: 0 }}</style></head><body><nav><ul>"
    );
    for entry in 0..40 {
        let _ = write!(out, "<li><a href=\"/page/{entry}\">{}</a></li>", text.title());
    }
    let _ = write!(out, "</ul></nav><main><h1>{title}</h1><p>Part number {}.</p>", part_number(number));
    let mut section = 0;
    while out.len() < 49_000 {
        section += 1;
        let _ = write!(out, "<section><h2 id=\"s{section}\">{}</h2>", text.title());
        for _ in 0..3 {
            let _ = write!(
                out,
                "<p class=\"body\">{} <a href=\"/x?a=1&amp;b=2\"><b>{}</b></a> &mdash; {}</p>",
                text.paragraph(40),
                text.words(3),
                text.paragraph(20)
            );
        }
        let _ = write!(out, "<ul><li>{}</li><li>{}</li></ul>", text.words(8), text.words(8));
        let _ = write!(
            out,
            "<table><tr><th>{}</th></tr><tr><td>{}</td></tr></table></section>",
            text.words(2),
            text.words(4)
        );
    }
    out.push_str("</main><footer><p>All rights reserved.</p></footer></body></html>");
    out
}

/// Where a document stands in the tree: a hundred to a folder, ten folders to an area.
pub fn path(number: usize) -> String {
    format!("area-{:02}/topic-{:03}/page-{number:05}.md", number / 1_000, number / 100)
}

/// Writes documents 0 to `count` below `root`.
pub fn write_tree(root: &Path, count: usize) {
    for number in 0..count {
        let path = root.join(path(number));
        if number % 100 == 0 {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        }
        std::fs::write(path, markdown(number)).unwrap();
    }
}

/// What somebody looking for one of `documents` might type: words of it, a question, its part number, or words with a slip.
pub fn query(number: usize, documents: usize) -> String {
    let mut rng = StdRng::seed_from_u64(2 << 32 | number as u64);
    let wanted = rng.random_range(0..documents);
    let text = markdown(wanted);
    let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| word.len() > 3).collect();
    let mut word = || words[rng.random_range(0..words.len())].to_lowercase();
    match number % 4 {
        0 => format!("{} {} {}", word(), word(), word()),
        1 => format!("How do I {} the {} when the {} is not {}?", word(), word(), word(), word()),
        2 => format!("{} {}", part_number(wanted), word()),
        _ => {
            let mut slip = word();
            slip.remove(slip.len() / 2);
            format!("{} {slip} {}", word(), word())
        }
    }
}

fn part_number(number: usize) -> String {
    format!("TB-{:05}-{}", number * 7 + 11, char::from(b'A' + (number % 26) as u8))
}

/// Sentences from a seed.
struct Text {
    rng: StdRng,
    common: Vec<&'static str>,
}

impl Text {
    fn seeded(seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), common: COMMON.split_whitespace().collect() }
    }

    /// Two words of three are common, and of both kinds the first are the most frequent.
    fn word(&mut self) -> String {
        let skewed = self.rng.random::<f64>().powi(3);
        if self.rng.random_range(0..3) < 2 {
            self.common[(skewed * self.common.len() as f64) as usize].to_owned()
        } else {
            rare_word((skewed * f64::from(RARE)) as u32)
        }
    }

    fn words(&mut self, count: usize) -> String {
        let words: Vec<_> = (0..count).map(|_| self.word()).collect();
        words.join(" ")
    }

    fn title(&mut self) -> String {
        let count = self.rng.random_range(2..6);
        capitalised(self.words(count))
    }

    /// Sentences of 6 to 18 words, `count` words in all.
    fn paragraph(&mut self, count: usize) -> String {
        let (mut out, mut left) = (String::new(), count);
        while left > 0 {
            let length = self.rng.random_range(6..19).min(left);
            left -= length;
            let separator = if out.is_empty() { "" } else { " " };
            let _ = write!(out, "{separator}{}.", capitalised(self.words(length)));
        }
        out
    }
}

/// Two to four syllables, a different word for every number.
fn rare_word(number: u32) -> String {
    const ONSETS: [&str; 16] = ["b", "c", "d", "f", "g", "l", "m", "n", "p", "r", "s", "t", "v", "st", "tr", "pl"];
    const VOWELS: [&str; 5] = ["a", "e", "i", "o", "u"];
    let (mut left, mut out) = (number + 80, String::new());
    while left > 0 {
        out.push_str(ONSETS[(left % 16) as usize]);
        out.push_str(VOWELS[(left / 16 % 5) as usize]);
        left /= 80;
    }
    out + ["n", "r", "l", "s"][(number % 4) as usize]
}

fn capitalised(text: String) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
