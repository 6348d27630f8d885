//! How many live streams one host keeps open: in all, and of one workspace, so that none takes all.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tributary_core::WorkspaceId;

/// Each asks the database twice a second.
const MOST: usize = 256;
const MOST_OF_A_WORKSPACE: usize = 32;

/// The open streams of this host.
#[derive(Default)]
pub struct Streams(Mutex<HashMap<WorkspaceId, usize>>);

/// The right to one stream; ends when dropped.
pub struct Seat {
    streams: Arc<Streams>,
    workspace: WorkspaceId,
}

impl Streams {
    /// How many are open.
    pub fn open(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    /// A seat, unless all are taken.
    pub fn take(self: &Arc<Self>, workspace: WorkspaceId) -> Option<Seat> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, own) = (open.values().sum::<usize>(), open.get(&workspace).copied().unwrap_or_default());
        if all >= MOST || own >= MOST_OF_A_WORKSPACE {
            return None;
        }
        open.insert(workspace, own + 1);
        Some(Seat { streams: self.clone(), workspace })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = open.get_mut(&self.workspace) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.workspace);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_workspace_does_not_take_all_seats_and_a_seat_comes_back() {
        let streams = Arc::new(Streams::default());
        let (one, other) = (WorkspaceId::new(), WorkspaceId::new());
        let mut seats: Vec<_> = (0..MOST_OF_A_WORKSPACE).map(|_| streams.take(one).expect("a seat")).collect();
        assert!(streams.take(one).is_none());
        assert!(streams.take(other).is_some());
        seats.pop();
        assert!(streams.take(one).is_some());
    }
}
