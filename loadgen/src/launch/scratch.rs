//! The folder of a broker of ours: made for one start, on a disk if there is one, and gone with the broker.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;

use crate::disk;

/// A folder that goes when it is dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(port: u16) -> io::Result<Scratch> {
        let folder = root().join(format!("{}{port}", prefix()));
        if folder.exists() {
            // Of a process of this number that was killed: no broker shall find what another one kept.
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        Ok(Scratch(folder))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// Those of this process, for an end that drops nothing.
pub fn remove_folders() {
    let Ok(entries) = fs::read_dir(root()) else { return };
    let ours = |name: &str| name.starts_with(&prefix());
    for entry in entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(ours)) {
        // A broker that dies may still make a file meanwhile.
        _ = fs::remove_dir_all(entry.path()).or_else(|_| fs::remove_dir_all(entry.path()));
    }
}

/// How their names begin.
fn prefix() -> String {
    format!("loadgen-{}-", process::id())
}

/// Where temporary files go, unless that is memory, which would cost a broker nothing to keep messages in.
fn root() -> PathBuf {
    let beside = env::current_exe().ok().and_then(|own| own.parent().map(Path::to_owned));
    let others = [Some(PathBuf::from("/var/tmp")), beside];
    let mut all = std::iter::once(env::temp_dir()).chain(others.into_iter().flatten());
    all.find(|folder| folder.is_dir() && !disk::is_in_memory(folder)).unwrap_or_else(env::temp_dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_fresh_on_a_disk_and_goes() {
        let left = Scratch::new(1).unwrap().path().to_owned();
        fs::create_dir_all(left.join("data")).unwrap();
        let scratch = Scratch::new(1).unwrap();
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
        assert!(!disk::is_in_memory(scratch.path()));
        drop(scratch);
        assert!(!left.exists());
    }
}
