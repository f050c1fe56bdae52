//! Requests among the tasks of a runtime: their class, and where each waits.

use crate::server::{Server, Step, answer, config, ok, send};
use springtide_io::http::{Cause, Client, ClientConfig, Lookup, Request, Resolve};
use springtide_runtime::{
    Outcome, Priority,
    exec::{Runtime, RuntimeConfig, Scope},
    limit::{LimiterConfig, PauseRule, RateLimiter, RetryConfig},
    observe::Observatory,
    permit::LimitConfig,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// No machine is so slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs with one worker; what is shown then is of this process, which runs one test.
fn run<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    body: impl FnOnce(Scope) -> F + Send + 'static,
) -> T {
    let runtime = Runtime::new(RuntimeConfig { workers: 1, name: "io".into(), ..RuntimeConfig::default() });
    runtime.unwrap().run("test", body).unwrap()
}

fn within(scope: &Scope) -> ClientConfig {
    ClientConfig { scope: Some(scope.clone()), ..config() }
}

/// What is shown once it holds all of this.
async fn shown(words: &[&str]) -> String {
    let began = Instant::now();
    loop {
        let text = Observatory::new("test").tasks();
        let missing: Vec<_> = words.iter().filter(|word| !text.contains(**word)).collect();
        if missing.is_empty() {
            return text;
        }
        assert!(began.elapsed() < PATIENCE, "{missing:?} are not in\n{text}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A name server that never answers.
struct Silent;

impl Resolve for Silent {
    fn resolve(&self, _host: &str, _port: u16) -> Lookup {
        Box::pin(std::future::pending())
    }
}

#[test]
fn every_request_says_where_it_waits() {
    run(|scope| async move {
        let server = Server::start(|r| match r.path.split('?').next().unwrap_or_default() {
            "/head" => vec![Step::Stall],
            "/busy" => answer("503 Later", &[("retry-after", "50")], b""),
            _ => vec![send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"), Step::Stall],
        })
        .await;
        let host = server.address.to_string();
        let retry = RetryConfig { retry_after_max: Duration::from_secs(60), ..RetryConfig::default() };
        let plain = Client::new(ClientConfig { retry, ..within(&scope) }).unwrap();
        let narrow = Client::new(ClientConfig { per_host: LimitConfig::fixed(1), ..within(&scope) }).unwrap();
        let pause = LimiterConfig { pause: PauseRule::Always, ..LimiterConfig::default() };
        let limiter = Some(RateLimiter::new(pause).unwrap());
        let limited = Client::new(ClientConfig { limiter, retry, ..within(&scope) }).unwrap();
        let resolver: Option<Arc<dyn Resolve>> = Some(Arc::new(Silent));
        let lost = Client::new(ClientConfig { resolver, ..within(&scope) }).unwrap();
        let ask = |client: &Client, url: String| {
            let client = client.clone();
            scope.spawn(Priority::Low, "ask", None, async move {
                client.fetch(Request::get(&url)).await.map(|_| ())
            })
        };
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("file.bin");
        let download = {
            let (client, url) = (plain.clone(), server.url("/file?token=geheim&x=1"));
            scope.spawn(Priority::Low, "batch", None, async move {
                client.download_each([(Request::get(&url), target)], 4, |_, result| result).await
            })
        };
        let tasks = [
            ask(&plain, server.url("/head?key=geheim")),
            ask(&plain, server.url("/busy")),
            ask(&narrow, server.url("/head")),
            ask(&lost, "http://nowhere.example/".into()),
            ask(&limited, server.url("/busy")),
        ];
        shown(&["at headers of"]).await;
        shown(&["paused for"]).await;
        let late = [ask(&narrow, server.url("/late")), ask(&limited, server.url("/late"))];
        let text = shown(&[
            &format!("at headers of http://{host}/head?key=[hidden] ("),
            &format!("at body of http://{host}/file?token=[hidden]&x=1 ("),
            "at a rest before attempt 2 (",
            &format!("at a permit for {host} ("),
            "at a connection to nowhere.example:80 (",
            &format!("at the rate limit of {host} ("),
            // In the tree as tasks of their own.
            "fetch [low] waiting",
            &format!("connection to {host} [high] waiting"),
            // In the permits' list by what they are, in their task's class.
            &format!("GET /late [low] to {host}"),
            &format!("GET /file?token=[hidden]&x=1 [low] to {host}"),
        ])
        .await;
        assert!(!text.contains("geheim"), "{text}");
        drop((tasks, late, download));
    });
}

#[test]
fn a_request_is_of_its_tasks_class_unless_it_says_otherwise() {
    run(|scope| async move {
        let server = Server::start(|_| vec![Step::Stall]).await;
        let host = server.address.to_string();
        let client = Client::new(within(&scope)).unwrap();
        let ask = |class, request: Request| {
            let client = client.clone();
            scope.spawn(class, "ask", None, async move { client.fetch(request).await.map(|_| ()) })
        };
        let get = |path: &str| Request::get(&server.url(path));
        let tasks = [
            ask(Priority::Low, get("/low")),
            ask(Priority::Critical, get("/critical")),
            ask(Priority::Low, get("/told").class(Priority::High)),
        ];
        let words = ["/low [low]", "/critical [critical]", "/told [high]"];
        let words = words.map(|word| format!("GET {word} to {host}"));
        shown(&words.each_ref().map(String::as_str)).await;
        drop(tasks);
    });
}

#[test]
fn a_client_within_a_scope_leaves_nothing_behind() {
    run(|scope| async move {
        let server = Server::start(|_| ok(b"x")).await;
        let url = server.url("/");
        let client = Client::new(within(&scope)).unwrap();
        let results = client.fetch_all((0..40).map(|_| Request::get(&url)), 8).await;
        assert!(results.iter().all(Result::is_ok));
        assert!(scope.live() > 0, "connections are tasks of the scope");
        drop(client);
        while scope.live() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn a_batch_whose_scope_is_cancelled_has_a_result_for_each() {
    run(|scope| async move {
        let server = Server::start(|_| vec![Step::Stall]).await;
        let url = server.url("/");
        let requests = server.url("/");
        let batch = scope.nest("inner", |inner| async move {
            let client = Client::new(within(&inner)).unwrap();
            let all = client.fetch_all((0..10).map(|_| Request::get(&url)), 3);
            let cancel = async {
                shown(&[&format!("at headers of {requests}")]).await;
                inner.cancel();
            };
            tokio::join!(all, cancel).0
        });
        let results = batch.await.unwrap();
        assert_eq!(results.len(), 10);
        for result in results {
            let error = result.unwrap_err();
            assert!(matches!(error.cause(), Cause::Cancelled), "{error}");
        }
    });
}

#[test]
fn the_runtime_tells_a_tasks_class_to_what_it_calls() {
    run(|scope| async move {
        let task =
            scope.spawn(Priority::Critical, "asks", None, async { springtide_runtime::exec::asking() });
        assert!(matches!(task.await, Outcome::Done(Some((Priority::Critical, 0)))));
        let apart = tokio::task::JoinSet::from_iter([async { springtide_runtime::exec::asking() }]);
        assert_eq!(apart.join_all().await, [None], "a task of tokio's own has none");
    });
    assert_eq!(springtide_runtime::exec::asking(), None);
}
