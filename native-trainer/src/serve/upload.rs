//! What is handed in: the bytes of a file, streamed to the disk, or the path of one.

use std::time::Duration;

use axum::body::{BodyDataStream, Bytes};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use axum::http::{HeaderMap, StatusCode};
use futures_util::StreamExt;
use serde::Deserialize;
use tempfile::TempPath;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::App;
use super::problem::Problem;

/// How long an upload may send nothing.
const STALLED: Duration = Duration::from_secs(30);
/// Most bytes of a document that names a file.
const MAX_DOCUMENT: usize = 64 << 10;
/// Most bytes of a refused upload that are read all the same, and for how long: many clients look for an answer only after they
/// have sent everything.
const DRAINED: (u64, Duration) = (8 << 20, Duration::from_secs(5));
/// Most characters of a name.
const LONGEST_NAME: usize = 255;
/// What an upload without a name is called.
const NAMELESS: &str = "upload";

/// What the body of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The bytes of a file.
    Bytes,
    /// A document that names a file.
    Document,
}

/// The document that names a file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    path: String,
}

/// What the body is, by its type.
pub(super) fn kind(headers: &HeaderMap) -> Result<Kind, Problem> {
    let stated = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?")).unwrap_or_default();
    let essence = stated.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => Ok(Kind::Document),
        "" | "application/octet-stream" => Ok(Kind::Bytes),
        media if media.starts_with("video/") || media.starts_with("image/") => Ok(Kind::Bytes),
        other => {
            let words = format!(
                "a body of the type {other} is not read; send the file's bytes as application/octet-stream, as `curl -T` \
                 does, or a document with `path` as application/json"
            );
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", words))
        }
    }
}

/// Writes the bytes of a body to a file of the spool, which goes with what is given.
pub(super) async fn receive(app: &App, headers: &HeaderMap, body: &mut BodyDataStream) -> Result<TempPath, Problem> {
    let too_large = || {
        let words = format!(
            "the file is larger than {} bytes; cut it, or start the server with a larger --max-upload",
            app.max_upload
        );
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", words)
    };
    if length(headers).is_some_and(|length| length > app.max_upload) {
        return Err(too_large());
    }
    let no_room = |error: std::io::Error| {
        let words = format!("the upload cannot be kept ({error}); make room, or set TMPDIR to another folder");
        Problem::new(StatusCode::INSUFFICIENT_STORAGE, "no_room", words)
    };
    let (file, path) = tempfile::NamedTempFile::new_in(&app.spool).map_err(no_room)?.into_parts();
    let mut file = tokio::fs::File::from_std(file);
    let mut received = 0;
    while let Some(chunk) = next(body).await? {
        received += chunk.len() as u64;
        if received > app.max_upload {
            return Err(too_large());
        }
        file.write_all(&chunk).await.map_err(no_room)?;
    }
    if received == 0 {
        return Err(Problem::bad("empty", "the body is empty; send the bytes of a video or an image"));
    }
    file.flush().await.map_err(no_room)?;
    Ok(path)
}

/// The path in a body that names a file.
pub(super) async fn path(body: &mut BodyDataStream) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    while let Some(chunk) = next(body).await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_DOCUMENT {
            let words = "the document is longer than 64 KiB; it holds only `path`";
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", words));
        }
    }
    let named: Named = serde_json::from_slice(&bytes).map_err(|error| {
        Problem::bad(
            "bad_document",
            format!("the body is not the JSON document that it should be ({error}); send {{\"path\": \"/a/file\"}}"),
        )
    })?;
    Ok(named.path)
}

/// Reads what a refused request still sends, up to a limit: not of what is larger, or of whoever waits for leave to send.
pub(super) async fn drain(headers: &HeaderMap, body: &mut BodyDataStream) {
    let (most, time) = DRAINED;
    if headers.contains_key(EXPECT) || length(headers).is_some_and(|length| length > most) {
        return;
    }
    let all = async {
        let mut read = 0;
        while let Ok(Some(chunk)) = next(body).await {
            read += chunk.len() as u64;
            if read > most {
                return;
            }
        }
    };
    // Who sends more, or slowly, has to do without the answer.
    timeout(time, all).await.ok();
}

/// The announced length of a body.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn next(body: &mut BodyDataStream) -> Result<Option<Bytes>, Problem> {
    match timeout(STALLED, body.next()).await {
        Ok(Some(Ok(bytes))) => Ok(Some(bytes)),
        Ok(None) => Ok(None),
        Ok(Some(Err(_))) => Err(Problem::bad("cut_off", "the body ended before it was whole; send it again")),
        Err(_) => {
            let words = "nothing of the body came for 30 seconds; send it again";
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "stalled", words))
        }
    }
}

/// What an upload is called in its report: the last part of a name that a client gave, without what a terminal would obey.
/// Files never bear it.
pub(super) fn called(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let shown: String = last.chars().filter(|character| !character.is_control()).take(LONGEST_NAME).collect();
    match shown.trim() {
        "" | "." | ".." => NAMELESS.to_owned(),
        shown => shown.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_uploads_are_words_and_no_paths() {
        for (given, expected) in [
            ("clip.mp4", "clip.mp4"),
            ("../../etc/passwd", "passwd"),
            ("C:\\videos\\clip.mp4", "clip.mp4"),
            ("\u{1b}[31mred\r\n.mp4", "[31mred.mp4"),
            ("", "upload"),
            ("videos/", "upload"),
            ("..", "upload"),
        ] {
            assert_eq!(called(given), expected);
        }
        assert_eq!(called(&"a".repeat(999)).len(), LONGEST_NAME);
    }

    #[test]
    fn bodies_are_told_by_their_type() {
        let kind_of = |stated: Option<&'static str>| {
            let headers = stated.map(|stated| (CONTENT_TYPE, axum::http::HeaderValue::from_static(stated)));
            kind(&headers.into_iter().collect())
        };
        assert_eq!(kind_of(None).unwrap(), Kind::Bytes);
        assert_eq!(kind_of(Some("video/mp4")).unwrap(), Kind::Bytes);
        assert_eq!(kind_of(Some("Application/JSON; charset=utf-8")).unwrap(), Kind::Document);
        for other in ["text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"] {
            assert!(format!("{:?}", kind_of(Some(other)).unwrap_err()).contains("unsupported_media_type"));
        }
    }
}
