//! Chat: a question, the passages that answer it, an answer whose every sentence carries its citation.

mod extractive;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tributary_core::{Clock, MessageId, ThreadId, citation::Citation, principal::Principal, query::Filters};
use tributary_store::{Message, NewAnswer, NewQuestion, Page, TenantDb};

use crate::retrieval::{self, Knowledge, LONGEST_QUERY, Mode, Query};

/// Passages an answer may draw on.
const PASSAGES: usize = 8;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// In the words of a person.
    pub message: String,
    /// The conversation it belongs to; a new one when absent.
    pub thread_id: Option<ThreadId>,
    /// What to look at.
    pub filters: Filters,
}

/// How the answer was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnswerMode {
    /// The best sentences of the documents, word for word; no language model.
    Extract,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// It is complete.
    End,
}

/// What the answer cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Usage {
    /// Tokens sent to a language model.
    pub input_tokens: u64,
    /// Tokens it wrote.
    pub output_tokens: u64,
    /// Passages the answer could draw on.
    pub passages: u64,
}

impl Usage {
    /// Tokens of a language model, in and out.
    pub fn tokens(&self) -> u64 {
        self.input_tokens + self.output_tokens
    }
}

/// A piece of an answer, in order: text, then the citation that backs it.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// Text to append.
    Delta(String),
    /// What the text before it rests on.
    Citation(Box<Citation>),
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The id of the answer's message.
    pub id: MessageId,
    /// Its conversation.
    pub thread_id: ThreadId,
    /// How it was made.
    pub mode: AnswerMode,
    /// Its pieces in order.
    pub pieces: Vec<Piece>,
    /// What it cost.
    pub usage: Usage,
    /// Why it ended.
    pub stop_reason: StopReason,
}

impl Answer {
    /// The whole text: every delta in order.
    pub fn text(&self) -> String {
        let deltas = self
            .pieces
            .iter()
            .filter_map(|piece| if let Piece::Delta(text) = piece { Some(text.as_str()) } else { None });
        deltas.collect()
    }

    /// The citations by number.
    pub fn citations(&self) -> Vec<Citation> {
        let cited = self.pieces.iter().filter_map(|piece| {
            if let Piece::Citation(citation) = piece { Some(citation.as_ref().clone()) } else { None }
        });
        cited.collect()
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The message is empty or too long.
    #[error("{0}")]
    Message(String),
    /// Retrieval.
    #[error(transparent)]
    Retrieval(#[from] retrieval::Error),
    /// The record.
    #[error(transparent)]
    Store(#[from] tributary_store::Error),
}

/// The chat service.
pub struct Chat {
    clock: Arc<dyn Clock>,
    knowledge: Arc<Knowledge>,
}

impl Chat {
    /// Wired.
    pub fn new(clock: Arc<dyn Clock>, knowledge: Arc<Knowledge>) -> Self {
        Self { clock, knowledge }
    }

    /// Answers and keeps both question and answer. The question is kept even when answering fails.
    pub async fn ask(&self, tenant: &TenantDb, principal: &Principal, question: Question) -> Result<Answer, Error> {
        let message = question.message.trim();
        if message.is_empty() {
            return Err(Error::Message("ask something: the message is empty".to_owned()));
        }
        if message.chars().count() > LONGEST_QUERY {
            return Err(Error::Message(format!("a message has at most {LONGEST_QUERY} characters")));
        }
        let asked = NewQuestion {
            thread_id: question.thread_id,
            owner: principal.label(),
            content: message.to_owned(),
            now: self.clock.now(),
        };
        let saved = tenant.save_question(asked).await?;
        let settings = tenant.workspace().await?.settings;
        let query = Query {
            text: message.to_owned(),
            top_k: settings.top_k.map_or(PASSAGES, usize::from),
            mode: Mode::Auto,
            min_position: None,
            filters: question.filters,
        };
        let found = self.knowledge.query(tenant, query).await?;
        let usage = Usage { passages: found.items.len() as u64, ..Usage::default() };
        let passages: Vec<_> = found.items.into_iter().map(|ranked| ranked.passage).collect();
        let answer = Answer {
            id: MessageId::new(),
            thread_id: saved.thread_id,
            mode: AnswerMode::Extract,
            pieces: extractive::answer(message, &passages, settings.refusal_text.as_deref()),
            usage,
            stop_reason: StopReason::End,
        };
        let kept = NewAnswer {
            id: answer.id,
            thread_id: answer.thread_id,
            content: answer.text(),
            citations: answer.citations(),
            mode: "extract".to_owned(),
            usage: serde_json::json!(answer.usage),
            stop_reason: "end".to_owned(),
            now: self.clock.now(),
        };
        tenant.save_answer(kept).await?;
        Ok(answer)
    }

    /// The caller's messages, with each citation's standing as of now.
    pub async fn messages(
        &self,
        tenant: &TenantDb,
        principal: &Principal,
        thread: Option<ThreadId>,
        cursor: Option<MessageId>,
        limit: i64,
    ) -> Result<Page<Message>, Error> {
        let mut page = tenant.list_messages(Some(&principal.label()), thread, cursor, limit).await?;
        self.withhold(tenant, &mut page).await?;
        let cited: Vec<_> =
            citations(&mut page).map(|citation| (citation.document_id, citation.document_version)).collect();
        let standing = tenant.citation_status(&cited).await?;
        for (citation, status) in citations(&mut page).zip(standing) {
            citation.status = status;
        }
        Ok(page)
    }

    /// Takes out answers that rest on documents which the caller may not see any more: they quote them.
    async fn withhold(&self, tenant: &TenantDb, page: &mut Page<Message>) -> Result<(), Error> {
        if tenant.audience().is_everything() {
            return Ok(());
        }
        let cited: Vec<_> = citations(page).map(|citation| (citation.document_id, citation.source.id)).collect();
        let admitted = tenant.admitted(&cited).await?;
        for message in &mut page.items {
            if message.citations.iter().any(|citation| !admitted.contains(&citation.document_id)) {
                message.content = WITHHELD.to_owned();
                message.citations.clear();
            }
        }
        Ok(())
    }
}

/// In place of an answer that the caller may not read any more.
const WITHHELD: &str = "This answer rests on documents that you may not see any more.";

fn citations(page: &mut Page<Message>) -> impl Iterator<Item = &mut Citation> {
    page.items.iter_mut().flat_map(|message| message.citations.iter_mut())
}
