//! Scoring by HTTP on this machine: a video is handed in, waits in a queue of bounded length, and its report is fetched.
//!
//! `routes` says which requests there are and `openapi.json` describes them; `guard` turns away who may not ask, `upload` takes
//! bytes in, `folders` says which files may be named, `jobs` keeps the queue and the results, `worker` scores, `spool` holds what
//! was uploaded, `connections` speaks HTTP. Every refusal is a `Problem`: a status, a code and one sentence.

mod connections;
mod folders;
mod guard;
mod jobs;
mod page;
mod problem;
mod routes;
mod spool;
mod token;
mod upload;
mod worker;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::scoring::Scorer;

pub use folders::Folders;
pub use jobs::Limits;
pub use spool::Spool;
pub use token::Token;

use jobs::Jobs;
use routes::About;

/// How long requests under way have to be answered, once the server is asked to end.
const GRACE: Duration = Duration::from_secs(10);

/// What is served, to whom, and how much of it.
#[derive(Debug)]
pub struct Settings {
    /// Where it listens; port 0 is any that is free.
    pub address: SocketAddr,
    /// What has to be shown with each request; without one only this machine is served.
    pub token: Option<Token>,
    /// The folders in which files may be named.
    pub folders: Folders,
    /// Most bytes of an upload.
    pub max_upload: u64,
    /// How many jobs are scored at once.
    pub workers: usize,
    /// How many jobs wait, and how long results are kept.
    pub limits: Limits,
}

/// A server that is bound to its address.
pub struct Server {
    settings: Settings,
    listener: TcpListener,
    address: SocketAddr,
}

/// What all requests share.
struct App {
    jobs: Arc<Jobs>,
    about: About,
    folders: Folders,
    token: Option<Token>,
    is_local: bool,
    max_upload: u64,
    spool: PathBuf,
}

impl Server {
    /// Binds the address.
    ///
    /// # Errors
    /// Another program has it, or this machine does not.
    pub fn bind(settings: Settings) -> Result<Self> {
        let wanted = settings.address;
        let listener = TcpListener::bind(wanted)
            .with_context(|| format!("{wanted} cannot be listened on; choose another --port, or another address"))?;
        listener.set_nonblocking(true).context("the address cannot be listened on")?;
        let address = listener.local_addr().context("the address cannot be told")?;
        Ok(Self { settings, listener, address })
    }

    /// The address, with the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is set: then jobs that wait are cancelled, and those that are scored have ten seconds to end if
    /// somebody waits for them.
    ///
    /// # Errors
    /// A detector's file cannot be read, or the system gives no threads.
    pub fn run(self, scorer: &Scorer, spool: &Spool, stop: &AtomicBool) -> Result<()> {
        let Self { settings, listener, address } = self;
        let Settings { token, folders, max_upload, workers, limits, .. } = settings;
        let about = About::new(scorer, address, max_upload, &limits, &folders, token.is_some())?;
        let jobs = Arc::new(Jobs::new(limits));
        let is_local = address.ip().is_loopback();
        let spool = spool.path().to_owned();
        let program = std::env::current_exe().context("the program does not find its own file")?;
        let app = Arc::new(App { jobs: Arc::clone(&jobs), about, folders, token, is_local, max_upload, spool });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("the system gives no more threads")?;
        std::thread::scope(|threads| {
            for _ in 0..workers {
                threads.spawn(|| worker::work(&jobs, scorer, &program));
            }
            let served = runtime.block_on(connections::serve(listener, routes::router(app), &jobs, stop, GRACE));
            jobs.end();
            served
        })
    }
}
