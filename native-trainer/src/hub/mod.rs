//! `unmask pull`: known public models from the Hugging Face hub, into the user's cache folder.
//!
//! `table` turns a name into an entry, `http` speaks to the hub, `cache` says where files lie and keeps partial
//! ones, `mod@download` joins the two, `progress` reports. [`Hub::pull`] is the way in. [`converted`] says whether what was made
//! of the weights is still what would be made of them.

mod cache;
pub mod converted;
mod download;
mod error;
mod http;
mod progress;
mod table;
#[cfg(test)]
mod tests;

use std::env;
use std::path::{Path, PathBuf};

pub use error::HubError;
pub use http::Network;
pub use progress::{Progress, Reporter};
pub use table::{Entry, known, resolve};

use cache::{Record, Slot};
use download::{Pinned, download, retry};
use http::{Client, Target};
use progress::Meter;

use crate::files;

/// The hub itself, unless `HF_ENDPOINT` names a mirror.
const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// A hub and the folder that its files are kept in.
#[derive(Debug)]
pub struct Hub {
    client: Client,
    cache: PathBuf,
}

/// A model that is now on disk.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// What was asked for, as the table or the name describes it.
    pub entry: Entry,
    /// The weights.
    pub path: PathBuf,
    /// The weights and the files beside them.
    pub files: Vec<PathBuf>,
    /// SHA-256 of the weights, in hexadecimal.
    pub sha256: String,
    /// Whether that SHA-256 was compared with the table's or the hub's.
    pub checked: bool,
    /// The commit the weights came from, where the hub said so.
    pub commit: Option<String>,
    /// Whether anything had to be downloaded.
    pub freshness: Freshness,
}

/// How the files on disk relate to the hub's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// They were in the cache and are what the hub has.
    Cached,
    /// They were in the cache; the hub could not be asked whether they are current.
    Offline {
        /// Why, as a sentence.
        reason: String,
    },
    /// At least one was downloaded.
    Downloaded,
}

impl Hub {
    /// The hub of `HF_ENDPOINT` with the token of `HF_TOKEN`, the folder of `UNMASK_CACHE` (or else the user's cache
    /// folder), and the proxy of the environment.
    ///
    /// # Errors
    /// One of these variables cannot be used, or no cache folder is known.
    pub fn from_env() -> Result<Self, HubError> {
        Self::from_vars(|name| env::var(name).ok(), Network::from_env())
    }

    /// As [`Hub::from_env`], with the variables looked up by `var`; an empty one counts as unset.
    fn from_vars(var: impl Fn(&str) -> Option<String>, network: Network) -> Result<Self, HubError> {
        let var = |name| var(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let cache = files::cache_folder(var("UNMASK_CACHE")).ok_or(HubError::NoCacheFolder)?;
        let endpoint = var("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        Self::new(&endpoint, cache, var("HF_TOKEN"), network)
    }

    /// The hub at `endpoint` with files kept under `cache`; `token` is sent to that endpoint and nowhere else.
    ///
    /// # Errors
    /// [`HubError::Endpoint`] or [`HubError::Token`] if one of them cannot be used.
    pub fn new(endpoint: &str, cache: PathBuf, token: Option<String>, network: Network) -> Result<Self, HubError> {
        Ok(Self { client: Client::new(endpoint, token, network)?, cache })
    }

    /// The folder that everything pulled is kept in.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// Brings the model `name` (of the table, or `OWNER/REPO[/FILE][@REVISION]`) into the cache.
    ///
    /// Files that are there already are compared with the hub's by entity tag; those of a commit are not even asked for,
    /// because a commit never changes. Interrupted downloads go on where they stopped.
    ///
    /// # Errors
    /// Each [`HubError`] is a sentence for the user. What was downloaded so far stays for the next call.
    pub fn pull(&self, name: &str, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Pulled, HubError> {
        let entry = table::resolve(name)?;
        let mut files = Vec::new();
        let mut freshness = Freshness::Cached;
        // The small files first: a refusal shows before the long download.
        for extra in &entry.extras {
            match self.fetch(&entry, extra, Pinned::default(), progress) {
                Ok((slot, _, state)) => {
                    files.push(slot.path);
                    freshness = freshness.or(state);
                }
                Err(HubError::NotFound { .. }) if entry.kind.is_none() => {}
                Err(error) => return Err(error),
            }
        }
        let pinned = Pinned { bytes: entry.bytes, sha256: entry.sha256.as_deref() };
        let (slot, Record { sha256, checked, commit, .. }, state) =
            self.fetch(&entry, &entry.file, pinned, progress)?;
        files.insert(0, slot.path.clone());
        Ok(Pulled { path: slot.path, files, sha256, checked, commit, freshness: freshness.or(state), entry })
    }

    /// Brings one file of `entry` into the cache.
    fn fetch(
        &self,
        entry: &Entry,
        file: &str,
        pinned: Pinned<'_>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(Slot, Record, Freshness), HubError> {
        let target = Target::of(entry, file);
        let slot = Slot::new(&self.cache, target)?;
        let cached = |slot: &Slot| slot.record().filter(|record| pinned.allows(record));
        if is_commit(&entry.revision)
            && let Some(record) = cached(&slot)
        {
            return Ok((slot, record, Freshness::Cached));
        }
        let mut meter = Meter::new(file, progress);
        let _lock = slot.lock(|| meter.waiting())?;
        let record = cached(&slot);
        // With a usable copy at hand nobody should wait for a hub that does not answer.
        let retries = if record.is_some() { 0 } else { self.client.network.retries };
        match (retry(&self.client, retries, &mut meter, || self.client.remote(target)), record) {
            (Err(error), Some(record)) => Ok((slot, record, Freshness::Offline { reason: error.to_string() })),
            (Err(error), None) => Err(error),
            (Ok(remote), Some(record)) if !remote.etag.is_empty() && remote.etag == record.etag => {
                Ok((slot, record, Freshness::Cached))
            }
            (Ok(remote), _) => {
                if let Some(record) = slot.adopt(&remote)?.filter(|record| pinned.allows(record)) {
                    return Ok((slot, record, Freshness::Cached));
                }
                let record = download(&self.client, target, &remote, pinned, &slot, &mut meter)?;
                Ok((slot, record, Freshness::Downloaded))
            }
        }
    }
}

impl Freshness {
    /// That of two files together: a download outweighs a cached copy, and one that could not be confirmed outweighs both.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (offline @ Self::Offline { .. }, _) | (_, offline @ Self::Offline { .. }) => offline,
            (Self::Cached, Self::Cached) => Self::Cached,
            _ => Self::Downloaded,
        }
    }
}

/// A full commit hash, whose files never change.
fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}
