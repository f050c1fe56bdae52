//! The network, asked for by name only: name lookup, connection, TLS, and the clock beside others' clocks.

use super::finding::Finding;
use crate::net;
use springtide_io::http::{Answer, Client, Request};
use springtide_lab::ledger::now_ms;
use springtide_runtime::{
    Outcome, Priority,
    exec::{Runtime, RuntimeConfig},
};
use std::time::Duration;

/// How long one host may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// Exchanges and model providers allow a signed request to be off by some seconds.
const OFF_MAX_MS: i64 = 2_000;

/// Asks every URL at once.
pub fn findings(urls: &[String]) -> Vec<Finding> {
    match ask(urls) {
        Ok(findings) => findings,
        Err(error) => vec![Finding::error("network", error, "see the error")],
    }
}

fn ask(urls: &[String]) -> Result<Vec<Finding>, String> {
    let runtime =
        Runtime::new(RuntimeConfig { workers: 1, ..RuntimeConfig::default() }).map_err(|e| e.to_string())?;
    let urls = urls.to_vec();
    let found = runtime.run("network checks", |scope| async move {
        let config = net::config(&scope).map_err(|e| e.to_string())?;
        let client = Client::new(config).map_err(|e| e.to_string())?;
        let mut tasks = Vec::new();
        for url in &urls {
            let (client, request) = (client.clone(), Request::get(url).any_status().body_max(1 << 20));
            let label = format!("ask {url}");
            tasks.push(scope.spawn(
                Priority::High,
                label,
                PATIENCE,
                async move { client.fetch(request).await },
            ));
        }
        let mut found = Vec::new();
        for (task, url) in tasks.into_iter().zip(&urls) {
            match task.await {
                Outcome::Done(Ok(answer)) => found.extend(seen(url, &answer)),
                Outcome::Done(Err(error)) => found.push(unreachable(url, &error.to_string())),
                other => found.push(unreachable(url, &format!("no answer within {PATIENCE:?} ({other:?})"))),
            }
        }
        Ok(found)
    });
    found.map_err(|e| e.to_string())?
}

fn unreachable(url: &str, problem: &str) -> Finding {
    let fix = "look at the cable, the name server and the firewall; work with files goes on without";
    Finding::error("network", format!("{url}: {problem}"), fix)
}

fn seen(url: &str, answer: &Answer) -> Vec<Finding> {
    let took = answer.timing().total.as_secs_f64() * 1e3;
    let mut list = vec![Finding::ok("network", format!("{url}: {} in {took:.0} ms", answer.status()))];
    let date = answer.header("date").and_then(|text| jiff::fmt::rfc2822::parse(text).ok());
    if let Some(theirs) = date.map(|zoned| zoned.timestamp().as_millisecond()) {
        // The header has whole seconds.
        let off = now_ms() - theirs - 500;
        let detail = format!("{:.1} s apart from {url}", off as f64 / 1e3);
        list.push(match off.abs() > OFF_MAX_MS {
            true => Finding::error("clock-online", detail, "set the clock right: `timedatectl set-ntp true`"),
            false => Finding::ok("clock-online", detail),
        });
    }
    list
}
