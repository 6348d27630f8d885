//! Mail (RFC 5322 and MIME): who wrote to whom and when, the text, and the names of what is attached.

use mail_parser::{Address, Message, MessageParser, MimeHeaders, PartType};
use tributary_plugin_sdk::{Extracted, Failure};

use crate::{
    fault, html,
    outline::{Outline, heading_text},
    rich::{Block, Rich},
};

const WHAT: &str = "The message";
/// Most people named of one header.
const MAX_PEOPLE: usize = 50;
/// Most attachments named.
const MAX_ATTACHMENTS: usize = 200;

pub(crate) fn extract(bytes: &[u8]) -> Result<Extracted, Failure> {
    let message = MessageParser::default().parse(bytes);
    let message = message.filter(|message| !message.headers().is_empty());
    let Some(message) = message else { return Err(fault::damaged(WHAT, "it has no header")) };
    let encrypted = message.content_type().is_some_and(|kind| {
        let subtype = kind.subtype().unwrap_or_default().to_ascii_lowercase();
        subtype == "encrypted" || subtype == "pkcs7-mime" && kind.attribute("smime-type") == Some("enveloped-data")
    });
    if encrypted {
        return Err(fault::encrypted(WHAT));
    }
    let mut head = Rich::default();
    head.push(Block::Paragraph(headers(&message)));
    let attachments = attachments(&message);
    if !attachments.is_empty() {
        head.push(Block::Paragraph(format!("Attachments: {}", attachments.join(", "))));
    }
    let subject = message.subject().map(heading_text).filter(|subject| !subject.is_empty());
    let mut outline = Outline::default();
    for section in head.finish(None, None)?.sections {
        outline.push(section);
    }
    for part in message.text_bodies() {
        match &part.body {
            PartType::Text(text) => {
                outline.split(None);
                outline.text().push_str(&text.replace("\r\n", "\n"));
            }
            PartType::Html(page) => {
                for mut section in html::extract(page, false)?.sections {
                    section.at = None;
                    outline.push(section);
                }
            }
            _ => {}
        }
        if outline.is_full() {
            break;
        }
    }
    outline.finish(subject, None)
}

fn headers(message: &Message<'_>) -> String {
    let people = [("From", message.from()), ("To", message.to()), ("Cc", message.cc())];
    let mut lines: Vec<_> =
        people.into_iter().filter_map(|(name, address)| Some(format!("{name}: {}", people_text(address?)?))).collect();
    lines.extend(message.date().map(|date| format!("Date: {}", date.to_rfc3339())));
    lines.extend(message.subject().map(|subject| format!("Subject: {}", heading_text(subject))));
    lines.join("\n")
}

fn people_text(address: &Address<'_>) -> Option<String> {
    let person = |person: &mail_parser::Addr<'_>| match (person.name(), person.address()) {
        (Some(name), Some(address)) => Some(format!("{} <{}>", heading_text(name), heading_text(address))),
        (Some(one), None) | (None, Some(one)) => Some(heading_text(one)),
        (None, None) => None,
    };
    let people: Vec<_> = address.iter().take(MAX_PEOPLE).filter_map(person).collect();
    (!people.is_empty()).then(|| people.join(", "))
}

fn attachments(message: &Message<'_>) -> Vec<String> {
    let name = |part: &mail_parser::MessagePart<'_>| {
        let inner = match &part.body {
            PartType::Message(inner) => inner.subject(),
            _ => None,
        };
        part.attachment_name().or(inner).map(heading_text).filter(|name| !name.is_empty())
    };
    message.attachments().filter_map(name).take(MAX_ATTACHMENTS).collect()
}
