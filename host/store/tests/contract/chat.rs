//! Conversations.

use tributary_core::{MessageId, ThreadId};
use tributary_store::{Error, NewAnswer, NewQuestion, Role};

use crate::support::{World, at, worlds};

fn question(thread_id: Option<ThreadId>, content: &str) -> NewQuestion {
    NewQuestion { thread_id, owner: "user:ada".to_owned(), content: content.to_owned(), now: at(1) }
}

fn answer(thread_id: ThreadId, content: &str) -> NewAnswer {
    NewAnswer {
        id: MessageId::new(),
        thread_id,
        content: content.to_owned(),
        citations: vec![],
        mode: "extract".to_owned(),
        usage: serde_json::json!({ "input_tokens": 0 }),
        stop_reason: "end".to_owned(),
        now: at(2),
    }
}

async fn texts(world: &World, owner: Option<&str>, thread: Option<ThreadId>) -> Vec<String> {
    let page = world.tenant.list_messages(owner, thread, None, 100).await.unwrap();
    page.items.into_iter().map(|message| message.content).collect()
}

#[tokio::test]
async fn a_conversation_reads_in_order_and_belongs_to_its_owner() {
    for world in worlds().await {
        let asked = world.tenant.save_question(question(None, "How long?")).await.unwrap();
        let answered = answer(asked.thread_id, "19 days");
        world.tenant.save_answer(answered.clone()).await.unwrap();
        world.tenant.save_question(question(Some(asked.thread_id), "To Berlin?")).await.unwrap();
        let other = world.tenant.save_question(question(None, "Something else")).await.unwrap();

        let ada = Some("user:ada");
        assert_eq!(
            texts(&world, ada, Some(asked.thread_id)).await,
            ["How long?", "19 days", "To Berlin?"],
            "{}",
            world.name()
        );
        assert_eq!(
            texts(&world, ada, None).await,
            ["Something else", "To Berlin?", "19 days", "How long?"],
            "newest first"
        );
        assert!(texts(&world, Some("user:bob"), None).await.is_empty());
        assert!(texts(&world, Some("user:bob"), Some(other.thread_id)).await.is_empty());
        assert_eq!(texts(&world, None, None).await.len(), 4);

        let page = world.tenant.list_messages(ada, Some(asked.thread_id), None, 2).await.unwrap();
        assert!(page.more);
        let message = &page.items[1];
        assert_eq!((message.id, message.role, message.created_at), (answered.id, Role::Assistant, at(2)));
        assert_eq!((message.stop_reason.as_deref(), message.mode.as_deref()), (Some("end"), Some("extract")));
        assert_eq!(message.usage, Some(answered.usage));
        let rest = world.tenant.list_messages(ada, Some(asked.thread_id), Some(message.id), 2).await.unwrap();
        assert_eq!((rest.items.len(), rest.more), (1, false));
        let newest = world.tenant.list_messages(ada, None, None, 1).await.unwrap();
        let older = world.tenant.list_messages(ada, None, Some(newest.items[0].id), 1).await.unwrap();
        assert_eq!(older.items[0].content, "To Berlin?");
    }
}

#[tokio::test]
async fn nobody_asks_in_another_owners_conversation() {
    for world in worlds().await {
        let asked = world.tenant.save_question(question(None, "mine")).await.unwrap();
        let stranger = NewQuestion { owner: "user:bob".to_owned(), ..question(Some(asked.thread_id), "also mine?") };
        assert!(
            matches!(world.tenant.save_question(stranger).await, Err(Error::NotFound("thread"))),
            "{}",
            world.name()
        );
        let nowhere = world.tenant.save_question(question(Some(ThreadId::new()), "x")).await;
        assert!(matches!(nowhere, Err(Error::NotFound("thread"))));
        assert!(matches!(world.tenant.save_answer(answer(ThreadId::new(), "x")).await, Err(Error::NotFound("thread"))));
    }
}

#[tokio::test]
async fn an_answer_saved_again_replaces_itself() {
    for world in worlds().await {
        let asked = world.tenant.save_question(question(None, "q")).await.unwrap();
        let mut saved = answer(asked.thread_id, "par");
        saved.stop_reason = "stopped".to_owned();
        world.tenant.save_answer(saved.clone()).await.unwrap();
        saved.content = "partial, then whole".to_owned();
        world.tenant.save_answer(saved).await.unwrap();
        assert_eq!(texts(&world, None, Some(asked.thread_id)).await, ["q", "partial, then whole"], "{}", world.name());
    }
}
