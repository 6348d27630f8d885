//! What is known of the recordings of syncs.

use tributary_core::run::{RecordingState, RunStatus};
use tributary_store::{Error, FinishRun, NewRun, RecordedPart};

use crate::support::{at, worlds};

const PART: RecordedPart = RecordedPart { state: RecordingState::Complete, pages: 3, bytes: 100 };

#[tokio::test]
async fn a_recording_is_complete_unless_a_stretch_of_it_was_lost_or_cut() {
    for world in worlds().await {
        let (tenant, name) = (&world.tenant, world.name());
        let unasked = world.begin_with(world.new_run()).await;
        assert_eq!(tenant.get_run(unasked.run_id).await.unwrap().recording, None, "{name}: nobody asked");
        tenant.end_recording(&unasked.lease, unasked.run_id, PART).await.unwrap();
        assert_eq!(tenant.get_run(unasked.run_id).await.unwrap().recording, None, "{name}");
        unasked.finish(None).await;

        let run = world.begin_with(NewRun { record: true, ..world.new_run() }).await;
        let recording = async || tenant.get_run(run.run_id).await.unwrap().recording.unwrap();
        let begin = async |host: &str| {
            tenant.begin_recording(&run.lease, run.run_id, &recording().await, host).await.unwrap();
            recording().await
        };
        let end = async |part| {
            tenant.end_recording(&run.lease, run.run_id, part).await.unwrap();
            recording().await
        };
        assert_eq!(recording().await.state, RecordingState::Asked, "{name}");
        let begun = begin("ada").await;
        assert_eq!((begun.state, begun.hosts), (RecordingState::Recording, vec!["ada".to_owned()]), "{name}");
        assert_eq!(end(PART).await.state, RecordingState::Complete, "{name}");
        let begun = begin("bob").await;
        assert_eq!(begun.hosts, ["ada", "bob"], "{name}");
        let whole = end(PART).await;
        assert_eq!((whole.state, whole.pages, whole.bytes), (RecordingState::Complete, 6, 200), "{name}");

        begin("ada").await;
        let after_a_kill = begin("ada").await;
        assert_eq!((after_a_kill.state, after_a_kill.hosts.len()), (RecordingState::Incomplete, 2), "{name}");
        assert_eq!(end(PART).await.state, RecordingState::Incomplete, "{name}: it stays so");
        assert_eq!(end(RecordedPart { state: RecordingState::TooLong, ..PART }).await.state, RecordingState::TooLong);
        assert_eq!(begin("ada").await.state, RecordingState::TooLong, "{name}");

        run.finish(None).await;
        let late = tenant.end_recording(&run.lease, run.run_id, PART).await;
        assert!(matches!(late, Err(Error::LeaseLost)), "{name}: {late:?}");
    }
}

#[tokio::test]
async fn recordings_are_kept_for_their_time_and_not_beyond_their_source() {
    for world in worlds().await {
        let (tenant, system, name) = (&world.tenant, &world.system, world.name());
        let run = world.begin_with(NewRun { record: true, ..world.new_run() }).await;
        let asked = [(world.workspace.id, run.run_id)];
        let kept = async |before: i64| system.kept_recordings(&asked, at(before)).await.unwrap().contains(&run.run_id);
        assert!(kept(1_000).await, "{name}: it is not over");
        let end = FinishRun::with(run.run_id, RunStatus::Succeeded, None, None, at(100));
        tenant.finish_run(Some(&run.lease), end).await.unwrap();
        assert!(kept(99).await && kept(100).await && !kept(101).await, "{name}");

        let elsewhere = [(tributary_core::WorkspaceId::new(), run.run_id)];
        assert!(system.kept_recordings(&elsewhere, at(0)).await.unwrap().is_empty(), "{name}: of no workspace");

        tenant.delete_source(world.source.id, "user:ada", at(110)).await.unwrap();
        assert!(kept(0).await, "{name}: it can be restored");
        tenant.purge_source(world.source.id, 0, at(120)).await.unwrap();
        assert!(!kept(0).await, "{name}: it goes for good");
    }
}
