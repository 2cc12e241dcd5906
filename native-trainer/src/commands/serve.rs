//! `unmask serve`: scoring by HTTP on this machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;

use super::interrupt::INTERRUPTED;
use super::scorer::ScorerArgs;
use unmask::output::say;
use unmask::serve::{Folders, Limits, Server, Settings, Spool, Token};

/// Score by HTTP on this machine: hand in a video, fetch its report
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  unmask serve                                                       on http://127.0.0.1:8765/, whose page says how to use it
  unmask serve --allow /videos --model gend-clip-l-14                files there are named, and need no upload
  unmask serve --listen 192.168.1.5 --token-file token               for other machines, which show the token
  curl -X POST -T clip.mp4 'http://127.0.0.1:8765/jobs?name=clip.mp4'

Everything is described at /openapi.json. There is no encryption: to be reached from elsewhere, it belongs behind a proxy that
has it, or into a network that is trusted. Ctrl-C ends it: jobs that wait are cancelled, and one that is scored has ten seconds to
end if somebody waits for it.

Exit status: 0 ended by Ctrl-C, 1 it could not start, 2 wrong usage.")]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    scorer: ScorerArgs,
    /// The address to listen on; one that other machines reach needs --token-file
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    listen: IpAddr,
    /// The port to listen on; 0 is any that is free
    #[arg(long, default_value_t = 8765)]
    port: u16,
    /// A file with the token that requests have to show, of 16 or more characters
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A folder in which files may be named by their path; several times for several [default: none]
    #[arg(long, value_name = "DIR")]
    allow: Vec<PathBuf>,
    /// Most MiB of an upload
    #[arg(long, value_name = "MIB", default_value_t = 2048, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    max_upload: u64,
    /// How many jobs may wait
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    queue: u16,
    /// How many jobs are scored at once; one uses all cores already
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    parallel: u16,
    /// How many jobs that have ended are kept
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    keep: u32,
    /// For how many minutes they are kept
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    keep_minutes: u32,
}

/// Runs the command until it is interrupted.
pub(crate) fn run(args: &ServeArgs) -> Result<ExitCode> {
    let address = SocketAddr::new(args.listen, args.port);
    if !args.listen.is_loopback() && args.token_file.is_none() {
        eprintln!("error: other machines reach {address}, so --token-file has to name a file with a token");
        return Ok(ExitCode::from(2));
    }
    let settings = Settings {
        address,
        token: args.token_file.as_deref().map(Token::read).transpose()?,
        folders: Folders::new(&args.allow)?,
        max_upload: args.max_upload << 20,
        workers: args.parallel.into(),
        limits: Limits {
            queue: args.queue.into(),
            kept: args.keep as usize,
            kept_for: Duration::from_secs(60 * u64::from(args.keep_minutes)),
        },
    };
    let server = Server::bind(settings)?;
    let spool = Spool::create()?;
    let stop = on_ctrl_c(spool.path().to_owned())?;
    let scorer = args.scorer.open()?;
    say!("serving on http://{}/", server.address());
    server.run(&scorer, &spool, &stop)?;
    Ok(ExitCode::SUCCESS)
}

/// A flag that Ctrl-C sets. A second one ends the program at once, without the uploads in `spool`.
fn on_ctrl_c(spool: PathBuf) -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let signalled = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if signalled.swap(true, Ordering::Relaxed) {
            std::fs::remove_dir_all(&spool).ok();
            std::process::exit(i32::from(INTERRUPTED));
        }
        eprintln!(
            "ending once requests under way are answered, in ten seconds at most; press Ctrl-C again to end at once"
        );
    })
    .context("Ctrl-C cannot be caught")?;
    Ok(stop)
}
