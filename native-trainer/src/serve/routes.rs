//! The requests there are. `openapi.json` describes them, and tests hold the two together.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::guard::guard;
use super::jobs::{Limits, Source, State as JobState};
use super::problem::{Problem, answer};
use super::upload::{self, Kind};
use super::{App, Folders, page};
use crate::scoring::Scorer;

/// The description of all requests and answers.
const OPENAPI: &str = include_str!("openapi.json");
/// Longest that a request may wait for a job, in seconds.
const LONGEST_WAIT_S: u64 = 300;

type Shared = State<Arc<App>>;
/// A path with the methods it knows.
type Route = (&'static str, fn() -> MethodRouter<Arc<App>>);

const ROUTES: [Route; 8] = [
    ("/", || get(human_page)),
    ("/health", || get(health)),
    ("/version", || get(version)),
    ("/openapi.json", || get(openapi)),
    ("/jobs", || post(submit)),
    ("/jobs/{id}", || get(job).delete(cancel)),
    ("/jobs/{id}/report", || get(report)),
    ("/jobs/{id}/events", || get(events)),
];

/// Everything that is served.
pub(super) fn router(app: Arc<App>) -> Router {
    let router = ROUTES.iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods()));
    let router = router.method_not_allowed_fallback(other_method).fallback(unknown);
    router.layer(from_fn_with_state(Arc::clone(&app), guard)).with_state(app)
}

/// A job's `id` in an address.
struct Id(String);

impl FromRequestParts<Arc<App>> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        // What is no text is no job's.
        Path::from_request_parts(parts, app).await.map(|Path(id)| Self(id)).map_err(|_| forgotten(app))
    }
}

/// What the server says of itself.
pub(super) struct About {
    version: Value,
    page: String,
}

impl About {
    /// # Errors
    /// A detector's file could not be read to its end.
    pub(super) fn new(
        scorer: &Scorer,
        address: SocketAddr,
        max_upload: u64,
        limits: &Limits,
        folders: &Folders,
        needs_token: bool,
    ) -> Result<Self> {
        let detectors = serde_json::to_value(scorer.models()?).context("the detectors cannot be described")?;
        let version = json!({
            "program": env!("CARGO_PKG_VERSION"),
            "detectors": detectors,
            "frames": scorer.frames(),
            "max_upload_bytes": max_upload,
            "queue": limits.queue,
            "kept": limits.kept,
            "kept_s": limits.kept_for.as_secs(),
            "allowed_folders": folders.count(),
        });
        let page = page::render(&scorer.specs(), address, max_upload, limits, folders.count() > 0, needs_token)?;
        Ok(Self { version, page })
    }
}

async fn human_page(State(app): Shared) -> Response {
    let mut response = Response::new(Body::from(app.about.page.clone()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    response
}

async fn health(State(app): Shared) -> Response {
    let (queued, running) = app.jobs.counts();
    answer(StatusCode::OK, &json!({ "status": "ok", "queued": queued, "running": running }))
}

async fn version(State(app): Shared) -> Response {
    answer(StatusCode::OK, &app.about.version)
}

async fn openapi() -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], OPENAPI).into_response()
}

async fn submit(State(app): Shared, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut body = body.into_data_stream();
    let submitted = accept(&app, &parts.uri, &parts.headers, &mut body).await;
    match submitted {
        Ok(document) => {
            let mut response = answer(StatusCode::ACCEPTED, &document);
            let place = document["id"].as_str().and_then(|id| HeaderValue::from_str(&format!("/jobs/{id}")).ok());
            place.map(|place| response.headers_mut().insert(LOCATION, place));
            response
        }
        Err(problem) => {
            upload::drain(&parts.headers, &mut body).await;
            problem.into_response()
        }
    }
}

/// Takes a job in: a place in the queue comes first, so that nothing is sent in vain and the disk does not fill.
async fn accept(app: &App, uri: &Uri, headers: &HeaderMap, body: &mut BodyDataStream) -> Result<Value, Problem> {
    let full = || {
        let words = "the queue is full; send it again after the seconds in Retry-After";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "queue_full", words)
    };
    let name = query(uri, "name", |name| Some(name.to_owned()))?;
    let kind = upload::kind(headers)?;
    let place = app.jobs.reserve().ok_or_else(full)?;
    let (name, source) = match kind {
        Kind::Bytes => {
            let file = upload::receive(app, headers, body).await?;
            (upload::called(&name.unwrap_or_default()), Source::Upload(file))
        }
        Kind::Document => {
            let path = app.folders.find(&upload::path(body).await?)?;
            (path.display().to_string(), Source::File(path))
        }
    };
    app.jobs.submit(place, name, source).ok_or_else(full)
}

async fn job(State(app): Shared, Id(id): Id, uri: Uri) -> Result<Response, Problem> {
    wait(&app, &id, &uri).await?;
    let document = app.jobs.document(&id).ok_or_else(|| forgotten(&app))?;
    Ok(answer(StatusCode::OK, &document))
}

async fn report(State(app): Shared, Id(id): Id, uri: Uri) -> Result<Response, Problem> {
    match wait(&app, &id, &uri).await? {
        JobState::Done(json) => {
            Ok(([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], format!("{json}\n")).into_response())
        }
        JobState::Failed(words) => Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "not_scored", words)),
        JobState::Cancelled => {
            Err(Problem::new(StatusCode::CONFLICT, "cancelled", "the job was cancelled; hand the file in again"))
        }
        JobState::Queued | JobState::Running { .. } => {
            let words = "the report is not there yet; ask again, or with ?wait= and a number of seconds";
            Err(Problem::new(StatusCode::CONFLICT, "not_finished", words))
        }
    }
}

async fn cancel(State(app): Shared, Id(id): Id, uri: Uri) -> Result<Response, Problem> {
    no_query(&uri)?;
    let document = app.jobs.cancel(&id).ok_or_else(|| forgotten(&app))?;
    Ok(answer(StatusCode::OK, &document))
}

/// The job's documents as they change, to its end.
async fn events(State(app): Shared, Id(id): Id, uri: Uri) -> Result<Response, Problem> {
    no_query(&uri)?;
    let states = app.jobs.follow(&id).ok_or_else(|| forgotten(&app))?;
    let documents = stream::unfold(Some((app, id, states)), async |following| {
        let (app, id, mut states) = following?;
        let state = states.borrow_and_update().clone();
        let document = app.jobs.document(&id)?;
        let event = Event::default().event("job").data(document.to_string());
        // Its end is the last that is told; else the next comes when there is news.
        let rest = if state.is_final() { None } else { states.changed().await.ok().map(|()| (app, id, states)) };
        Some((Ok::<_, Infallible>(event), rest))
    });
    Ok(Sse::new(documents).into_response())
}

/// Waits until a job has ended, for as long as the query says, and gives its state.
async fn wait(app: &App, id: &str, uri: &Uri) -> Result<JobState, Problem> {
    let seconds = |text: &str| text.parse::<u64>().ok().filter(|seconds| *seconds <= LONGEST_WAIT_S);
    let time = Duration::from_secs(query(uri, "wait", seconds)?.unwrap_or_default());
    let mut states = app.jobs.follow(id).ok_or_else(|| forgotten(app))?;
    let ended = timeout(time, states.wait_for(JobState::is_final)).await;
    let waited = ended.ok().and_then(|state| state.ok().map(|state| state.clone()));
    Ok(waited.unwrap_or_else(|| states.borrow().clone()))
}

/// The one parameter that a query may have.
fn query<T>(uri: &Uri, known: &str, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Problem> {
    let mut found = None;
    for (key, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        let value = if key == known && found.is_none() { read(&value) } else { None };
        let wrong = || {
            let limit = if known == "wait" { format!(" of 0 to {LONGEST_WAIT_S} seconds") } else { String::new() };
            Problem::bad(
                "bad_query",
                format!("the query is not understood; it has `{known}`{limit} once or is left out"),
            )
        };
        found = Some(value.ok_or_else(wrong)?);
    }
    Ok(found)
}

fn no_query(uri: &Uri) -> Result<(), Problem> {
    match uri.query() {
        None | Some("") => Ok(()),
        Some(_) => Err(Problem::bad("bad_query", "this request has no query; leave out what follows the `?`")),
    }
}

fn forgotten(app: &App) -> Problem {
    let kept = &app.about.version["kept_s"];
    let words =
        format!("there is no such job; jobs are forgotten {kept} seconds after they ended, or when many others have");
    Problem::new(StatusCode::NOT_FOUND, "unknown_job", words)
}

async fn unknown() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "not_found",
        "there is nothing at this address; /openapi.json lists what there is",
    )
}

async fn other_method(method: Method) -> Problem {
    let words = format!("{method} is not for this address; the header Allow lists what is");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_has_the_paths_there_are() {
        let description: Value = serde_json::from_str(OPENAPI).unwrap();
        assert_eq!(description["openapi"], "3.1.0");
        assert_eq!(description["info"]["version"], env!("CARGO_PKG_VERSION"));
        let mut described: Vec<&str> = description["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        let mut served: Vec<&str> = ROUTES.iter().map(|(path, _)| *path).collect();
        described.sort_unstable();
        served.sort_unstable();
        assert_eq!(described, served);
    }

    #[test]
    fn a_query_has_what_is_known_once_or_nothing() {
        let read = |text: &str| query(&text.parse().unwrap(), "wait", |value| value.parse::<u64>().ok());
        assert_eq!((read("/a").unwrap(), read("/a?wait=7").unwrap()), (None, Some(7)));
        for wrong in ["/a?wait=x", "/a?wait=-1", "/a?wait", "/a?other=1", "/a?wait=1&wait=2"] {
            assert!(format!("{:?}", read(wrong).unwrap_err()).contains("bad_query"), "{wrong}");
        }
    }
}
