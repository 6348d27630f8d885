//! `/api/v1/workspaces/{workspace_id}/sources/{source_id}/runs/{run_id}/recording`.

use std::{fs, sync::Arc};

use axum::{
    body::Body,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use futures::{Stream, stream};
use tokio::{fs::File, io::AsyncReadExt};
use tributary_core::{RunId, SourceId, WorkspaceId, run::RecordingState};

use super::{ApiError, access::Tenant, deletions::sees_the_whole_source, extract::Path, runs};
use crate::app::App;

/// Read and sent at once.
const PIECE_BYTES: usize = 64 << 10;

/// Download the recording of a run, for `tributary sync replay`; it holds what the source answered
#[utoipa::path(
    get, path = "/api/v1/workspaces/{workspace_id}/sources/{source_id}/runs/{run_id}/recording", tag = "runs", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("source_id" = Uuid, Path), ("run_id" = Uuid, Path)),
    responses((status = 200, description = "Lines of JSON, compressed", body = String, content_type = "application/gzip"), (status = 401, body = super::Problem), (status = 403, body = super::Problem), (status = 404, description = "No such run, or it was not recorded", body = super::Problem), (status = 409, description = "The run is not over, or another host has its recording", body = super::Problem), (status = 410, description = "Its recording was removed", body = super::Problem)),
)]
pub(super) async fn download(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Path((workspace, source, id)): Path<(WorkspaceId, SourceId, RunId)>,
) -> Result<Response, ApiError> {
    let run = runs::find(&tenant, source, id).await?;
    sees_the_whole_source(&tenant)?;
    let Some(recording) = run.recording else {
        let detail = "this run was not recorded; sync with {\"record\": true} to record one";
        return Err(ApiError::new(StatusCode::NOT_FOUND, "not_recorded", detail));
    };
    let conflict = |code, detail: &str| Err(ApiError::new(StatusCode::CONFLICT, code, detail));
    if !run.status.is_final() {
        return conflict("run_not_over", "this run is still going on; wait for its end or cancel it");
    }
    let parts = app.shelf.open(workspace, id).await.map_err(ApiError::internal)?;
    if parts.is_empty() {
        let here = app.shelf.host();
        if recording.state == RecordingState::Asked {
            let detail = "the run ended before its connector was asked for anything, so that nothing was recorded";
            return Err(ApiError::new(StatusCode::NOT_FOUND, "not_recorded", detail));
        }
        if !recording.hosts.iter().any(|host| host == here) {
            let hosts = recording.hosts.join(" and ");
            let detail = format!("this run was recorded on {hosts}, and this is {here}; ask there for the recording");
            return conflict("recorded_elsewhere", &detail);
        }
        let days = app.config.recordings.as_secs() / 86_400;
        let detail = format!(
            "the recording is not on this host any more, or is that of another host of the same name; recordings are removed {days} days after their runs, or earlier when the workspace has many"
        );
        return Err(ApiError::new(StatusCode::GONE, "recording_removed", detail));
    }
    let name = format!("attachment; filename=\"{id}.rec\"");
    let headers = [(header::CONTENT_TYPE, "application/gzip".to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, Body::from_stream(one_after_the_other(parts))).into_response())
}

/// What goes wrong half-way cuts the body off, so that nobody takes it for the whole.
fn one_after_the_other(parts: Vec<fs::File>) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    let parts: Vec<_> = parts.into_iter().rev().map(File::from_std).collect();
    stream::try_unfold(parts, |mut parts| async move {
        while let Some(part) = parts.last_mut() {
            let mut piece = BytesMut::with_capacity(PIECE_BYTES);
            if part.read_buf(&mut piece).await? > 0 {
                return Ok(Some((piece.freeze(), parts)));
            }
            parts.pop();
        }
        Ok(None)
    })
}
