//! Content credentials: what a file says, under a signature, of where it comes from and what was done to it (C2PA, the
//! specification of the Coalition for Content Provenance and Authenticity, as the crate `c2pa` reads it).
//!
//! They are read and verified without a network: credentials that lie elsewhere are named and not fetched, and nobody is asked
//! whether a certificate was revoked. No list of trusted signers comes with this crate, so that a signature shows that nothing was
//! changed since, and the name in it is what the signer chose to put there.
//!
//! [`read`] takes as long as the file is large, and may panic or take much memory on a file that was made to do that: call it in a
//! process of its own.
//!
//! ```
//! use std::path::Path;
//! use unmask_credentials::{State, read};
//! let found = read(Path::new("../demo/fake.mp4"));
//! assert_eq!(found.state, State::None);
//! ```

mod format;
mod manifest;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::path::Path;

use c2pa::{Context, Error, Reader};
use serde::{Deserialize, Serialize};

/// What a file's content credentials say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Credentials {
    /// Whether there are some, and whether they hold.
    pub state: State,
    /// Why, where that is not plain: one sentence without a full stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What does not hold, by the specification's codes; those that concern trust alone are left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// Whether the signer is on a list of trusted ones. No list comes with this crate, so never so far.
    pub trusted: bool,
    /// What the certificate calls the signer, and who issued it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// The issuer of the signer's certificate, or the organisation in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// When it was signed, as a time stamp of the signature has it; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_at: Option<String>,
    /// What wrote the credentials, as they say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generator: Option<String>,
    /// What they call the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What they say was done, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Action>,
    /// What they say it was made from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ingredients: Vec<Ingredient>,
    /// What they say of how it came about, by the names of IPTC's digital source types, such as `trainedAlgorithmicMedia`; of the
    /// whole chain of credentials in the file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source_types: Vec<String>,
}

/// Whether a file has content credentials that hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It has none.
    #[default]
    None,
    /// It has some, and the signature fits them and the file's bytes.
    Valid,
    /// It has some, and they or the file's bytes are not as they were signed.
    Broken,
    /// It only names where they are, and nothing is fetched.
    Elsewhere,
    /// They could not be read: malformed, or too much.
    Unreadable,
    /// Nobody looked: files of this format cannot be read for them, or it is no single file.
    NotLookedFor,
}

/// Something that was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Action {
    /// What, by the specification's name: `c2pa.created`, `c2pa.edited`.
    pub action: String,
    /// When, as they say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// With what, as they say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software: Option<String>,
    /// How what it made came about, by IPTC's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_type: Option<String>,
}

/// Something that it was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ingredient {
    /// What they call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it is to the file, by the specification's name: `parentOf`, `componentOf`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relationship: Option<String>,
    /// Whether it has credentials of its own.
    pub has_credentials: bool,
}

impl Credentials {
    /// Those of a file that could not be read for them.
    pub fn unreadable(reason: impl Into<String>) -> Self {
        Self { state: State::Unreadable, reason: Some(reason.into()), ..Self::default() }
    }

    /// Those of what nobody looked at.
    pub fn not_looked_for(reason: impl Into<String>) -> Self {
        Self { state: State::NotLookedFor, reason: Some(reason.into()), ..Self::default() }
    }

    /// Whether they say that it was made, or partly made, by a model.
    pub fn say_generated(&self) -> bool {
        const GENERATED: [&str; 2] = ["trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"];
        self.source_types.iter().any(|source| GENERATED.contains(&source.as_str()))
    }
}

/// Nothing is fetched, and whether the signer is known is not asked of anybody; what is compressed may become 8 MB at most, and what
/// is larger than 16 MB is kept on disk.
const SETTINGS: &str = r#"{
    "verify": { "verify_after_reading": true, "ocsp_fetch": false, "remote_manifest_fetch": false },
    "core": {
        "allowed_network_hosts": [], "decode_identity_assertions": false,
        "max_decompressed_manifest_size_in_mb": 8, "backing_store_memory_threshold_in_mb": 16
    }
}"#;

/// Reads the credentials of the file at `path`. It does not fail: what cannot be read is said in the answer.
pub fn read(path: &Path) -> Credentials {
    let found = format::of(path).map_err(|error| format!("the file cannot be read: {error}"));
    let format = match found {
        Ok(Some(format)) => format,
        Ok(None) => return Credentials::not_looked_for("files of this format are not read for content credentials"),
        Err(reason) => return Credentials::unreadable(reason),
    };
    let read = || -> Result<Reader, Error> {
        let context = Context::new().with_settings(SETTINGS)?;
        Reader::from_context(context).with_stream(format, File::open(path)?)
    };
    match read() {
        Ok(reader) => manifest::credentials(&reader),
        Err(Error::JumbfNotFound) => Credentials::default(),
        Err(Error::RemoteManifestUrl(address)) => Credentials {
            state: State::Elsewhere,
            reason: Some(format!("they are said to be at {}, and nothing is fetched", manifest::clipped(&address))),
            ..Credentials::default()
        },
        Err(Error::UnsupportedType) => {
            Credentials::not_looked_for("files of this format are not read for content credentials")
        }
        Err(error) => Credentials::unreadable(format!("they are malformed: {}", manifest::clipped(&error.to_string()))),
    }
}
