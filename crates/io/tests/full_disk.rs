//! A disk that is full: a small tmpfs in a mount space of its own. Where that is not permitted the test says so
//! and checks nothing.

use springtide_domain::{
    SymbolInfo, Timeframe,
    synth::{SynthSpec, bars as synth_bars},
};
use springtide_io::{
    BarMeta, DataStore, ImportError, ImportOptions,
    db::{Database, DbError, sqlx},
    files::{AppendOptions, Appender, FileError, FilePool, Keep, PoolOptions, replace},
    http::{Cause, Client, ClientConfig, Request},
    ticks::TickOptions,
    write_bars,
};
use springtide_runtime::observe::Health;
use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Command,
};

/// Where the inner test finds the small disk.
const DISK: &str = "SPRINGTIDE_SMALL_DISK";

#[test]
fn a_full_disk_ends_in_clear_errors_and_nothing_half_written() {
    let folder = tempfile::tempdir().expect("folder");
    let script = "mount -t tmpfs -o size=2m none \"$1\" || exit 77; exec \"$2\" --exact on_a_small_disk --ignored --nocapture";
    let program = std::env::current_exe().expect("this test");
    let output = Command::new("unshare")
        .args(["-rm", "sh", "-c", script, "sh"])
        .arg(folder.path())
        .arg(program)
        .env(DISK, folder.path())
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            eprintln!("SKIPPED: no unshare to make a small disk with ({error})");
            return;
        }
    };
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // 77 is the script's own word; unshare itself ends with 1 before the script begins.
    if output.status.code() == Some(77) || !out.contains("running 1 test") {
        eprintln!("SKIPPED: a small disk may not be mounted here: {err}");
        return;
    }
    assert!(output.status.success(), "{out}\n{err}");
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("folder");
    let mut names: Vec<String> =
        entries.map(|e| e.expect("entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Takes all that is free; removed, the disk has room again.
fn fill(disk: &Path) -> PathBuf {
    let path = disk.join("ballast");
    let mut size = 4 << 20;
    let mut ballast = Vec::new();
    while size >= 4096 {
        let longer = [&ballast[..], &vec![7u8; size]].concat();
        match fs::write(&path, &longer) {
            Ok(()) => ballast = longer,
            Err(_) => size /= 2,
        }
    }
    fs::write(&path, &ballast).expect("fits");
    path
}

#[test]
#[ignore = "run by the test above, on the disk that it makes"]
fn on_a_small_disk() {
    let disk = PathBuf::from(std::env::var_os(DISK).expect("run by the test above"));
    replaced_files(&disk);
    appended_files(&disk);
    bar_files(&disk);
    trades(&disk);
    downloads(&disk);
    databases(&disk);
    backups(&disk);
    new_databases(&disk);
    read_only(&disk);
}

/// A disk that can only be read: what is there is read, all else says what to do.
fn read_only(disk: &Path) {
    let schema = "CREATE TABLE t (k INTEGER PRIMARY KEY);";
    let path = disk.join("read.db");
    let db = Database::open(&path, &[schema]).expect("room");
    db.write(async |c| sqlx::query("INSERT INTO t VALUES (7)").execute(c).await).expect("writes");
    drop(db);
    let mount = |how: &str| {
        let done = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(disk).status();
        assert!(done.is_ok_and(|status| status.success()), "mounted by the test above");
    };
    mount("ro");
    let remedy = |error: DbError| {
        let text = error.to_string();
        assert!(matches!(error, DbError::ReadOnly { .. }) && text.contains("--workspace"), "{text}");
    };
    remedy(Database::open(&path, &[schema]).expect_err("not writable"));
    remedy(Database::open_to_read(&path, &[schema, "CREATE TABLE u (k);"]).expect_err("of an older schema"));
    let db = Database::open_to_read(&path, &[schema]).expect("readable");
    assert!(db.is_read_only());
    let there: i64 =
        db.read(async |c| sqlx::query_scalar("SELECT k FROM t").fetch_one(c).await).expect("reads");
    assert_eq!((there, db.check().expect("checks")), (7, Vec::<String>::new()));
    remedy(
        db.write(async |c| sqlx::query("INSERT INTO t VALUES (8)").execute(c).await)
            .expect_err("not written"),
    );
    let folder = tempfile::tempdir().expect("folder");
    assert!(db.backup(&folder.path().join("copy.db")).is_ok(), "elsewhere there is room");
    remedy(Database::open(&disk.join("new.db"), &[schema]).expect_err("not made"));
    drop(db);
    mount("rw");
}

/// A server that sends 8 MB, with a validator.
fn downloads(disk: &Path) {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listens");
    let url = format!("http://{}/file.bin", listener.local_addr().expect("address"));
    let serve = move || {
        let (mut stream, _) = listener.accept().expect("accepts");
        let mut lines = BufReader::new(stream.try_clone().expect("clones")).lines();
        while lines.next().is_some_and(|line| line.is_ok_and(|l| !l.is_empty())) {}
        let head = "HTTP/1.1 200 OK\r\netag: \"v1\"\r\ncontent-length: 8000000\r\n\r\n";
        // The other side hangs up when its disk is full.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&vec![7; 8_000_000]));
    };
    let server = std::thread::Builder::new().spawn(serve).expect("starts");
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("starts");
    let client = Client::new(ClientConfig::default()).expect("a client");
    let path = disk.join("file.bin");
    let error = tokio.block_on(client.download(Request::get(&url), &path)).expect_err("full");
    let Cause::DiskFull { needs: Some(needs), .. } = error.cause() else { panic!("{error}") };
    assert!((5_000_000..8_000_000).contains(needs), "{error}");
    let text = error.to_string();
    for word in ["the disk is full", "file.bin", "needs another", "are free", "free some space"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert_eq!(names(disk), ["file.bin.part", "file.bin.part.json"], "to be continued");
    // Only with its task is the connection closed, and only then does a server that still writes come to its end.
    drop(tokio);
    server.join().expect("ends");
    for name in names(disk) {
        fs::remove_file(disk.join(name)).expect("there");
    }
}

fn replaced_files(disk: &Path) {
    let path = disk.join("report");
    replace(&path, Keep::Durable, |out| out.write_all(b"old")).expect("fits");
    let error = replace(&path, Keep::Durable, |out| out.write_all(&vec![1; 8 << 20])).expect_err("full");
    assert!(
        matches!(error, FileError::Full { .. }) && error.to_string().contains("free some space"),
        "{error}"
    );
    assert_eq!((fs::read(&path).expect("there"), names(disk)), (b"old".to_vec(), vec!["report".to_owned()]));
    fs::remove_file(path).expect("there");
}

fn appended_files(disk: &Path) {
    let path = disk.join("log");
    let log = Appender::open(&path, AppendOptions::default()).expect("opens");
    let line = [b'x'; 50_000];
    let mut kept = 0u64;
    let error = loop {
        match log.append(&line) {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, FileError::Full { .. }) && kept > 10, "{error}");
    assert_eq!(fs::metadata(&path).expect("there").len(), kept * 50_001, "whole lines, all acknowledged");
    let ballast = fill(disk);
    assert!(log.append(&line).is_err());
    fs::remove_file(ballast).expect("there");
    fs::write(disk.join("log2"), b"").expect("room");
    log.append(b"short").expect("goes on once there is room");
    assert_eq!(fs::metadata(&path).expect("there").len(), kept * 50_001 + 6);
    drop(log);
    for name in names(disk) {
        fs::remove_file(disk.join(name)).expect("there");
    }
}

fn bar_files(disk: &Path) {
    let bars = synth_bars(&SynthSpec { bars: 100_000, ..SynthSpec::default() });
    let meta = BarMeta {
        symbol: SymbolInfo::default(),
        timeframe: Timeframe::Minutes(15),
        source: "made".into(),
        report: None,
    };
    let error = write_bars(&disk.join("x.arrow"), &bars.view(), &meta).expect_err("full");
    assert!(
        matches!(&error, ImportError::Store { source, .. } if source.kind() == ErrorKind::StorageFull),
        "{error}"
    );
    // What is read is not to blame.
    let folder = tempfile::tempdir().expect("folder");
    let source = folder.path().join("X-USD_15m.arrow");
    write_bars(&source, &bars.view(), &meta).expect("room");
    let error =
        DataStore::new(disk).import(&[source], &ImportOptions::default()).remove(0).expect_err("full");
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("cannot write {}: ", disk.display())) && text.contains("free some space"),
        "{text}"
    );
    assert_eq!(names(disk), Vec::<String>::new());
}

/// A symbol that does not fit leaves those before it as they were.
fn trades(disk: &Path) {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("x.csv");
    let store = DataStore::new(disk.join("store"));
    let pool = FilePool::new(PoolOptions { threads: Some(1) }).expect("threads");
    let import = |minutes: i64| {
        let trade = |minute: i64| format!("{},B,{minutes}\n", 1_704_067_200_000 + minute * 60_000);
        let trades: String = (0..minutes).map(trade).collect();
        fs::write(&path, format!("ts,symbol,price\n1704067200000,A,{minutes}\n{trades}")).expect("writes");
        let (ticks, options) = (TickOptions::default(), ImportOptions::default());
        let paths = std::slice::from_ref(&path);
        store.import_trades(&pool, paths, Timeframe::Minutes(1), &ticks, &options).remove(0)
    };
    import(1).expect("fits");
    let error = import(60_000).expect_err("full");
    assert!(
        matches!(&error, ImportError::Store { source, .. } if source.kind() == ErrorKind::StorageFull)
            && error.to_string().contains("free some space there"),
        "{error}"
    );
    let bars = |symbol| store.open(symbol, Timeframe::Minutes(1)).expect("there").bars;
    assert_eq!((bars("A").view().close, bars("B").view().close), (&[1.0][..], &[1.0][..]));
    assert!(store.check().expect("checks").is_empty(), "nothing unfinished");
    fs::remove_dir_all(store.root()).expect("there");
}

fn databases(disk: &Path) {
    let path = disk.join("ledger.db");
    let schema = "CREATE TABLE t (k INTEGER PRIMARY KEY, v BLOB NOT NULL);";
    let db = Database::open(&path, &[schema]).expect("opens");
    let add = |k: i64| {
        db.write(async |c| sqlx::query("INSERT INTO t VALUES (?, zeroblob(20000))").bind(k).execute(c).await)
    };
    let mut kept = 0;
    let error = loop {
        match add(kept) {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, DbError::Full { .. }) && kept > 10, "{error}");
    let count = || -> i64 {
        let count = db.read(async |c| sqlx::query_scalar("SELECT count(*) FROM t").fetch_one(c).await);
        count.expect("reads")
    };
    assert_eq!(count(), kept, "what was acknowledged is there, what was not is not");
    assert_eq!(db.check().expect("checks"), Vec::<String>::new());
    // Health follows: failed while nothing can be written, well again once there is room.
    let health = Health::default();
    db.watch(health.component("ledger"));
    assert!(health.is_ready());
    assert!(add(kept).is_err() && !health.is_ready() && health.is_live());
    let seen = &health.components()[0];
    assert!(seen.error.as_ref().is_some_and(|e| e.contains("disk is full")), "{seen:?}");
    db.write(async |_| Ok(())).expect("nothing to write fits");
    let seen = &health.components()[0];
    assert!(health.is_ready() && seen.error.is_some(), "the last error is kept: {seen:?}");
    drop(db);
    for name in names(disk) {
        fs::remove_file(disk.join(name)).expect("there");
    }
}

/// A backup that finds no room names its own place, not the ledger's, and leaves nothing.
fn backups(disk: &Path) {
    let folder = tempfile::tempdir().expect("folder");
    let schema = "CREATE TABLE t (k INTEGER PRIMARY KEY, v BLOB NOT NULL);";
    let db = Database::open(&folder.path().join("ledger.db"), &[schema]).expect("opens");
    let insert = async |c: &mut sqlx::SqliteConnection| {
        sqlx::query("INSERT INTO t VALUES (1, randomblob(4000000))").execute(c).await
    };
    db.write(insert).expect("room");
    let target = disk.join("copy.db");
    let error = db.backup(&target).expect_err("full");
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("cannot write the backup {}: its disk is full", target.display())),
        "{text}"
    );
    assert_eq!(names(disk), Vec::<String>::new());
}

/// Without room for its first page a database leaves nothing behind, and says what to do.
fn new_databases(disk: &Path) {
    let schema = "CREATE TABLE t (k INTEGER PRIMARY KEY, v BLOB NOT NULL);";
    fill(disk);
    let path = disk.join("ledger.db");
    let error = Database::open(&path, &[schema]).expect_err("full");
    assert!(matches!(error, DbError::NoRoom { .. }) && error.to_string().contains("--workspace"), "{error}");
    assert_eq!(names(disk), ["ballast"], "nothing is left of it");
    // With a few pages free it breaks off later.
    let ballast = fs::metadata(disk.join("ballast")).expect("there").len();
    let file = fs::OpenOptions::new().write(true).open(disk.join("ballast")).expect("opens");
    file.set_len(ballast - 8_192).expect("cut");
    let error = Database::open(&path, &[schema]).expect_err("full");
    assert!(matches!(error, DbError::NoRoom { .. }), "{error:?}");
    file.set_len(0).expect("cut");
    assert!(Database::open(&path, &[schema]).expect("there is room").check().expect("checks").is_empty());
}
