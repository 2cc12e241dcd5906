//! One file from the hub into its place: resumed, retried, checked.

use std::io::Read;
use std::thread;

use super::cache::{Part, Record, Slot};
use super::error::HubError;
use super::http::{Client, Remote, Target, pause};
use super::progress::{Meter, Progress};

const BUFFER: usize = 1 << 18;
const DELETED: &str = "what came was deleted; run the same command again, and check HF_ENDPOINT if it recurs";
const OTHER: &str = "the hub has another file than configs/models.toml names; nothing was downloaded";

/// Length and SHA-256 from the table of models, for the weights of an entry.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pinned<'a> {
    pub(super) bytes: Option<u64>,
    pub(super) sha256: Option<&'a str>,
}

impl Pinned<'_> {
    /// Whether a file that is already here is the pinned one.
    pub(super) fn allows(&self, record: &Record) -> bool {
        self.bytes.is_none_or(|bytes| bytes == record.bytes) && self.sha256.is_none_or(|sha| sha == record.sha256)
    }

    /// Compares the pins with what the hub announces, before anything is downloaded.
    fn check(&self, target: Target<'_>, remote: &Remote) -> Result<(), HubError> {
        if let (Some(expected), Some(found)) = (self.bytes, remote.bytes)
            && expected != found
        {
            return Err(HubError::Length { path: target.file.into(), expected, found, advice: OTHER });
        }
        match (self.sha256, &remote.sha256) {
            (Some(expected), Some(found)) if expected != found => Err(HubError::Checksum {
                path: target.file.into(),
                expected: expected.to_owned(),
                found: found.clone(),
                advice: OTHER,
            }),
            _ => Ok(()),
        }
    }
}

/// Runs `attempt` again, after a pause, while its error may pass and `retries` are left.
pub(super) fn retry<T>(
    client: &Client,
    retries: u32,
    meter: &mut Meter<'_>,
    mut attempt: impl FnMut() -> Result<T, HubError>,
) -> Result<T, HubError> {
    let mut retry = 0;
    loop {
        match attempt() {
            Err(error) if error.passes() && retry < retries => wait(client, retry, &error, meter),
            result => return result,
        }
        retry += 1;
    }
}

/// Downloads `target`, which the hub says is `remote`, into `slot`.
///
/// # Errors
/// After [`HubError::Checksum`] and [`HubError::Length`] nothing is left; after any other error the part stays for the
/// next call to go on with.
pub(super) fn download(
    client: &Client,
    target: Target<'_>,
    remote: &Remote,
    pinned: Pinned<'_>,
    slot: &Slot,
    meter: &mut Meter<'_>,
) -> Result<Record, HubError> {
    pinned.check(target, remote)?;
    let mut part = Part::open(slot, remote)?;
    meter.start(part.len(), remote.bytes.or(pinned.bytes));
    let mut retry = 0;
    loop {
        let before = part.len();
        match transfer(client, target, remote, &mut part, meter) {
            Ok(()) => break,
            Err(error) if !error.passes() => return Err(error),
            Err(error) => {
                retry = if part.len() > before { 0 } else { retry };
                if retry >= client.network.retries {
                    return Err(error);
                }
                wait(client, retry, &error, meter);
                retry += 1;
            }
        }
    }
    finish(part, remote, pinned, slot)
}

/// One connection: asks for what is missing and stores it until the end or a failure.
fn transfer(
    client: &Client,
    target: Target<'_>,
    remote: &Remote,
    part: &mut Part,
    meter: &mut Meter<'_>,
) -> Result<(), HubError> {
    if remote.bytes.is_some_and(|bytes| bytes == part.len()) && part.len() > 0 {
        return Ok(());
    }
    let stream = client.open(target, part.len(), part.store_etag())?;
    if stream.start < part.len() {
        part.restart()?;
    }
    part.begin(stream.etag)?;
    let total = remote.bytes.or(stream.total);
    let mut body = stream.body.into_reader();
    let mut buffer = vec![0; BUFFER];
    let broken = |done, reason: String| HubError::Broken { file: target.file.to_owned(), done, reason };
    loop {
        match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => part.append(&buffer[..count])?,
            Err(error) => return Err(broken(part.len(), error.to_string())),
        }
        meter.advance(part.len(), total);
        // A server that sends without end must not fill the disk.
        if total.is_some_and(|total| part.len() > total) {
            break;
        }
    }
    if total.is_some_and(|total| part.len() < total) {
        return Err(broken(part.len(), "the connection was closed early".to_owned()));
    }
    Ok(())
}

/// Compares length and SHA-256 with what was promised, and only then gives the file its name.
fn finish(part: Part, remote: &Remote, pinned: Pinned<'_>, slot: &Slot) -> Result<Record, HubError> {
    let (found, sha256) = (part.len(), part.sha256());
    let path = slot.path.clone();
    if let Some(expected) = remote.bytes.or(pinned.bytes).filter(|expected| *expected != found) {
        part.delete()?;
        return Err(HubError::Length { path, expected, found, advice: DELETED });
    }
    let published = pinned.sha256.or(remote.sha256.as_deref());
    if let Some(expected) = published.filter(|expected| *expected != sha256) {
        let expected = expected.to_owned();
        part.delete()?;
        return Err(HubError::Checksum { path, expected, found: sha256, advice: DELETED });
    }
    let record = Record {
        etag: remote.etag.clone(),
        bytes: found,
        sha256,
        checked: published.is_some(),
        commit: remote.commit.clone(),
    };
    slot.complete(part, &record)?;
    Ok(record)
}

fn wait(client: &Client, retry: u32, error: &HubError, meter: &mut Meter<'_>) {
    let pause = pause(&client.network, retry, error);
    meter.report(Progress::Retrying { reason: error.to_string(), pause });
    thread::sleep(pause);
}
