//! Connections: a bounded number of them, HTTP/1.1 on each, none that sends nothing for long, and an end to all when asked.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::jobs::Jobs;

/// Most connections at once; further ones wait until one ends.
const CONNECTIONS: usize = 256;
/// How long a request's headers may take; connections without requests end then, too.
const HEADERS: Duration = Duration::from_secs(30);
/// Between two looks at whether to end.
const PATIENCE: Duration = Duration::from_millis(100);

/// Serves until `stop` is set, then closes `jobs` and gives what is under way `grace` to end.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    jobs: &Jobs,
    stop: &AtomicBool,
    grace: Duration,
) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener).context("the address cannot be listened on")?;
    let (places, graceful) = (Arc::new(Semaphore::new(CONNECTIONS)), GracefulShutdown::new());
    while !stop.load(Ordering::Relaxed) {
        let Ok(Ok(place)) = timeout(PATIENCE, Arc::clone(&places).acquire_owned()).await else { continue };
        let stream = match timeout(PATIENCE, listener.accept()).await {
            Ok(Ok((stream, _))) => stream,
            // Too many open files, or a client that went away: the next look may find it otherwise.
            Ok(Err(_)) => {
                tokio::time::sleep(PATIENCE).await;
                continue;
            }
            Err(_) => continue,
        };
        // Small answers are sent at once; a system that cannot do so sends them a little later.
        stream.set_nodelay(true).ok();
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEADERS);
        let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // What goes wrong on a connection is its client's to know.
            connection.await.ok();
            drop(place);
        });
    }
    drop(listener);
    jobs.close();
    timeout(grace, graceful.shutdown()).await.ok();
    Ok(())
}
