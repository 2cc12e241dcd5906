//! What can go wrong between a model's name and its file.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A failed pull: each message is one sentence that names what failed and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The name is neither in the table nor of the form `OWNER/REPO`.
    #[error("no model is named \"{name}\"{}; known are {}; any other goes as OWNER/REPO[/FILE][@REVISION]", suggestion(.nearest), .known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// Known names that resemble it, most alike first.
        nearest: Vec<String>,
        /// All known names.
        known: Vec<String>,
    },
    /// The name looks like a repository but cannot be one.
    #[error("\"{name}\" is not OWNER/REPO[/FILE][@REVISION]: {reason}")]
    BadName {
        /// What was asked for.
        name: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// The table built into the program cannot be read.
    #[error("configs/models.toml, which is built into this program, is broken: {0}")]
    Table(Box<toml::de::Error>),
    /// `HF_ENDPOINT` is not an address.
    #[error("HF_ENDPOINT is \"{0}\", which is not an http or https address; correct or unset it")]
    Endpoint(String),
    /// `HF_TOKEN` cannot be sent.
    #[error("HF_TOKEN holds a character that no token has (a space or a line break); set it anew or unset it")]
    Token,
    /// The system names no cache folder.
    #[error("no folder for downloads is known on this system; set UNMASK_CACHE to one")]
    NoCacheFolder,
    /// 401: the hub does not tell a missing repository from a private one.
    #[error("the hub refuses {repo} ({status}): it does not exist, is private, or needs its terms accepted on {page}; check the name, {}", token_hint(*.token_sent))]
    Refused {
        /// OWNER/REPO.
        repo: String,
        /// 401 or 403.
        status: u16,
        /// The repository's page.
        page: String,
        /// Whether `HF_TOKEN` was sent along.
        token_sent: bool,
    },
    /// 404.
    #[error("the hub has no file {file} in {repo} at revision {revision}; look at {page} for what it has")]
    NotFound {
        /// OWNER/REPO.
        repo: String,
        /// Branch, tag or commit.
        revision: String,
        /// Path inside the repository.
        file: String,
        /// The repository's page.
        page: String,
    },
    /// Any other status that is not a success.
    #[error("{host} answers {status} for {file}; {}", if passing_status(*.status) { "it is overloaded or down: try again later" } else { "check HF_ENDPOINT and the name" })]
    Status {
        /// Who answered.
        host: String,
        /// The HTTP status.
        status: u16,
        /// Path inside the repository.
        file: String,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
    /// A redirect that cannot or must not be followed.
    #[error("{host} redirects {file} {problem}; check HF_ENDPOINT")]
    Redirect {
        /// Who answered.
        host: String,
        /// Path inside the repository.
        file: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// No answer at all.
    #[error("{host} cannot be reached for {file} ({reason}); check the network, the proxy variables and HF_ENDPOINT")]
    Unreachable {
        /// Whom we tried.
        host: String,
        /// Path inside the repository.
        file: String,
        /// The cause, as the network layer words it.
        reason: String,
    },
    /// The transfer began and did not end.
    #[error(
        "the download of {file} broke off at {done} bytes ({reason}); run the same command again, it goes on from there"
    )]
    Broken {
        /// Path inside the repository.
        file: String,
        /// Bytes that are stored.
        done: u64,
        /// The cause, as the network layer words it.
        reason: String,
    },
    /// The bytes are not the ones that were promised.
    #[error("{} is not the expected file: its SHA-256 is {found}, not {expected}; {advice}", .path.display())]
    Checksum {
        /// Where the file was to go, or its name on the hub.
        path: PathBuf,
        /// In hexadecimal.
        expected: String,
        /// In hexadecimal.
        found: String,
        /// What was done and what to do.
        advice: &'static str,
    },
    /// More, or other, bytes than were promised.
    #[error("{} is not the expected file: it has {found} bytes, not {expected}; {advice}", .path.display())]
    Length {
        /// Where the file was to go, or its name on the hub.
        path: PathBuf,
        /// Bytes.
        expected: u64,
        /// Bytes.
        found: u64,
        /// What was done and what to do.
        advice: &'static str,
    },
    /// Nothing more can be written.
    #[error("the disk is full at {}; free some space, or set UNMASK_CACHE to a folder on another disk, and run the same command again", .0.display())]
    DiskFull(PathBuf),
    /// Any other failure of the file system.
    #[error("cannot {action} {} ({source}); check the folder, or set UNMASK_CACHE to another", .path.display())]
    File {
        /// Verb: "create", "read", "write".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl HubError {
    /// Wraps a failure of the file system; a full disk gets its own sentence.
    pub(super) fn file(action: &'static str, path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull(path.to_owned()),
            _ => Self::File { action, path: path.to_owned(), source },
        }
    }

    /// Whether the same request may succeed in a moment.
    pub(super) fn passes(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } => true,
            Self::Status { status, .. } => passing_status(*status),
            _ => false,
        }
    }
}

/// Request timeout, too many requests, and everything that is the server's own fault.
fn passing_status(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}

fn suggestion(nearest: &[String]) -> String {
    if nearest.is_empty() { String::new() } else { format!(", did you mean {}", nearest.join(" or ")) }
}

fn token_hint(token_sent: bool) -> &'static str {
    if token_sent { "or set HF_TOKEN to a token that has access" } else { "or set HF_TOKEN to your access token" }
}
