//! Many callers, one statement: whoever's turn it is does the work of everybody who waits, and each is told its own result.
//!
//! Nobody waits for a group to fill. While one group is on its way to the disk the next one gathers, so that groups grow with the load and
//! a caller alone goes at once.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::error::{Error, Result};

/// Most items in a group.
const MOST: usize = 256;

/// Callers that wait for the same kind of statement.
pub(crate) struct Group<Q, A> {
    waiting: Arc<Mutex<Vec<Waiting<Q, A>>>>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

type Waiting<Q, A> = (Q, oneshot::Sender<Result<A>>);

impl<Q, A> Default for Group<Q, A> {
    fn default() -> Self {
        Self { waiting: Arc::default(), turn: Arc::default() }
    }
}

impl<Q: Clone + Send + 'static, A: Send + 'static> Group<Q, A> {
    /// Has `together` do this item, perhaps with others; it answers for each in their order. When one item cannot be
    /// ([`Error::NotFound`]), each is tried alone, so that it spoils no other's.
    pub(crate) async fn submit<F>(&self, item: Q, together: impl Fn(Vec<Q>) -> F + Send + Sync + 'static) -> Result<A>
    where
        F: Future<Output = Result<Vec<A>>> + Send,
    {
        let (sender, mut answer) = oneshot::channel();
        self.lock().push((item, sender));
        let together = Arc::new(together);
        loop {
            let turn = tokio::select! {
                biased;
                answer = &mut answer => return answer.map_err(|_| Error::Closed)?,
                turn = self.turn.clone().lock_owned() => turn,
            };
            // Callers that were let go together come back together: those who are on their way already join in.
            tokio::task::yield_now().await;
            let mut group = self.gathered();
            if group.is_empty() {
                drop(turn);
                return answer.await.map_err(|_| Error::Closed)?;
            }
            let together = together.clone();
            // A task of its own: the others' results must not depend on this caller's patience.
            tokio::spawn(async move {
                let _turn = turn;
                let items: Vec<_> = group.iter().map(|(item, _)| item.clone()).collect();
                match together(items).await {
                    Ok(answers) => {
                        for ((_, sender), answer) in group.into_iter().zip(answers) {
                            let _ = sender.send(Ok(answer));
                        }
                    }
                    Err(Error::NotFound(_)) if group.len() > 1 => {
                        for (item, sender) in group.drain(..) {
                            let alone = together(vec![item]).await;
                            let answer = alone.and_then(|answers| answers.into_iter().next().ok_or(Error::Closed));
                            let _ = sender.send(answer);
                        }
                    }
                    Err(error) => {
                        for (_, sender) in group {
                            let _ = sender.send(Err(error.for_another()));
                        }
                    }
                }
            });
            // This caller's own item may have been one too many for the group: then it takes another turn.
        }
    }

    /// The next group, without those who went away before their turn.
    fn gathered(&self) -> Vec<Waiting<Q, A>> {
        let mut waiting = self.lock();
        waiting.retain(|(_, sender)| !sender.is_closed());
        let size = waiting.len().min(MOST);
        waiting.drain(..size).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Waiting<Q, A>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
