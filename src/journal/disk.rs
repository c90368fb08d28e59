//! What the journal asks of a disk, and the disk of the operating system.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, IoSlice};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate, statvfs};
use rustix::io::{Errno, pwritev};

/// A disk. Paths are relative to the store's root, with `/`; `""` is the root itself.
///
/// A call has been done when it returns. What a crash leaves: of a file what `sync` covered; of a folder the names that
/// `sync_dir` covered; of all else anything.
pub trait Disk {
    type File;

    /// Names in a folder, in no order.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;
    /// Makes a folder and those it lies in; one that is there is no error.
    fn make_dir(&self, dir: &str) -> io::Result<()>;
    /// Makes a file of `bytes`, with the room for them reserved. One that is there is an error; what fails leaves none.
    fn create(&self, path: &str, bytes: u64) -> io::Result<Self::File>;
    /// Opens a file to read and write. What is read next is what the disk holds, as far as it was written to the disk.
    fn open(&self, path: &str) -> io::Result<Self::File>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, path: &str) -> io::Result<()>;
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
    /// Bytes that may still be written.
    fn free_bytes(&self) -> io::Result<u64>;
    fn len(&self, file: &Self::File) -> io::Result<u64>;
    /// Tells that all of the file will be read soon. A disk may have it brought meanwhile.
    fn read_ahead(&self, _file: &Self::File) {}
    /// Bytes read into the front of `buffer`; 0 at the end of the file.
    fn read_at(&self, file: &Self::File, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes all of it, one slice behind the other.
    fn write_at(&self, file: &Self::File, offset: u64, slices: &[IoSlice<'_>]) -> io::Result<()>;
    /// Returns when all that was written to the file is on the disk. Not to be retried: after an error the kernel may
    /// have forgotten what it did not write.
    fn sync(&self, file: &Self::File) -> io::Result<()>;
}

/// Reads until `buffer` is full or the file ends; answers how much that was.
pub fn read_full<D: Disk>(disk: &D, file: &D::File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match disk.read_at(file, offset + filled as u64, &mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

/// The folder that a path lies in.
pub fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// A folder of the operating system. Who holds a clone of it has the folder to itself.
#[derive(Clone)]
pub struct OsDisk {
    root: PathBuf,
    _lock: Arc<File>,
}

impl OsDisk {
    /// Makes the folder if need be, and locks it against other processes: `WouldBlock` if one has it already.
    pub fn new(root: impl Into<PathBuf>) -> io::Result<OsDisk> {
        let root = root.into();
        fs::create_dir_all(&root)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(root.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(io::ErrorKind::WouldBlock, "another process uses the folder"));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        sync_folder(&root)?;
        if let Some(parent) = root.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_folder(parent)?;
        }
        Ok(OsDisk { root, _lock: Arc::new(lock) })
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

impl Disk for OsDisk {
    type File = File;

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        fs::read_dir(self.at(dir))?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn make_dir(&self, dir: &str) -> io::Result<()> {
        fs::create_dir_all(self.at(dir))
    }

    fn create(&self, path: &str, bytes: u64) -> io::Result<File> {
        let path = self.at(path);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        match reserve(&file, bytes) {
            Ok(()) => Ok(file),
            Err(error) => {
                // The first error is the one to tell.
                let _ = fs::remove_file(&path);
                Err(error)
            }
        }
    }

    fn open(&self, path: &str) -> io::Result<File> {
        let file = OpenOptions::new().read(true).write(true).open(self.at(path))?;
        // Pages in the cache may hold what a failed sync never brought to the disk. Those not yet written stay.
        fadvise(&file, 0, None, Advice::DontNeed)?;
        Ok(file)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.at(path))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        sync_folder(&self.at(dir))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let answer = statvfs(&self.root)?;
        Ok(answer.f_bavail.saturating_mul(answer.f_frsize))
    }

    fn len(&self, file: &File) -> io::Result<u64> {
        Ok(file.metadata()?.len())
    }

    fn read_ahead(&self, file: &File) {
        let bytes = file.metadata().map_or(0, |about| about.len());
        // The kernel takes no more than this at a time. What it does not do, the reads will.
        for offset in (0..bytes).step_by(READ_AHEAD_BYTES as usize) {
            let _ = fadvise(file, offset, NonZeroU64::new(READ_AHEAD_BYTES), Advice::WillNeed);
        }
    }

    fn read_at(&self, file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match file.read_at(buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    fn write_at(&self, file: &File, offset: u64, slices: &[IoSlice<'_>]) -> io::Result<()> {
        let mut owned = slices.to_vec();
        let (mut rest, mut offset) = (&mut owned[..], offset);
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match pwritev(file, rest, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    offset += count as u64;
                    IoSlice::advance_slices(&mut rest, count);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

const READ_AHEAD_BYTES: u64 = 128 * 1024;

/// File systems without `fallocate` get a file with holes.
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.set_len(bytes),
        done => Ok(done?),
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(name: &str) -> OsDisk {
        let root = std::env::temp_dir().join(format!("haremq-disk-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        OsDisk::new(root).unwrap()
    }

    #[test]
    fn what_is_written_in_slices_is_read_back() {
        let disk = disk("slices");
        disk.make_dir("a/b").unwrap();
        let file = disk.create("a/b/one", 100).unwrap();
        let slices = [&b""[..], b"abc", b"", b"defg"].map(IoSlice::new);
        disk.write_at(&file, 10, &slices).unwrap();
        disk.sync(&file).unwrap();
        disk.rename("a/b/one", "a/b/two").unwrap();
        disk.sync_dir("a/b").unwrap();
        assert_eq!(disk.list("a/b").unwrap(), ["two"]);
        let file = disk.open("a/b/two").unwrap();
        let mut buffer = [1; 200];
        assert_eq!(read_full(&disk, &file, 0, &mut buffer).unwrap(), 100);
        assert_eq!(&buffer[9..18], b"\0abcdefg\0");
        assert_eq!(disk.len(&file).unwrap(), 100);
        assert!(disk.free_bytes().unwrap() > 0);
        disk.remove("a/b/two").unwrap();
        fs::remove_dir_all(disk.root).unwrap();
    }

    #[test]
    fn a_file_that_is_there_is_not_made_again() {
        let disk = disk("twice");
        disk.create("one", 1).unwrap();
        assert_eq!(disk.create("one", 1).err().map(|e| e.kind()), Some(io::ErrorKind::AlreadyExists));
        assert!(disk.create("huge", 1 << 60).is_err());
        assert!(disk.open("huge").is_err(), "what failed leaves nothing");
        fs::remove_dir_all(disk.root).unwrap();
    }

    #[test]
    fn a_folder_has_one_owner() {
        let disk = disk("owner");
        assert_eq!(OsDisk::new(&disk.root).err().map(|e| e.kind()), Some(io::ErrorKind::WouldBlock));
        let root = disk.root.clone();
        drop(disk);
        OsDisk::new(&root).unwrap();
        fs::remove_dir_all(root).unwrap();
    }
}
