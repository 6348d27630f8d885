//! Restoring deleted documents, and moving documents to another source.

use std::sync::Arc;

use axum::{Json as Body, extract::State};
use serde::{Deserialize, Serialize};
use tributary_core::{DocumentId, SourceId, WorkspaceId};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    ApiError,
    access::Tenant,
    extract::{Json, Path},
};
use crate::{app::App, documents::Move};

/// A document that is back.
#[derive(Serialize, ToSchema)]
pub(super) struct RestoredDocument {
    document_id: Uuid,
    /// Send it as `min_position` to find the document in a search.
    position: i64,
}

/// Bring a deleted document back with its last version; when its source still does not have it, the next sync may delete it again
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspace_id}/documents/{document_id}/restore", tag = "documents", security(("bearer" = [])), params(("workspace_id" = Uuid, Path), ("document_id" = Uuid, Path)),
    responses((status = 200, body = RestoredDocument), (status = 401, body = super::Problem), (status = 404, description = "There never was such a document, or it was purged", body = super::Problem), (status = 409, description = "It is not deleted, or its source is", body = super::Problem)),
)]
pub(super) async fn restore(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Path((_, id)): Path<(WorkspaceId, DocumentId)>,
) -> Result<Body<RestoredDocument>, ApiError> {
    let position = app.documents.restore(&tenant, id).await?;
    Ok(Body(RestoredDocument { document_id: id.0, position }))
}

/// What to move, and where.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MoveRequest {
    /// A source of the connector `builtin:push`.
    #[schema(value_type = Uuid)]
    to_source_id: SourceId,
    /// 1 to 1,000; without them the documents of `from_source_id`, 1,000 at a time.
    #[schema(value_type = Option<Vec<Uuid>>)]
    document_ids: Option<Vec<DocumentId>>,
    /// Where they are expected.
    #[schema(value_type = Option<Uuid>)]
    from_source_id: Option<SourceId>,
    /// Without `document_ids`: only those of this kind.
    kind: Option<String>,
}

/// What a move did.
#[derive(Serialize, ToSchema)]
pub(super) struct MoveResponse {
    /// Documents that changed their source.
    moved: i64,
    /// The commit; null when nothing had to move.
    position: Option<i64>,
    /// There are more to move: ask again.
    more: bool,
}

/// Move pushed documents to another source; ids, versions and citations stay as they are. All that are named are moved, or none
#[utoipa::path(
    post, path = "/api/v1/workspaces/{workspace_id}/documents/move", tag = "documents", security(("bearer" = [])), params(("workspace_id" = Uuid, Path)), request_body = MoveRequest,
    responses((status = 200, body = MoveResponse), (status = 401, body = super::Problem), (status = 404, body = super::Problem), (status = 409, description = "A connector feeds one of the sources, a document is elsewhere, or the new source has its external id", body = super::Problem), (status = 422, body = super::Problem)),
)]
pub(super) async fn move_to(
    State(app): State<Arc<App>>,
    Tenant(tenant): Tenant,
    Json(request): Json<MoveRequest>,
) -> Result<Body<MoveResponse>, ApiError> {
    let what = Move { documents: request.document_ids, from: request.from_source_id, kind: request.kind };
    let done = app.documents.move_to(&tenant, request.to_source_id, what).await?;
    Ok(Body(MoveResponse { moved: done.moved, position: done.position, more: done.more }))
}
