//! Forms as browsers send them, with the errors of the API.

use axum::{
    extract::{FromRequest, Request},
    http::StatusCode,
    response::Redirect,
};
use serde::de::DeserializeOwned;

use super::super::{ApiError, extract::too_large};

/// The fields of a form.
pub(super) struct Form<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Form<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match axum::Form::<T>::from_request(request, state).await {
            Ok(axum::Form(fields)) => Ok(Self(fields)),
            Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(too_large()),
            Err(rejection) => {
                let detail =
                    format!("the form could not be read, go back and send it again: {}", rejection.body_text());
                Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", detail))
            }
        }
    }
}

/// After something was done: on to a page, so that reloading it does nothing twice.
pub(super) fn done(to: &str) -> Redirect {
    Redirect::to(to)
}
