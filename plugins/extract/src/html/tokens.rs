//! The tokenizer's events as tags and text. Only the attributes that matter are kept, so a tag with a million attributes
//! costs no more than its bytes.

use std::borrow::Cow;

use html5gum::{
    Error, State,
    emitters::{Emitter, naive_next_state},
};

use super::page::Page;

/// A tag name longer than this is not one we know.
const MAX_NAME_BYTES: usize = 32;
/// The kept attributes are cut here.
const MAX_VALUE_BYTES: usize = 1024;

/// A start tag.
#[derive(Debug, Default)]
pub(super) struct StartTag {
    pub(super) name: Vec<u8>,
    pub(super) self_closing: bool,
    pub(super) id: Vec<u8>,
    pub(super) class: Vec<u8>,
    pub(super) style: Vec<u8>,
    pub(super) role: Vec<u8>,
    pub(super) lang: Vec<u8>,
    pub(super) hidden: bool,
    pub(super) aria_hidden: Vec<u8>,
}

impl StartTag {
    fn clear(&mut self) {
        for buffer in [
            &mut self.name,
            &mut self.id,
            &mut self.class,
            &mut self.style,
            &mut self.role,
            &mut self.lang,
            &mut self.aria_hidden,
        ] {
            buffer.clear();
        }
        self.self_closing = false;
        self.hidden = false;
    }

    /// Where the value of an attribute goes; `None` for one that does not matter.
    fn value_of(&mut self, attribute: &[u8]) -> Option<&mut Vec<u8>> {
        let buffer = match attribute {
            b"id" => &mut self.id,
            b"class" => &mut self.class,
            b"style" => &mut self.style,
            b"role" => &mut self.role,
            b"lang" => &mut self.lang,
            b"aria-hidden" => &mut self.aria_hidden,
            _ => return None,
        };
        Some(buffer)
    }
}

/// Feeds a page.
pub(super) struct Tokens<'a> {
    page: &'a mut Page,
    tag: StartTag,
    is_end: bool,
    attribute: Vec<u8>,
    last_start: Vec<u8>,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(page: &'a mut Page) -> Self {
        Self { page, tag: StartTag::default(), is_end: false, attribute: Vec::new(), last_start: Vec::new() }
    }

    fn end_attribute_name(&mut self) {
        if self.attribute == b"hidden" {
            self.tag.hidden = true;
        }
    }
}

fn push_capped(buffer: &mut Vec<u8>, bytes: &[u8], cap: usize) {
    buffer.extend_from_slice(&bytes[..bytes.len().min(cap.saturating_sub(buffer.len()))]);
}

impl Emitter for Tokens<'_> {
    /// The wish to stop.
    type Token = ();

    fn pop_token(&mut self) -> Option<()> {
        self.page.is_over_limit().then_some(())
    }

    fn emit_string(&mut self, text: &[u8]) {
        match String::from_utf8_lossy(text) {
            Cow::Borrowed(text) => self.page.text(text),
            Cow::Owned(text) => self.page.text(&text),
        }
    }

    fn init_start_tag(&mut self) {
        self.tag.clear();
        self.attribute.clear();
        self.is_end = false;
    }

    fn init_end_tag(&mut self) {
        self.tag.clear();
        self.attribute.clear();
        self.is_end = true;
    }

    fn push_tag_name(&mut self, name: &[u8]) {
        push_capped(&mut self.tag.name, name, MAX_NAME_BYTES);
    }

    fn set_self_closing(&mut self) {
        self.tag.self_closing = true;
    }

    fn init_attribute(&mut self) {
        self.end_attribute_name();
        self.attribute.clear();
    }

    fn push_attribute_name(&mut self, name: &[u8]) {
        push_capped(&mut self.attribute, name, MAX_NAME_BYTES);
    }

    fn push_attribute_value(&mut self, value: &[u8]) {
        if let Some(buffer) = self.tag.value_of(&self.attribute) {
            push_capped(buffer, value, MAX_VALUE_BYTES);
        }
    }

    fn emit_current_tag(&mut self) -> Option<State> {
        self.end_attribute_name();
        if self.is_end {
            self.page.end_tag(&self.tag.name);
            return None;
        }
        self.last_start.clone_from(&self.tag.name);
        self.page.start_tag(&self.tag);
        naive_next_state(&self.tag.name)
    }

    fn current_is_appropriate_end_tag_token(&mut self) -> bool {
        self.is_end && !self.last_start.is_empty() && self.tag.name == self.last_start
    }

    fn set_last_start_tag(&mut self, last_start_tag: Option<&[u8]>) {
        self.last_start = last_start_tag.unwrap_or_default().to_vec();
    }

    fn should_emit_errors(&mut self) -> bool {
        false
    }

    // Comments, doctypes and errors say nothing.
    fn emit_eof(&mut self) {}
    fn emit_error(&mut self, _: Error) {}
    fn init_comment(&mut self) {}
    fn push_comment(&mut self, _: &[u8]) {}
    fn emit_current_comment(&mut self) {}
    fn init_doctype(&mut self) {}
    fn push_doctype_name(&mut self, _: &[u8]) {}
    fn emit_current_doctype(&mut self) {}
    fn set_force_quirks(&mut self) {}
    fn set_doctype_public_identifier(&mut self, _: &[u8]) {}
    fn set_doctype_system_identifier(&mut self, _: &[u8]) {}
    fn push_doctype_public_identifier(&mut self, _: &[u8]) {}
    fn push_doctype_system_identifier(&mut self, _: &[u8]) {}
}
