//! Secrets stay out of errors, logs and `Debug`: user information in URLs, query parameters and headers whose
//! names say that they hold one.

use hyper::header::{HeaderMap, HeaderName};
use std::fmt;
use url::Url;

/// What stands where a secret was.
pub const HIDDEN: &str = "[hidden]";

/// Parts of names that mark a secret, compared without `-`, `_` and case.
const MARKS: &[&str] = &[
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "apikey",
    "accesskey",
    "privatekey",
    "signature",
    "credential",
    "authorization",
    "cookie",
    "session",
    "listenkey",
    "jwt",
    "xapikey",
    "googapikey",
    "apcaapi",
];
/// Whole names that mark a secret.
const NAMES: &[&str] = &["key", "auth", "sig", "pass", "pwd", "code", "hmac", "bearer", "sid", "appid"];

/// Whether a header or query parameter of this name holds a secret.
pub fn is_secret(name: &str) -> bool {
    let plain: String =
        name.chars().filter(|c| *c != '-' && *c != '_').map(|c| c.to_ascii_lowercase()).collect();
    NAMES.contains(&plain.as_str()) || MARKS.iter().any(|mark| plain.contains(mark))
}

/// Whether a header of this name holds a secret and must not follow a redirect to another origin.
pub(super) fn is_secret_header(name: &HeaderName) -> bool {
    is_secret(name.as_str())
}

/// A URL as it may be shown.
///
/// ```
/// use springtide_io::http::redact;
///
/// let url = "https://me:pw@api.example.com/v1/x?symbol=BTC&api_key=abc#top".parse()?;
/// assert_eq!(redact::url(&url).to_string(), "https://[hidden]@api.example.com/v1/x?symbol=BTC&api_key=[hidden]");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn url(url: &Url) -> Shown<'_> {
    Shown(url)
}

/// See [`url()`].
pub struct Shown<'a>(&'a Url);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.0;
        write!(f, "{}://", url.scheme())?;
        if !url.username().is_empty() || url.password().is_some() {
            write!(f, "{HIDDEN}@")?;
        }
        f.write_str(url.host_str().unwrap_or_default())?;
        if let Some(port) = url.port() {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", path(url))
    }
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Path and query of a URL as they may be shown.
pub(super) fn path(url: &Url) -> ShownPath<'_> {
    ShownPath(url)
}

/// See [`path`].
pub(super) struct ShownPath<'a>(&'a Url);

impl fmt::Display for ShownPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.path())?;
        let Some(query) = self.0.query() else { return Ok(()) };
        for (n, pair) in query.split('&').enumerate() {
            f.write_str(if n == 0 { "?" } else { "&" })?;
            match pair.split_once('=') {
                Some((name, _)) if is_secret(&decoded(name)) => write!(f, "{name}={HIDDEN}")?,
                _ => f.write_str(pair)?,
            }
        }
        Ok(())
    }
}

/// A text with the URLs in it as they may be shown: a command line, for example. What cannot be read as a URL and
/// might hold user information is hidden whole.
///
/// ```
/// use springtide_io::http::redact;
///
/// let line = "tide backtest x.pine --otlp=http://me:pw@localhost:4318?token=abc -q";
/// assert_eq!(
///     redact::text(line),
///     "tide backtest x.pine --otlp=http://[hidden]@localhost:4318/?token=[hidden] -q"
/// );
/// ```
pub fn text(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(mark) = rest.find("://") {
        let is_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        let scheme = rest[..mark].char_indices().rev().take_while(|(_, c)| is_scheme(*c));
        // A scheme begins with a letter.
        let start = scheme.filter(|(_, c)| c.is_ascii_alphabetic()).last().map_or(mark, |(at, _)| at);
        let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>');
        let end = rest[mark..].find(is_end).map_or(rest.len(), |at| mark + at);
        shown.push_str(&rest[..start]);
        let address = &rest[start..end];
        match Url::parse(address) {
            Ok(parsed) if parsed.has_host() && !hides(&parsed) => shown.push_str(address),
            Ok(parsed) if parsed.has_host() => shown.push_str(&url(&parsed).to_string()),
            _ if address.contains(['@', '?']) => shown.push_str(HIDDEN),
            _ => shown.push_str(address),
        }
        rest = &rest[end..];
    }
    shown + rest
}

/// Whether a URL is shown otherwise than it is written.
fn hides(url: &Url) -> bool {
    let is_secret_pair = |pair: &str| pair.split_once('=').is_some_and(|(name, _)| is_secret(&decoded(name)));
    !url.username().is_empty()
        || url.password().is_some()
        || url.fragment().is_some()
        || url.query().is_some_and(|query| query.split('&').any(is_secret_pair))
}

fn decoded(name: &str) -> String {
    url::form_urlencoded::parse(name.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default()
}

/// Headers as they may be shown.
pub fn headers(headers: &HeaderMap) -> ShownHeaders<'_> {
    ShownHeaders(headers)
}

/// See [`headers`].
pub struct ShownHeaders<'a>(&'a HeaderMap);

impl fmt::Debug for ShownHeaders<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(name, value): (&HeaderName, &hyper::header::HeaderValue)| {
            let hidden = value.is_sensitive() || is_secret_header(name);
            let text =
                if hidden { HIDDEN.into() } else { String::from_utf8_lossy(value.as_bytes()).into_owned() };
            (name.as_str().to_owned(), text)
        };
        f.debug_map().entries(self.0.iter().map(shown)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_known() {
        for name in [
            "Authorization",
            "Proxy-Authorization",
            "Cookie",
            "Set-Cookie",
            "x-api-key",
            "X-Goog-Api-Key",
            "APCA-API-SECRET-KEY",
            "APCA-API-KEY-ID",
            "api_key",
            "apikey",
            "key",
            "auth_token",
            "listenKey",
            "access_token",
            "signature",
            "sig",
            "x_cg_pro_api_key",
            "client_secret",
            "password",
            "X-Bapi-Api-Key",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in
            ["symbol", "interval", "limit", "content-type", "etag", "keyword", "accept", "monkey", "range"]
        {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn a_url_is_shown_without_its_secrets() {
        let shown = |text: &str| url(&Url::parse(text).unwrap()).to_string();
        assert_eq!(shown("http://h/p"), "http://h/p");
        assert_eq!(shown("http://h:81/?a=1&%6Bey=s&b"), "http://h:81/?a=1&%6Bey=[hidden]&b");
        assert_eq!(shown("http://:pw@h/"), "http://[hidden]@h/");
    }

    #[test]
    fn urls_in_a_text_are_shown_without_their_secrets() {
        for (line, want) in [
            ("tide data import x.csv", "tide data import x.csv"),
            (
                "--otlp http://user:pa55word@h:4318/v1?token=SEKRET&a=1 -q",
                "--otlp http://[hidden]@h:4318/v1?token=[hidden]&a=1 -q",
            ),
            (
                "HTTPS://h/a.csv?sig=s 'http://u:p@h/' end",
                "https://h/a.csv?sig=[hidden] 'http://[hidden]@h/' end",
            ),
            ("é=http://u:p@h/", "é=http://[hidden]@h/"),
            ("http://u:p@h:port/ x", "[hidden] x"),
            ("http://:80/?key=s", "[hidden]"),
            ("a://b c:// :// http://h", "a://b c:// :// http://h"),
        ] {
            assert_eq!(text(line), want, "{line}");
        }
    }

    #[test]
    fn headers_are_shown_without_their_secrets() {
        let mut map = HeaderMap::new();
        map.insert("x-api-key", "abc".parse().unwrap());
        map.insert("accept", "text/html".parse().unwrap());
        let mut odd: hyper::header::HeaderValue = "zzz".parse().unwrap();
        odd.set_sensitive(true);
        map.insert("odd", odd);
        let shown = format!("{:?}", headers(&map));
        assert!(!shown.contains("abc") && !shown.contains("zzz") && shown.contains("text/html"), "{shown}");
    }
}
