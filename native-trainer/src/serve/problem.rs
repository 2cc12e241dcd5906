//! What is wrong with a request: a status, a code for programs and one sentence for people, as JSON.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use serde_json::{Value, json};

/// Seconds after which whoever was turned away may ask again.
const RETRY_S: u32 = 5;

/// Why a request is refused.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    words: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, words: impl Into<String>) -> Self {
        Self { status, code, words: words.into() }
    }

    /// A request that says something which is not understood.
    pub(super) fn bad(code: &'static str, words: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, words)
    }
}

/// A code and its sentence, as answers and failed jobs have them.
pub(super) fn document(code: &str, words: &str) -> Value {
    json!({ "code": code, "message": words })
}

/// A JSON document as an answer.
pub(super) fn answer(status: StatusCode, document: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{document}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let mut response = answer(self.status, &json!({ "error": document(self.code, &self.words) }));
        let headers = response.headers_mut();
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => drop(headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_S))),
            StatusCode::UNAUTHORIZED => drop(headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            _ => {}
        }
        response
    }
}
