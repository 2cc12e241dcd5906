//! The secret that requests show where others than this machine are served.

use std::path::Path;

use anyhow::{Result, bail};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::files;

/// Fewer characters can be guessed.
const SHORTEST: usize = 16;

/// A token's hash: what is compared has one length, and the token itself is in no memory for long.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Token(…)")
    }
}

impl Token {
    /// The token in a file, without what surrounds it.
    ///
    /// # Errors
    /// The file cannot be read, or holds no token of 16 or more visible characters.
    pub fn read(path: &Path) -> Result<Self> {
        let text = files::read_text(path)?;
        let token = text.trim();
        if token.len() < SHORTEST || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            bail!(
                "{} holds no token of {SHORTEST} or more letters, digits or signs; make one, such as with \
                 `openssl rand -hex 32`",
                path.display()
            );
        }
        Ok(Self(Sha256::digest(token.as_bytes()).into()))
    }

    /// Whether an `Authorization` header shows it. How long that takes tells nothing of the token.
    pub(super) fn is_shown_by(&self, authorization: &[u8]) -> bool {
        let Some((scheme, shown)) = authorization.split_at_checked(b"Bearer ".len()) else { return false };
        let shown: [u8; 32] = Sha256::digest(shown).into();
        scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(shown.ct_eq(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_shown_whole_and_by_its_scheme_and_short_ones_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "  0123456789abcdef\n").unwrap();
        let token = Token::read(&path).unwrap();
        assert!(token.is_shown_by(b"Bearer 0123456789abcdef") && token.is_shown_by(b"bearer 0123456789abcdef"));
        for wrong in [&b"Bearer 0123456789abcdeg"[..], b"Bearer ", b"Basic 0123456789abcdef", b"0123456789abcdef", b""]
        {
            assert!(!token.is_shown_by(wrong));
        }
        for short in ["", "0123456789abcde", "0123456789 abcdef"] {
            std::fs::write(&path, short).unwrap();
            assert!(Token::read(&path).unwrap_err().to_string().contains("no token"));
        }
    }
}
