//! Puts a whole new file in an old one's place.

use super::FileError;
use crate::atomic::{AtomicFile, folder_of};
use std::{
    io::{self, BufWriter, Write},
    path::Path,
};

/// How safe the new file is when [`replace`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// On the disk: a power cut leaves the old file before, the new one after.
    Durable,
    /// Renamed: a killed process leaves the old file or the new one, a power cut may leave neither. For what
    /// can be made again.
    Whole,
}

/// Writes a file under a passing name beside `path` and renames it: whoever opens `path`, before or after or
/// at the same time, finds one whole file. When several replace one file, the last wins. Missing folders are
/// made; when `fill` or the disk fails, nothing is left.
///
/// ```
/// use springtide_io::files::{Keep, replace};
/// use std::io::Write;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("report.txt");
/// let lines = replace(&path, Keep::Durable, |out| {
///     writeln!(out, "whole or not at all")?;
///     Ok(1)
/// })?;
/// assert_eq!((lines, std::fs::read_to_string(&path)?), (1, "whole or not at all\n".into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// What `fill` gives, and [`FileError::Full`] or another when the file cannot be written.
pub fn replace<T>(
    path: &Path,
    keep: Keep,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<T>,
) -> Result<T, FileError> {
    let write = || -> io::Result<T> {
        let mut file = AtomicFile::create_in(folder_of(path))?;
        let mut out = BufWriter::with_capacity(64 << 10, &mut file.file);
        let value = fill(&mut out)?;
        out.flush()?;
        drop(out);
        match keep {
            Keep::Durable => file.commit(path)?,
            Keep::Whole => file.rename(path)?,
        }
        Ok(value)
    };
    write().map_err(FileError::at("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below/x");
        for keep in [Keep::Durable, Keep::Whole] {
            replace(&path, keep, |out| out.write_all(b"old")).unwrap();
            let error = replace(&path, keep, |out| {
                out.write_all(&[1; 100_000])?;
                Err::<(), _>(io::Error::from_raw_os_error(28))
            })
            .unwrap_err();
            assert!(matches!(error, FileError::Full { .. }), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), b"old");
            assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        }
    }

    #[test]
    fn readers_beside_writers_see_whole_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        replace(&path, Keep::Whole, |out| out.write_all(&[0; 20_000])).unwrap();
        std::thread::scope(|scope| {
            for writer in 1..4u8 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..50 {
                        replace(path, Keep::Whole, |out| out.write_all(&[writer; 20_000])).unwrap();
                    }
                });
            }
            for _ in 0..200 {
                let bytes = std::fs::read(&path).unwrap();
                assert!(bytes.len() == 20_000 && bytes.iter().all(|b| *b == bytes[0]));
            }
        });
    }
}
