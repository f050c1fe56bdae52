//! `tide data import URL...` as a person runs it, against servers of this machine.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Output, Stdio},
    sync::{Arc, Barrier, Mutex, mpsc},
    time::Duration,
};

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tide"));
    command
        .args(args)
        .current_dir(folder)
        .env_remove("TIDE_WORKSPACE")
        .env("XDG_RUNTIME_DIR", folder.join("run"));
    command
}

fn tide(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().expect("tide runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Imports from this machine; exit code, stdout and stderr.
fn import(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let out = tide(folder, &[&["data", "import", "--private"], args].concat());
    (out.status.code().unwrap_or(-1), text(&out.stdout), text(&out.stderr))
}

fn csv() -> String {
    let mut csv = String::from("time,open,high,low,close,volume\n");
    for i in 0..600i64 {
        csv.push_str(&format!("{},100,102,99,101,1\n", 1_672_531_200 + i * 900));
    }
    csv
}

/// What is asked of a server: the first line and the headers, in small letters.
#[derive(Clone, Debug, Default)]
struct Asked {
    path: String,
    head: String,
    /// How many came before it.
    before: usize,
}

struct Server {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Answers each connection once, in a thread of its own that ends with the process.
    fn start(answer: impl Fn(&Asked, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        let (asked, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(answer));
        let all = Arc::clone(&asked);
        let accept = move || {
            for stream in listener.incoming() {
                let (all, answer) = (Arc::clone(&all), Arc::clone(&answer));
                let one = move || {
                    let mut stream = stream.expect("accepts");
                    let lines = BufReader::new(stream.try_clone().expect("clones")).lines();
                    let head: Vec<String> =
                        lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
                    let Some(first) = head.first() else { return };
                    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
                    let mut asked = Asked { path, head: head.join("\n").to_lowercase(), before: 0 };
                    {
                        let mut all = all.lock().expect("sound");
                        asked.before = all.len();
                        all.push(asked.clone());
                    }
                    answer(&asked, &mut stream);
                };
                drop(std::thread::Builder::new().spawn(one).expect("starts"));
            }
        };
        drop(std::thread::Builder::new().name("server".into()).spawn(accept).expect("starts"));
        Self { url, asked }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("sound").clone()
    }
}

/// Sends what is said to be whole; who hangs up before the end has its reasons.
fn send(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n");
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

/// Files in the folder for fetched ones, two levels down.
fn fetched(folder: &Path) -> Vec<String> {
    let Ok(folders) = std::fs::read_dir(folder.join(".tide/cache/fetched")) else { return Vec::new() };
    let inside = |path: std::path::PathBuf| std::fs::read_dir(path).expect("a folder");
    let names = folders.flat_map(|f| inside(f.expect("entry").path()));
    let mut names: Vec<String> =
        names.map(|e| e.expect("entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn many_addresses_are_fetched_at_once_and_the_good_ones_imported() {
    let folder = tempfile::tempdir().expect("folder");
    // Nobody is answered before all three have asked.
    let all_here = Barrier::new(3);
    let server = Server::start(move |asked, stream| {
        all_here.wait();
        match asked.path.as_str() {
            "/B-USD_15m.csv?token=geheim" => send(stream, "404 Not Found", "", b"no such file"),
            _ => send(stream, "200 OK", "", csv().as_bytes()),
        }
    });
    let urls =
        ["/A-USD_15m.csv", "/B-USD_15m.csv?token=geheim", "/C-USD_15m.csv"].map(|path| server.url(path));
    std::fs::write(folder.path().join("D-USD_15m.csv"), csv()).expect("writes");
    // One address twice is one.
    let args = ["--json", &urls[0], &urls[1], &urls[2], &urls[0], "D-USD_15m.csv"];
    let (code, out, err) = import(folder.path(), &args);
    assert_eq!(code, 4, "{err}");
    let lines: Vec<serde_json::Value> = out.lines().map(|l| serde_json::from_str(l).expect("json")).collect();
    assert_eq!(lines.len(), 4, "{out}");
    let failed: Vec<_> = lines.iter().filter(|line| line["error"].is_string()).collect();
    assert_eq!(failed.len(), 1, "{out}");
    assert!(failed[0]["source"].as_str().is_some_and(|url| url.ends_with("/B-USD_15m.csv?token=[hidden]")));
    assert!(err.contains("404 Not Found: no such file") && !err.contains("geheim"), "{err}");
    let listed = text(&tide(folder.path(), &["data", "ls"]).stdout);
    for (name, there) in [("A-USD", true), ("B-USD", false), ("C-USD", true), ("D-USD", true)] {
        assert_eq!(listed.contains(name), there, "{name}: {listed}");
    }
    assert_eq!(server.asked().len(), 3);
    let (code, _, err) = import(folder.path(), &["--symbol", "X", &urls[0], &urls[1]]);
    assert!(code == 2 && err.contains("--symbol"), "{err}");
    assert_eq!(server.asked().len(), 3, "a slip of the pen is told before anything is fetched");
}

#[test]
fn what_has_not_changed_is_imported_without_being_fetched() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(|asked, stream| match asked.head.contains("if-none-match: \"v1\"") {
        true => send(stream, "304 Not Modified", "etag: \"v1\"\r\n", b""),
        false => send(stream, "200 OK", "etag: \"v1\"\r\n", csv().as_bytes()),
    });
    let url = server.url("/X-USD_15m.csv");
    let (code, out, err) = import(folder.path(), &[&url]);
    assert!(code == 0 && err.contains("fetched X-USD_15m.csv"), "{err}");
    assert!(out.contains(&format!("({url})")), "it is named by where it came from: {out}");
    let (code, out, err) = import(folder.path(), &[&url]);
    assert!(code == 0 && err.contains("X-USD_15m.csv has not changed since it was fetched"), "{err}");
    assert!(out.contains("600 bars"), "{out}");
    assert!(server.asked()[1].head.contains("if-none-match"), "{:?}", server.asked());
    assert_eq!(fetched(folder.path()), ["X-USD_15m.csv", "X-USD_15m.csv.kept.json"]);
    // What nobody asked for in a month goes.
    let kept = folder.path().join(".tide/cache/fetched");
    let kept = std::fs::read_dir(&kept).expect("there").next().expect("one").expect("entry").path();
    for entry in std::fs::read_dir(&kept).expect("there") {
        let file = std::fs::File::options().append(true).open(entry.expect("entry").path()).expect("opens");
        let old = std::time::SystemTime::now() - Duration::from_secs(40 * 86_400);
        file.set_modified(old).expect("sets");
    }
    let other = Server::start(|_, stream| send(stream, "200 OK", "", csv().as_bytes()));
    let (code, _, err) = import(folder.path(), &[&other.url("/Y-USD_15m.csv")]);
    assert!(code == 0 && err.contains("removed 1 fetched files"), "{err}");
    assert_eq!(fetched(folder.path()), Vec::<String>::new());
}

#[test]
fn what_is_no_file_of_bars_is_told_and_not_kept() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(|asked, stream| match asked.path.as_str() {
        "/page.csv" => send(stream, "200 OK", "etag: \"v1\"\r\n", b"<!DOCTYPE html>\n<html>sign in</html>"),
        _ => send(stream, "200 OK", "etag: \"v1\"\r\n", b"nothing,of,use\n1,2,3\n"),
    });
    let (code, _, err) = import(folder.path(), &[&server.url("/page.csv")]);
    assert!(code == 1 && err.contains("a web page instead of page.csv"), "{err}");
    assert_eq!(fetched(folder.path()), Vec::<String>::new());
    let (code, _, err) = import(folder.path(), &[&server.url("/other.csv")]);
    assert!(code == 1 && err.contains(&server.url("/other.csv: ")) && !err.contains("fetched/"), "{err}");
    assert_eq!(fetched(folder.path()), Vec::<String>::new());
}

#[test]
fn a_running_import_shows_where_each_request_waits() {
    let folder = tempfile::tempdir().expect("folder");
    let at = folder.path();
    let (go_on, told) = mpsc::channel::<()>();
    let told = Mutex::new(told);
    let server = Server::start(move |_, stream| {
        let csv = csv();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", csv.len());
        stream.write_all(head.as_bytes()).expect("sends");
        stream.write_all(&csv.as_bytes()[..1_000]).expect("sends");
        told.lock().expect("sound").recv().expect("told");
        stream.write_all(&csv.as_bytes()[1_000..]).expect("sends");
    });
    let url = server.url("/X-USD_15m.csv?token=geheim");
    let mut child = command(at, &["data", "import", "--private", &url])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tide runs");
    let host = server.url.trim_start_matches("http://");
    let words = [
        format!("at body of {}/X-USD_15m.csv?token=[hidden] (", server.url),
        "fetch [low] waiting".into(),
        "import [low] waiting".into(),
        format!("connection to {host} [high]"),
        format!("GET /X-USD_15m.csv?token=[hidden] [low] to {host}"),
        "limiter requests: 0 wait".into(),
    ];
    let tree = loop {
        let tree = text(&tide(at, &["tasks", "--dump"]).stdout);
        if words.iter().all(|word| tree.contains(word)) {
            break tree;
        }
        assert!(child.try_wait().expect("asks").is_none(), "it ended before it was seen: {tree}");
    };
    assert!(!tree.contains("geheim"), "{tree}");
    let state = tide(at, &["tasks", "--json"]).stdout;
    let state: serde_json::Value = serde_json::from_slice(&state).expect("json");
    let file = &state["sections"]["fetch"][0];
    assert_eq!((file["bytes"].as_u64(), file["length"].as_u64()), (Some(1_000), Some(csv().len() as u64)));
    go_on.send(()).expect("goes on");
    let out = child.wait_with_output().expect("ends");
    assert!(out.status.success(), "{}", text(&out.stderr));
}

#[test]
fn failed_attempts_are_told_and_what_is_there_is_continued() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(|asked, stream| {
        let csv = csv();
        let etag = "etag: \"v1\"\r\n";
        match asked.before {
            // Breaks off: the length is not kept.
            0 => {
                let head = format!("HTTP/1.1 200 OK\r\n{etag}content-length: {}\r\n\r\n", csv.len());
                let _ = stream.write_all(head.as_bytes());
                let _ = stream.write_all(&csv.as_bytes()[..5_000]);
            }
            _ => {
                let range = format!("{etag}content-range: bytes 5000-{}/{}\r\n", csv.len() - 1, csv.len());
                send(stream, "206 Partial Content", &range, &csv.as_bytes()[5_000..]);
            }
        }
    });
    let (code, out, err) = import(folder.path(), &[&server.url("/X-USD_15m.csv")]);
    assert_eq!(code, 0, "{err}");
    assert!(
        err.contains("X-USD_15m.csv: attempt 1 failed after") && err.contains("the next begins"),
        "{err}"
    );
    assert!(err.contains("body: the body ended after 5000 of"), "{err}");
    assert!(out.contains("600 bars"), "{out}");
    assert!(server.asked()[1].head.contains("range: bytes=5000-"), "{:?}", server.asked());
}

#[test]
fn a_server_that_stops_talking_is_given_up_after_the_time_that_was_allowed() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(|_, stream| {
        let mut rest = String::new();
        // Until the other side hangs up.
        let _ = BufReader::new(stream).read_line(&mut rest);
    });
    let url = server.url("/X-USD_15m.csv");
    let (code, _, err) = import(folder.path(), &["--timeout", "1s", &url]);
    assert_eq!(code, 1);
    assert!(err.contains("the request's deadline of 1s passed"), "{err}");
    assert_eq!(fetched(folder.path()), Vec::<String>::new());
}

#[test]
fn errors_name_the_remedy() {
    let folder = tempfile::tempdir().expect("folder");
    let server =
        Server::start(|_, stream| send(stream, "429 Too Many Requests", "retry-after: 3600\r\n", b""));
    let url = server.url("/X-USD_15m.csv");
    let out = tide(folder.path(), &["data", "import", &url]);
    let err = text(&out.stderr);
    assert!(
        out.status.code() == Some(1) && err.contains("this machine") && err.contains("--private"),
        "{err}"
    );
    assert_eq!(server.asked().len(), 0);
    let (code, _, err) = import(folder.path(), &[&url]);
    assert!(
        code == 1 && err.contains("asks not to be asked again before 20") && err.contains("UTC"),
        "{err}"
    );
    assert_eq!(server.asked().len(), 1);
    let out = tide(folder.path(), &["doctor", "--json", "--online", "--url", "http://127.0.0.1:1/"]);
    let findings = text(&out.stdout);
    let network = findings.lines().find(|line| line.contains("\"network\"")).expect("a finding");
    assert!(network.contains("firewall") && !network.contains("proxy"), "{network}");
}

#[test]
fn an_import_can_be_looked_at_and_interrupted_and_goes_on_the_next_time() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(|asked, stream| {
        let csv = csv();
        let etag = "etag: \"v1\"\r\n";
        if asked.before == 0 {
            let head = format!("HTTP/1.1 200 OK\r\n{etag}content-length: {}\r\n\r\n", csv.len());
            stream.write_all(head.as_bytes()).expect("sends");
            stream.write_all(&csv.as_bytes()[..5_000]).expect("sends");
            // Until the other side hangs up.
            let _ = BufReader::new(stream).read_line(&mut String::new());
        } else {
            let range = format!("{etag}content-range: bytes 5000-{}/{}\r\n", csv.len() - 1, csv.len());
            send(stream, "206 Partial Content", &range, &csv.as_bytes()[5_000..]);
        }
    });
    let url = server.url("/X-USD_15m.csv");
    let mut child = command(folder.path(), &["data", "import", "--private", &url])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tide runs");
    let part = || {
        let folders = std::fs::read_dir(folder.path().join(".tide/cache/fetched")).into_iter().flatten();
        let part = folders.flatten().next()?.path().join("X-USD_15m.csv.part");
        std::fs::metadata(part).ok().map(|meta| meta.len())
    };
    while part() != Some(5_000) {
        assert!(child.try_wait().expect("asks").is_none(), "it ended before it was interrupted");
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = child.id().to_string();
    let signal = |name: &str| {
        let sent = Command::new("kill").args([name, &pid]).status();
        assert!(sent.expect("kill").success());
    };
    signal("-USR1");
    let mut told = BufReader::new(child.stderr.take().expect("piped")).lines().map(|l| l.expect("text"));
    assert!(told.any(|line| line.contains("at body of http://127.0.0.1")));
    signal("-INT");
    assert!(told.any(|line| line.contains("Interrupted; nothing was imported")));
    assert_eq!(child.wait().expect("ends").code(), Some(130));
    let (code, out, err) = import(folder.path(), &[&url]);
    assert!(code == 0 && out.contains("600 bars") && err.contains("MB of it before"), "{out} {err}");
}
