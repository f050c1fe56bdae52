//! How the program's requests go out.

use springtide_io::http::ClientConfig;
use springtide_runtime::{
    BadWeight,
    exec::Scope,
    limit::{LimiterConfig, PauseRule, Quota, RateLimiter, Unit},
};
use std::sync::OnceLock;

/// Requests a second to one host, and how many at once after a rest: more than a person's work needs, and no burden
/// to anybody's server.
const PER_SECOND: u64 = 20;
const BURST: u64 = 40;

/// A client's settings: its work in this scope, where it is seen, and one rate limit with all others of the process,
/// so that a host that has too much to do is left alone by every request.
pub fn config(scope: &Scope) -> Result<ClientConfig, BadWeight> {
    Ok(ClientConfig { limiter: Some(limiter()?), scope: Some(scope.clone()), ..ClientConfig::default() })
}

fn limiter() -> Result<RateLimiter, BadWeight> {
    static LIMITER: OnceLock<RateLimiter> = OnceLock::new();
    if let Some(limiter) = LIMITER.get() {
        return Ok(limiter.clone());
    }
    let made = RateLimiter::new(LimiterConfig {
        name: "requests".into(),
        per_key: vec![Quota::per_second(Unit::REQUESTS, PER_SECOND).burst(BURST)],
        pause: PauseRule::Always,
        ..LimiterConfig::default()
    })?;
    Ok(LIMITER.get_or_init(|| made).clone())
}
