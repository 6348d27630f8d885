//! What a page draws, followed for its text alone: the operators of ISO 32000-2 §8.4 (state), §8.10 (forms), §9 (text)
//! and §14.6 (marked content).

use std::{collections::HashMap, sync::Arc};

use hayro_cmap::BfString;
use hayro_font::{
    CMapResolverFn, Font, FontCache, FontGlyph, FontQuery, FontResolverFn,
    kurbo::{Affine, Point},
};
use hayro_syntax::{
    content::{TypedIter, ops::TypedInstruction},
    object::{Array, Dict, Object, Stream},
    page::{Page, Resources},
};
use tributary_plugin_sdk::Failure;

use super::{WHAT, text_string};
use crate::{MAX_TEXT_BYTES, fault};

/// Forms inside forms.
const MAX_FORMS: usize = 16;
/// Saved states.
const MAX_STATES: usize = 256;
/// Operators of one document: a form drawn by a form drawn by a form multiplies them.
const MAX_OPERATORS: u64 = 30_000_000;
/// What one page draws, unpacked, in bytes.
const MAX_CONTENT_BYTES: usize = 96 << 20;
/// Pieces of text of one page.
const MAX_PIECES: usize = 500_000;
/// Pieces closer than this part of the font's size are one.
const JOINED: f64 = 0.1;
/// Characters of a font that are remembered.
const MAX_REMEMBERED: usize = 20_000;

/// A piece of text as drawn, in the coordinates of the page as it is read: x to the right, y down the page.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) x: f64,
    pub(super) y: f64,
    /// Where the next character would stand.
    pub(super) end_x: f64,
    /// Height of the font.
    pub(super) size: f64,
}

/// What a character code means: its text, when the font says so, and its advance in thousandths of the size.
type Meaning = (Option<String>, f64);

/// A font with the meanings looked up so far.
struct Face<'a> {
    font: Font<'a>,
    meanings: HashMap<u32, Meaning>,
}

/// The part of the graphics state that moves text (ISO 32000-2 §9.3).
#[derive(Clone)]
struct State {
    matrix: Affine,
    /// Index of the face.
    face: Option<usize>,
    size: f64,
    character_spacing: f64,
    word_spacing: f64,
    scale: f64,
    leading: f64,
    rise: f64,
}

/// Marked content that is open.
enum Mark {
    Plain,
    /// Page numbers, running headers and ornaments.
    Artifact,
    /// What is drawn inside stands for this text.
    Actual(String),
    /// The same, after the text was taken.
    Taken,
}

/// Reads page after page of one document.
pub(super) struct Reader<'a> {
    fonts: FontCache<'a>,
    font_resolver: FontResolverFn,
    cmap_resolver: CMapResolverFn,
    faces: Vec<Face<'a>>,
    /// Faces by where their dictionary stands in the file.
    known: HashMap<(usize, usize), Option<usize>>,
    operators: u64,
    text_bytes: usize,
    /// Characters whose fonts do not say what they are.
    pub(super) unreadable: u64,
    pieces: Vec<Piece>,
    marks: Vec<Mark>,
}

impl<'a> Reader<'a> {
    pub(super) fn new() -> Self {
        Self {
            fonts: FontCache::new(),
            // The standard fonts, for documents that leave them out.
            font_resolver: Arc::new(|query| match query {
                FontQuery::Standard(font) => Some(font.get_font_data()),
                FontQuery::Fallback(query) => Some(query.pick_standard_font().get_font_data()),
            }),
            cmap_resolver: Arc::new(hayro_cmap::load_embedded),
            faces: Vec::new(),
            known: HashMap::new(),
            operators: 0,
            text_bytes: 0,
            unreadable: 0,
            pieces: Vec::new(),
            marks: Vec::new(),
        }
    }

    /// The pieces of text of a page, in the order they are drawn.
    ///
    /// # Errors
    /// `too-large` for a document that draws without end.
    pub(super) fn read(&mut self, page: &Page<'a>) -> Result<Vec<Piece>, Failure> {
        self.marks.clear();
        let matrix = Affine::new(page.initial_transform(true).as_coeffs());
        let state = State {
            matrix,
            face: None,
            size: 1.0,
            character_spacing: 0.0,
            word_spacing: 0.0,
            scale: 1.0,
            leading: 0.0,
            rise: 0.0,
        };
        let content = content(page)?;
        self.follow(TypedIter::new(&content), page.resources(), state, 0)?;
        Ok(std::mem::take(&mut self.pieces))
    }

    fn follow(
        &mut self,
        mut operators: TypedIter<'_>,
        resources: &Resources<'a>,
        mut state: State,
        depth: usize,
    ) -> Result<(), Failure> {
        use TypedInstruction as Op;
        let mut saved: Vec<State> = Vec::new();
        let marks = self.marks.len();
        let (mut line, mut at) = (Affine::IDENTITY, Affine::IDENTITY);
        let next_line = |line: &mut Affine, x: f64, y: f64| {
            *line *= Affine::translate((x, y));
            *line
        };
        while let Some(operator) = operators.next() {
            self.operators += 1;
            if self.operators > MAX_OPERATORS {
                return Err(fault::bomb(WHAT, "draws far more than its pages can show"));
            }
            match operator {
                Op::SaveState(_) if saved.len() < MAX_STATES => saved.push(state.clone()),
                Op::RestoreState(_) => {
                    if let Some(before) = saved.pop() {
                        state = before;
                    }
                }
                Op::Transform(t) => state.matrix *= affine([t.0, t.1, t.2, t.3, t.4, t.5]),
                Op::BeginText(_) => (line, at) = (Affine::IDENTITY, Affine::IDENTITY),
                Op::TextFont(font) => {
                    state.face = resources.get_font(font.0).and_then(|dict| self.face(&dict));
                    state.size = font.1.as_f64();
                }
                Op::CharacterSpacing(spacing) => state.character_spacing = spacing.0.as_f64(),
                Op::WordSpacing(spacing) => state.word_spacing = spacing.0.as_f64(),
                Op::HorizontalScaling(scale) => state.scale = scale.0.as_f64() / 100.0,
                Op::TextLeading(leading) => state.leading = leading.0.as_f64(),
                Op::TextRise(rise) => state.rise = rise.0.as_f64(),
                Op::NextLine(t) => at = next_line(&mut line, t.0.as_f64(), t.1.as_f64()),
                Op::NextLineAndSetLeading(t) => {
                    state.leading = -t.1.as_f64();
                    at = next_line(&mut line, t.0.as_f64(), t.1.as_f64());
                }
                Op::SetTextMatrix(t) => {
                    line = affine([t.0, t.1, t.2, t.3, t.4, t.5]);
                    at = line;
                }
                Op::NextLineUsingLeading(_) => at = next_line(&mut line, 0.0, -state.leading),
                Op::ShowText(text) => self.show(&state, &mut at, text.0.as_bytes())?,
                Op::NextLineAndShowText(text) => {
                    at = next_line(&mut line, 0.0, -state.leading);
                    self.show(&state, &mut at, text.0.as_bytes())?;
                }
                Op::ShowTextWithParameters(text) => {
                    state.word_spacing = text.0.as_f64();
                    state.character_spacing = text.1.as_f64();
                    at = next_line(&mut line, 0.0, -state.leading);
                    self.show(&state, &mut at, text.2.as_bytes())?;
                }
                Op::ShowTexts(texts) => {
                    for object in texts.0.iter::<Object<'_>>() {
                        match object {
                            Object::String(text) => self.show(&state, &mut at, text.as_bytes())?,
                            Object::Number(back) => {
                                let x = -back.as_f64() / 1000.0 * state.size * state.scale;
                                at *= Affine::translate((x, 0.0));
                            }
                            _ => {}
                        }
                    }
                }
                Op::XObject(name) => {
                    if let Some(form) = resources.get_x_object(name.0)
                        && depth < MAX_FORMS
                    {
                        self.form(&form, resources, &state, depth)?;
                    }
                }
                Op::BeginMarkedContent(mark) => {
                    self.mark(if mark.0.as_ref() == b"Artifact" { Mark::Artifact } else { Mark::Plain });
                }
                Op::BeginMarkedContentWithProperties(mark) => {
                    let properties = match mark.1 {
                        Object::Dict(dict) => dict.get::<hayro_syntax::object::String<'_>>(b"ActualText"),
                        Object::Name(name) => resources
                            .properties
                            .get::<Dict<'_>>(name)
                            .and_then(|dict| dict.get::<hayro_syntax::object::String<'_>>(b"ActualText")),
                        _ => None,
                    };
                    self.mark(match properties {
                        _ if mark.0.as_ref() == b"Artifact" => Mark::Artifact,
                        Some(text) => Mark::Actual(text_string(text.as_bytes())),
                        None => Mark::Plain,
                    });
                }
                // A form ends no mark of what draws it.
                Op::EndMarkedContent(_) if self.marks.len() > marks => {
                    self.marks.pop();
                }
                _ => {}
            }
        }
        self.marks.truncate(marks);
        Ok(())
    }

    fn form(&mut self, form: &Stream<'a>, around: &Resources<'a>, state: &State, depth: usize) -> Result<(), Failure> {
        let dict = form.dict();
        let is_form =
            dict.get::<hayro_syntax::object::Name<'_>>(b"Subtype").is_some_and(|kind| kind.as_ref() == b"Form");
        if !is_form {
            return Ok(());
        }
        let Ok(content) = form.decoded() else { return Ok(()) };
        let own = dict.get::<Dict<'a>>(b"Resources").map(Resources::new);
        let mut state = state.clone();
        if let Some(matrix) = dict.get::<[f64; 6]>(b"Matrix") {
            state.matrix *= Affine::new(matrix);
        }
        self.follow(TypedIter::new(&content), own.as_ref().unwrap_or(around), state, depth + 1)
    }

    fn mark(&mut self, mark: Mark) {
        if self.marks.len() < MAX_STATES {
            self.marks.push(mark);
        }
    }

    fn face(&mut self, dict: &Dict<'a>) -> Option<usize> {
        let data = dict.data();
        let key = (data.as_ptr() as usize, data.len());
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let font = self.fonts.font(dict, &self.font_resolver, &self.cmap_resolver);
        let face = font.map(|font| {
            self.faces.push(Face { font, meanings: HashMap::new() });
            self.faces.len() - 1
        });
        self.known.insert(key, face);
        face
    }

    /// Shows a string, moving `at` behind it.
    fn show(&mut self, state: &State, at: &mut Affine, bytes: &[u8]) -> Result<(), Failure> {
        let Some(face) = state.face.and_then(|place| self.faces.get_mut(place)) else { return Ok(()) };
        let mut text = String::new();
        let start = (state.matrix * *at) * Point::new(0.0, state.rise);
        let mut offset = 0;
        while offset < bytes.len() {
            let (code, length) = face.font.read_code(bytes, offset);
            let length = length.max(1);
            offset += length;
            let advance = match face.meanings.get(&code) {
                Some((meaning, advance)) => {
                    push(&mut text, meaning.as_deref(), &mut self.unreadable);
                    *advance
                }
                None => {
                    let (meaning, advance) = meaning(&face.font, code);
                    push(&mut text, meaning.as_deref(), &mut self.unreadable);
                    if face.meanings.len() < MAX_REMEMBERED {
                        face.meanings.insert(code, (meaning, advance));
                    }
                    advance
                }
            };
            let word = if length == 1 && code == 32 { state.word_spacing } else { 0.0 };
            let x = (advance / 1000.0 * state.size + state.character_spacing + word) * state.scale;
            *at *= Affine::translate((x, 0.0));
        }
        self.operators += bytes.len() as u64 / 16;
        let matrix = state.matrix * *at;
        let end = matrix * Point::new(0.0, state.rise);
        let [_, _, c, d, _, _] = matrix.as_coeffs();
        let size = (c.hypot(d) * state.size).abs();
        let Some(text) = self.marked(text) else { return Ok(()) };
        if !(start.x.is_finite() && start.y.is_finite() && end.x.is_finite() && size.is_finite()) || text.is_empty() {
            return Ok(());
        }
        self.text_bytes += text.len();
        if self.text_bytes > MAX_TEXT_BYTES {
            return Err(crate::outline::too_much_text());
        }
        // Most programs draw a word or a letter at a time.
        if let Some(last) = self.pieces.last_mut()
            && last.y == start.y
            && last.size == size
            && (start.x - last.end_x).abs() < JOINED * size
        {
            last.text.push_str(&text);
            last.end_x = end.x;
            return Ok(());
        }
        if self.pieces.len() == MAX_PIECES {
            return Err(fault::bomb(WHAT, "draws far more than its pages can show"));
        }
        self.pieces.push(Piece { text, x: start.x, y: start.y, end_x: end.x, size });
        Ok(())
    }

    /// What the marks around it make of a text.
    fn marked(&mut self, text: String) -> Option<String> {
        for mark in &mut self.marks {
            match mark {
                Mark::Plain => {}
                Mark::Artifact | Mark::Taken => return None,
                Mark::Actual(_) => match std::mem::replace(mark, Mark::Taken) {
                    Mark::Actual(actual) => return Some(actual),
                    _ => return None,
                },
            }
        }
        Some(text)
    }
}

/// What a page draws, unpacked. (The page itself would keep it, and a document all of its pages.)
fn content(page: &Page<'_>) -> Result<Vec<u8>, Failure> {
    let whole = page.raw().get::<Stream<'_>>(b"Contents");
    let parts = page.raw().get::<Array<'_>>(b"Contents");
    let parts = parts.iter().flat_map(Array::iter::<Stream<'_>>);
    let mut content = Vec::new();
    for stream in whole.into_iter().chain(parts) {
        if let Ok(part) = stream.decoded() {
            content.extend_from_slice(&part);
            // Parts may end within an operator's operands, never within a word.
            content.push(b'\n');
        }
        if content.len() > MAX_CONTENT_BYTES {
            return Err(fault::bomb(WHAT, "draws far more than its pages can show"));
        }
    }
    Ok(content)
}

fn push(text: &mut String, meaning: Option<&str>, unreadable: &mut u64) {
    match meaning {
        Some(meaning) => text.push_str(meaning),
        None => *unreadable += 1,
    }
}

fn meaning(font: &Font<'_>, code: u32) -> Meaning {
    let glyph = font.glyph(font.map_code(code), code);
    let text = match glyph {
        FontGlyph::Outline(glyph) => glyph.as_unicode(),
        FontGlyph::Type3(glyph) => glyph.as_unicode(),
    };
    let text = text.map(|text| match text {
        BfString::Char(c) => c.to_string(),
        BfString::String(text) => text,
    });
    let advance = font.code_advance(code).x;
    (text, if advance.is_finite() { advance } else { 0.0 })
}

fn affine(numbers: [hayro_syntax::object::Number; 6]) -> Affine {
    Affine::new(numbers.map(|number| number.as_f64()))
}
