//! The disk below a folder: which file system it is, and how long it takes to keep four kilobytes.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use hdrhistogram::Histogram;
use rustix::fs::statfs;

use crate::clock;
use crate::meter;
use crate::report::{DiskReport, Percentiles};

/// What one write and its sync cost before a run, until it is asked again after it.
pub struct Probe {
    folder: PathBuf,
    file_system: String,
    before: Percentiles,
}

impl Probe {
    /// `Err` is a sentence for the user, also if the folder is not on a disk.
    pub fn begin(folder: &Path) -> Result<Probe, String> {
        let failed = |error: io::Error| format!("{}: {error}", folder.display());
        let magic = magic(folder).map_err(failed)?;
        if IN_MEMORY.contains(&magic) {
            return Err(format!(
                "{} lies in memory, where a sync costs nothing; let TMPDIR name a folder on a disk",
                folder.display()
            ));
        }
        let before = measure(folder).map_err(failed)?;
        Ok(Probe { folder: folder.to_owned(), file_system: name(magic), before })
    }

    pub fn end(self) -> Result<DiskReport, String> {
        let after = measure(&self.folder).map_err(|error| format!("{}: {error}", self.folder.display()))?;
        Ok(DiskReport { file_system: self.file_system, before: self.before, after })
    }
}

/// Whether what is written there stays in memory; what cannot be asked does not.
pub fn is_in_memory(folder: &Path) -> bool {
    magic(folder).is_ok_and(|magic| IN_MEMORY.contains(&magic))
}

/// One after the other, each to the next place of a file that is all there: neither its length nor its blocks change with a
/// write, so that a sync has nothing to do but that write.
fn measure(folder: &Path) -> io::Result<Percentiles> {
    let path = folder.join("probe");
    let file = File::create(&path)?;
    let times = times(&file);
    fs::remove_file(&path)?;
    Percentiles::of(&times?).ok_or_else(|| io::Error::other("nothing was written"))
}

fn times(file: &File) -> io::Result<Histogram<u64>> {
    for at in 0..WRITES {
        file.write_all_at(&[0; BYTES], at * BYTES as u64)?;
    }
    file.sync_all()?;
    let mut times = meter::histogram();
    for at in 0..WRITES {
        let before = clock::now();
        file.write_all_at(&[1; BYTES], at * BYTES as u64)?;
        file.sync_data()?;
        times.saturating_record(clock::now() - before);
    }
    Ok(times)
}

fn magic(folder: &Path) -> io::Result<u64> {
    Ok(statfs(folder)?.f_type as u64)
}

fn name(magic: u64) -> String {
    let known = NAMES.iter().find(|(number, _)| *number == magic);
    known.map_or_else(|| format!("{magic:#x}"), |(_, name)| (*name).to_owned())
}

const BYTES: usize = 4096;
const WRITES: u64 = 500;
/// statfs(2): tmpfs and ramfs.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];
const NAMES: [(u64, &str); 5] = [
    (0xef53, "ext4"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0x2fc1_2fc1, "zfs"),
    (0x794c_7630, "overlayfs"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_times_every_write_and_leaves_nothing() {
        // The build lies on a disk; a folder for temporary files may not.
        let own = std::env::current_exe().unwrap();
        let folder = own.parent().unwrap().join(format!("probe-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let report = Probe::begin(&folder).unwrap().end().unwrap();
        assert_eq!((report.before.count, report.after.count), (WRITES, WRITES));
        assert!(report.p50() > 0.0 && report.p50() <= report.p99());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        fs::remove_dir(folder).unwrap();
    }

    #[test]
    fn memory_is_no_disk() {
        let memory = Path::new("/dev/shm");
        if is_in_memory(memory) {
            assert!(Probe::begin(memory).is_err_and(|text| text.contains("TMPDIR")));
        }
        assert_eq!([name(0xef53), name(0x1234)], ["ext4", "0x1234"]);
    }
}
