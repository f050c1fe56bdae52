//! A request as the caller describes it.

use super::{
    cache::CacheUse, config::Deadlines, connect::Origin, follow::Follow, guard::AddressRule, redact,
};
use bytes::Bytes;
use hyper::{
    Method,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use springtide_runtime::{
    Label, Priority,
    limit::{Cost, RetryConfig},
};
use std::{fmt, sync::Arc};
use url::Url;

/// One request. Mistakes made in building it are reported when it is sent.
///
/// ```
/// use springtide_io::http::Request;
///
/// let request = Request::get("https://api.example.com/v1/bars?symbol=BTC")
///     .header("x-api-key", "abc")
///     .label("bars of BTC");
/// // Secrets do not show.
/// assert!(!format!("{request:?}").contains("abc"));
/// ```
#[derive(Clone)]
pub struct Request {
    pub(super) method: Method,
    pub(crate) url: Result<Url, String>,
    pub(crate) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) class: Option<Priority>,
    pub(super) owner: Option<u64>,
    pub(super) label: Option<Label>,
    pub(super) limit_key: Option<Arc<str>>,
    pub(super) cost: Cost,
    pub(crate) deadlines: Option<Deadlines>,
    pub(super) retry: Option<RetryConfig>,
    pub(super) repeatable: Option<bool>,
    pub(super) any_status: bool,
    pub(crate) addresses: Option<AddressRule>,
    pub(super) body_max: Option<u64>,
    pub(super) cache: CacheUse,
    pub(super) follow: Option<Arc<dyn Follow>>,
    /// First thing wrong with it.
    pub(crate) problem: Option<String>,
}

impl Request {
    /// A request by any method.
    pub fn new(method: Method, url: &str) -> Self {
        let url = Url::parse(url).map_err(|error| {
            // The text may hold a secret and cannot be taken apart: only its length is told.
            format!("the URL ({} characters) cannot be read: {error}", url.chars().count())
        });
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            class: None,
            owner: None,
            label: None,
            limit_key: None,
            cost: Cost::REQUEST,
            deadlines: None,
            retry: None,
            repeatable: None,
            any_status: false,
            addresses: None,
            body_max: None,
            cache: CacheUse::Off,
            follow: None,
            problem: None,
        }
    }

    /// `GET`.
    pub fn get(url: &str) -> Self {
        Self::new(Method::GET, url)
    }

    /// `POST` of `body`; set its `content-type` with [`Request::header`].
    pub fn post(url: &str, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..Self::new(Method::POST, url) }
    }

    /// Adds a parameter to the URL's query, encoded.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        if let Ok(url) = &mut self.url {
            url.query_pairs_mut().append_pair(name, value);
        }
        self
    }

    /// Sets a header. One whose name says that it holds a secret is never shown.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
            (Ok(name), Ok(mut value)) => {
                value.set_sensitive(redact::is_secret_header(&name));
                self.headers.insert(name, value);
            }
            (Err(_), _) => self.fail(format!("`{name}` is no name of a header")),
            // The value may be a secret.
            (_, Err(_)) => self.fail(format!("the value of header `{name}` holds what a header cannot hold")),
        }
        self
    }

    /// Sets a header that is never shown, whatever its name.
    #[must_use]
    pub fn secret_header(mut self, name: &str, value: &str) -> Self {
        self = self.header(name, value);
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes())
            && let Some(value) = self.headers.get_mut(name)
        {
            value.set_sensitive(true);
        }
        self
    }

    /// `POST` body as JSON, with its content type.
    #[must_use]
    pub fn json(mut self, value: &impl serde::Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => {
                self.body = body.into();
                self = self.header("content-type", "application/json");
            }
            Err(error) => self.fail(format!("the body cannot be written as JSON: {error}")),
        }
        self
    }

    /// Class of the work, for the order in which requests wait. Unless set it is that of the task which sends the
    /// request, and standard outside of one.
    #[must_use]
    pub fn class(mut self, class: Priority) -> Self {
        self.class = Some(class);
        self
    }

    /// Whose work it is; owners of one class take turns where they wait. The sending task's unless set.
    #[must_use]
    pub fn owner(mut self, owner: u64) -> Self {
        self.owner = Some(owner);
        self
    }

    /// How it is shown while it waits; method and path unless set.
    #[must_use]
    pub fn label(mut self, label: impl Into<Label>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// What is rate limited together; host and port unless set.
    #[must_use]
    pub fn limit_key(mut self, key: impl Into<Arc<str>>) -> Self {
        self.limit_key = Some(key.into());
        self
    }

    /// What it takes of the rate limits; one request unless set.
    #[must_use]
    pub fn cost(mut self, cost: Cost) -> Self {
        self.cost = cost;
        self
    }

    /// Deadlines other than the client's.
    #[must_use]
    pub fn deadlines(mut self, deadlines: Deadlines) -> Self {
        self.deadlines = Some(deadlines);
        self
    }

    /// Retries other than the client's.
    #[must_use]
    pub fn retry(mut self, retry: RetryConfig) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Says whether it may be sent again after it may have been carried out. GET, HEAD, OPTIONS, PUT and DELETE
    /// may unless this says otherwise; others are sent again only when the server cannot have acted on them.
    #[must_use]
    pub fn repeatable(mut self, repeatable: bool) -> Self {
        self.repeatable = Some(repeatable);
        self
    }

    /// Takes an answer of any status as an answer. Otherwise one of 400 and above is an error (with its body).
    #[must_use]
    pub fn any_status(mut self) -> Self {
        self.any_status = true;
        self
    }

    /// The URL was supplied by a person, a page or a model: public addresses only, also after redirects.
    #[must_use]
    pub fn supplied(self) -> Self {
        self.addresses(AddressRule::Public)
    }

    /// Which addresses it may reach, other than the client's rule.
    #[must_use]
    pub fn addresses(mut self, rule: AddressRule) -> Self {
        self.addresses = Some(rule);
        self
    }

    /// Largest body, unpacked, other than the client's limit.
    #[must_use]
    pub fn body_max(mut self, bytes: u64) -> Self {
        self.body_max = Some(bytes);
        self
    }

    /// How the client's cache is used, or of a download the file that is there; not at all unless set.
    #[must_use]
    pub fn cache(mut self, cache: CacheUse) -> Self {
        self.cache = cache;
        self
    }

    /// What is wrong with it as it stands: what would be told when it is sent, before anything is.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn check(&self) -> Result<(), String> {
        if let Some(problem) = &self.problem {
            return Err(problem.clone());
        }
        let url = self.url.as_ref().map_err(Clone::clone)?;
        Origin::of(url, &AddressRule::Any).map(drop).map_err(|cause| cause.to_string())
    }

    /// Who hears how it gets on.
    #[must_use]
    pub fn follow(mut self, by: Arc<dyn Follow>) -> Self {
        self.follow = Some(by);
        self
    }

    fn fail(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }

    pub(super) fn may_repeat(&self) -> bool {
        self.repeatable.unwrap_or_else(|| self.method.is_idempotent())
    }

    /// The URL as it may be shown.
    pub(crate) fn shown_url(&self) -> String {
        self.url.as_ref().map_or_else(|_| "(no URL)".into(), |url| redact::url(url).to_string())
    }

    /// How it is shown where its host stands beside it.
    pub(super) fn shown_label(&self) -> Label {
        let of = |url: &Url| Label::from(Arc::<str>::from(format!("{} {}", self.method, redact::path(url))));
        self.label.clone().or_else(|| self.url.as_ref().ok().map(of)).unwrap_or_else(|| "(no URL)".into())
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &format_args!("{}", self.shown_url()))
            .field("headers", &redact::headers(&self.headers))
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}
