//! Many files at once, through the public door.

use springtide_io::files::{BatchOptions, FileError, FilePool, Item, PoolOptions};
use std::{
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

fn files(folder: &Path, count: usize) -> Vec<PathBuf> {
    let write = |number: usize| {
        let path = folder.join(format!("{number:04}"));
        std::fs::write(&path, "x".repeat(number % 300)).expect("writes");
        path
    };
    (0..count).map(write).collect()
}

fn pool() -> FilePool {
    FilePool::new(PoolOptions { threads: Some(4) }).expect("threads")
}

#[test]
fn every_path_gives_one_item_and_errors_stop_nobody() {
    let folder = tempfile::tempdir().expect("folder");
    let mut paths = files(folder.path(), 1_000);
    paths.insert(500, folder.path().join("nowhere"));
    let pool = pool();
    let options = BatchOptions { bytes_max: 250, window: 32, ..BatchOptions::default() };
    let batch = pool.read(paths.clone(), options, |file| {
        assert!(file.bytes().len() != 77, "seventy-seven");
        assert!(file.with_front().len() == file.bytes().len() + springtide_io::files::FRONT);
        file.bytes().len()
    });
    let mut seen = vec![false; paths.len()];
    for item in batch.blocking() {
        let index = item.index as usize;
        assert!(!std::mem::replace(&mut seen[index], true) && item.path == paths[index]);
        let number = if index < 500 { index } else { index.saturating_sub(1) };
        match item.result {
            _ if index == 500 => assert!(matches!(item.result, Err(FileError::Io { action: "open", .. }))),
            Ok(bytes) => assert_eq!(bytes, number % 300),
            Err(FileError::TooLarge { bytes, most, .. }) => {
                assert_eq!((bytes, most), ((number % 300) as u64, 250));
                assert!(bytes > 250);
            }
            Err(FileError::Panicked { message, .. }) => {
                assert!(number % 300 == 77 && message.contains("seventy-seven"), "{message}");
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(seen.into_iter().all(|s| s));
}

#[test]
fn a_stream_in_order_draws_no_further_than_its_window() {
    let folder = tempfile::tempdir().expect("folder");
    let paths = files(folder.path(), 400);
    let drawn = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&drawn);
    let counted = paths.into_iter().inspect(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let pool = pool();
    let options = BatchOptions { in_order: true, window: 16, ..BatchOptions::default() };
    let mut batch = pool.read(counted, options, |file| file.bytes().len());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    runtime.block_on(async {
        use futures_core::Stream;
        let mut given = 0;
        while let Some(Item { index, result, .. }) =
            std::future::poll_fn(|context| Pin::new(&mut batch).poll_next(context)).await
        {
            assert_eq!((index, result.expect("read")), (given as u64, given % 300));
            given += 1;
            assert!(drawn.load(Ordering::Relaxed) <= given + 16);
        }
        assert_eq!(given, 400);
    });
}

#[test]
fn a_cancelled_batch_tells_of_every_file_it_drew() {
    let folder = tempfile::tempdir().expect("folder");
    let paths = files(folder.path(), 300);
    let pool = pool();
    let options = BatchOptions { window: 100, ..BatchOptions::default() };
    let cancel = options.cancel.clone();
    let started = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&started);
    let batch = pool.read(paths, options, move |file| {
        if counter.fetch_add(1, Ordering::Relaxed) == 10 {
            cancel.cancel();
        }
        file.bytes().len()
    });
    let items: Vec<Item<usize>> = batch.blocking().collect();
    let cancelled = items.iter().filter(|i| matches!(i.result, Err(FileError::Cancelled { .. }))).count();
    let read = items.iter().filter(|i| i.result.is_ok()).count();
    assert_eq!(read, started.load(Ordering::Relaxed));
    assert!(
        read + cancelled == items.len() && (11..100).contains(&read) && items.len() < 300,
        "{read} {cancelled}"
    );
}

#[test]
fn dropping_a_batch_ends_it() {
    let folder = tempfile::tempdir().expect("folder");
    let paths = files(folder.path(), 200);
    let pool = pool();
    let held = Arc::new(());
    let inside = Arc::clone(&held);
    let mut batch = pool.read(paths, BatchOptions::default(), move |_| Arc::strong_count(&inside)).blocking();
    assert!(batch.next().is_some());
    drop(batch);
    assert_eq!(Arc::strong_count(&held), 1, "no task is left that holds the work");
}
