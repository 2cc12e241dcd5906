//! The headers that a page with the detector is served with, which keep it from sending anything anywhere.

use std::fmt;
use std::str::FromStr;

/// An origin that detectors may be fetched from, as `https://example.com`; `https://*.example.com` stands for all hosts below that
/// one, as in a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin(String);

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let host = host.map(|host| host.strip_suffix('/').unwrap_or(host));
        match host {
            Some(host) if is_host(host.strip_prefix("*.").unwrap_or(host)) => {
                Ok(Self(text.trim_end_matches('/').into()))
            }
            _ => Err("an origin has a scheme, a host, and perhaps a port, such as https://example.com".to_owned()),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

fn is_host(host: &str) -> bool {
    !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':'))
}

/// What may be fetched by whom.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    /// Where the page may fetch detectors besides its own origin.
    pub(crate) model_origins: Vec<Origin>,
    /// Whether pages of other origins may use the files.
    pub(crate) shared: bool,
}

impl Access {
    /// Every header and its value.
    pub(crate) fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("Content-Security-Policy", self.policy()),
            // These two let the page have threads that share memory.
            ("Cross-Origin-Opener-Policy", "same-origin".to_owned()),
            ("Cross-Origin-Embedder-Policy", "require-corp".to_owned()),
            ("Cross-Origin-Resource-Policy", if self.shared { "cross-origin" } else { "same-origin" }.to_owned()),
            ("X-Content-Type-Options", "nosniff".to_owned()),
            // Another site that a detector comes from need not learn where it is used.
            ("Referrer-Policy", "no-referrer".to_owned()),
            // Files keep their names when they change.
            ("Cache-Control", "no-cache".to_owned()),
        ];
        if self.shared {
            headers.push(("Access-Control-Allow-Origin", "*".to_owned()));
            headers.push(("Access-Control-Expose-Headers", "Content-Range, ETag".to_owned()));
        }
        headers
    }

    /// Only the page's own files are run, shown or fetched, and detectors from where they may come from.
    fn policy(&self) -> String {
        let connect: String = self.model_origins.iter().map(|origin| format!(" {origin}")).collect();
        [
            "default-src 'none'",
            "script-src 'self' 'wasm-unsafe-eval'",
            &format!("connect-src 'self'{connect}"),
            "worker-src 'self'",
            "style-src 'self'",
            "img-src 'self' blob: data:",
            "media-src blob:",
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
        .join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value<'a>(headers: &'a [(&str, String)], name: &str) -> Option<&'a str> {
        headers.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_page_may_connect_to_itself_and_to_the_chosen_origins_alone() {
        let connect = |access: &Access| {
            let headers = access.headers();
            let policy = value(&headers, "Content-Security-Policy").unwrap().to_owned();
            policy.split("; ").find(|rule| rule.starts_with("connect-src")).unwrap().to_owned()
        };
        assert_eq!(connect(&Access::default()), "connect-src 'self'");
        let origins = ["https://a.example", "http://localhost:81/", "https://*.b.example"];
        let model_origins = origins.map(|origin| origin.parse().unwrap()).to_vec();
        let access = Access { model_origins, shared: false };
        assert_eq!(connect(&access), "connect-src 'self' https://a.example http://localhost:81 https://*.b.example");
    }

    #[test]
    fn only_origins_get_into_the_policy() {
        for text in [
            "",
            "a.example",
            "https://",
            "https://a.example/path",
            "https://a; script-src *",
            "https://a b",
            "ftp://a",
            "https://*",
            "https://a.*",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }

    #[test]
    fn other_origins_get_the_files_only_where_they_are_shared() {
        let (own, shared) = (Access::default().headers(), Access { shared: true, ..Access::default() }.headers());
        assert_eq!(value(&own, "Access-Control-Allow-Origin"), None);
        assert_eq!(value(&own, "Cross-Origin-Resource-Policy"), Some("same-origin"));
        assert_eq!(value(&shared, "Access-Control-Allow-Origin"), Some("*"));
        assert_eq!(value(&shared, "Cross-Origin-Resource-Policy"), Some("cross-origin"));
    }
}
