//! A disk in memory that keeps, of what was not synced, what chance lets it keep.
//!
//! ```text
//! write -> cache -- sync ------> durable        of a file: each 512-byte sector is as some write left it, or as before
//! name  -> names -- sync_dir --> durable        of a folder: each making, renaming and removal for itself
//! crash:   cache and names become what is durable, and of the rest some
//! kill:    the process ends, and the cache stays
//! ```

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;

use haremq::journal::Disk;

use crate::dice::Dice;
use crate::faults::Fault;

#[derive(Clone)]
pub struct SimDisk(Rc<RefCell<Platter>>);

/// What an injected error is an answer to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    Read,
    Write,
    Sync,
}

#[derive(Clone)]
struct Platter {
    dice: Dice,
    files: Vec<Inode>,
    names: BTreeMap<String, usize>,
    folders: BTreeSet<String>,
    durable_names: BTreeMap<String, usize>,
    durable_folders: BTreeSet<String>,
    /// Changes of names that no `sync_dir` covered, in their order.
    changes: Vec<Change>,
    calls: u64,
    /// From that call on nothing is done any more: the machine is gone.
    gone_at: Option<u64>,
    /// The next but so many of these calls fails, once.
    fails: Option<(Call, u64)>,
    failed: bool,
    room_bytes: Option<u64>,
    /// The bug that this disk shows instead of whoever calls it.
    fault: Option<Fault>,
    planted: u32,
    reading: bool,
    tally: DiskTally,
}

#[derive(Clone, Copy, Default, Debug)]
pub struct DiskTally {
    pub syncs: u64,
    pub bytes: u64,
    pub segments: u64,
    /// Writes, and changes of names, that a crash found not synced.
    pub unsynced: u64,
    pub errors: u64,
    pub no_room: u64,
}

impl DiskTally {
    pub fn add(&mut self, other: &DiskTally) {
        self.syncs += other.syncs;
        self.bytes += other.bytes;
        self.segments += other.segments;
        self.unsynced += other.unsynced;
        self.errors += other.errors;
        self.no_room += other.no_room;
    }
}

#[derive(Clone, Default)]
struct Inode {
    folder: String,
    /// As who reads it sees it.
    cache: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Write>,
    /// It was never synced: nobody knows how long it is on disk.
    is_new: bool,
    /// The cache has what the disk has lost.
    differs: bool,
}

#[derive(Clone)]
struct Write {
    at: usize,
    bytes: Vec<u8>,
    /// A sync that did nothing should have covered it.
    asked: bool,
}

#[derive(Clone)]
enum Change {
    Made { folder: String, path: String },
    Named { folder: String, path: String, file: usize },
    Removed { folder: String, path: String, file: usize },
}

/// A file that is open: it goes by its number, whatever its name.
pub struct SimFile(usize);

impl SimDisk {
    pub fn new(seed: u64, fault: Option<Fault>) -> SimDisk {
        SimDisk(Rc::new(RefCell::new(Platter {
            dice: Dice::new(seed),
            files: Vec::new(),
            names: BTreeMap::new(),
            folders: BTreeSet::from([String::new()]),
            durable_names: BTreeMap::new(),
            durable_folders: BTreeSet::from([String::new()]),
            changes: Vec::new(),
            calls: 0,
            gone_at: None,
            fails: None,
            failed: false,
            room_bytes: None,
            fault,
            planted: 0,
            reading: false,
            tally: DiskTally::default(),
        })))
    }

    /// A disk with the same on it, to be read without a trace.
    pub fn copy(&self) -> SimDisk {
        let copy = SimDisk(Rc::new(RefCell::new(self.0.borrow().clone())));
        copy.go_in(None);
        copy.fail_in(None);
        copy
    }

    /// The machine is gone at the call that comes behind so many others; or not at all.
    pub fn go_in(&self, calls: Option<u64>) {
        let mut disk = self.0.borrow_mut();
        disk.gone_at = calls.map(|calls| disk.calls + calls);
    }

    pub fn is_gone(&self) -> bool {
        let disk = self.0.borrow();
        disk.gone_at.is_some_and(|at| disk.calls >= at)
    }

    /// Such a call fails, once, behind so many others of its kind; or none does.
    pub fn fail_in(&self, fails: Option<(Call, u64)>) {
        let mut disk = self.0.borrow_mut();
        (disk.fails, disk.failed) = (fails, false);
    }

    pub fn has_failed(&self) -> bool {
        self.0.borrow().failed
    }

    /// Bytes that files may take together.
    pub fn set_room(&self, bytes: Option<u64>) {
        self.0.borrow_mut().room_bytes = bytes;
    }

    pub fn used_bytes(&self) -> u64 {
        self.0.borrow().used_bytes()
    }

    /// Somebody starts, and relies on what it reads.
    pub fn set_reading(&self, reading: bool) {
        self.0.borrow_mut().reading = reading;
    }

    /// The power goes, and comes back.
    pub fn crash(&self) {
        self.0.borrow_mut().crash();
    }

    pub fn tally(&self) -> DiskTally {
        self.0.borrow().tally
    }

    pub fn planted(&self) -> u32 {
        self.0.borrow().planted
    }

    /// All of a file, to be changed behind everybody's back; it is on disk then.
    pub fn tamper(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut disk = self.0.borrow_mut();
        let Some(&file) = disk.names.get(path) else { return };
        let inode = &mut disk.files[file];
        change(&mut inode.cache);
        inode.durable = inode.cache.clone();
        inode.pending.clear();
        disk.planted += 1;
    }

    pub fn content(&self, path: &str) -> Vec<u8> {
        let disk = self.0.borrow();
        disk.names.get(path).map(|&file| disk.files[file].cache.clone()).unwrap_or_default()
    }

    /// A file goes, for good.
    pub fn lose(&self, path: &str) {
        let mut disk = self.0.borrow_mut();
        disk.names.remove(path);
        disk.durable_names.remove(path);
        disk.planted += 1;
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let mut disk = self.0.borrow_mut();
        disk.call()?;
        if !disk.folders.contains(dir) {
            return Err(ErrorKind::NotFound.into());
        }
        let all = disk.names.keys().chain(&disk.folders).filter(|path| !path.is_empty());
        Ok(all.filter(|path| folder_of(path) == dir).map(|path| name_of(path).to_owned()).collect())
    }

    fn make_dir(&self, dir: &str) -> io::Result<()> {
        let mut disk = self.0.borrow_mut();
        disk.call()?;
        if disk.folders.insert(dir.to_owned()) {
            let (folder, path) = (folder_of(dir).to_owned(), dir.to_owned());
            disk.changes.push(Change::Made { folder, path });
        }
        Ok(())
    }

    fn create(&self, path: &str, bytes: u64) -> io::Result<SimFile> {
        let mut disk = self.0.borrow_mut();
        disk.call()?;
        if disk.names.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        if !disk.folders.contains(folder_of(path)) {
            return Err(ErrorKind::NotFound.into());
        }
        if disk.room_bytes.is_some_and(|room| disk.used_bytes() + bytes > room) {
            disk.tally.no_room += 1;
            return Err(ErrorKind::StorageFull.into());
        }
        let (file, folder) = (disk.files.len(), folder_of(path).to_owned());
        let zeros = vec![0; bytes as usize];
        disk.files.push(Inode {
            folder: folder.clone(),
            durable: zeros.clone(),
            cache: zeros,
            is_new: true,
            ..Inode::default()
        });
        disk.tally.segments += 1;
        disk.names.insert(path.to_owned(), file);
        disk.changes.push(Change::Named { folder, path: path.to_owned(), file });
        Ok(SimFile(file))
    }

    fn open(&self, path: &str) -> io::Result<SimFile> {
        let mut disk = self.0.borrow_mut();
        disk.call()?;
        let file = *disk.names.get(path).ok_or(ErrorKind::NotFound)?;
        disk.files[file].drop_clean_pages();
        Ok(SimFile(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.0.borrow_mut();
        disk.call()?;
        let file = disk.names.remove(from).ok_or(ErrorKind::NotFound)?;
        disk.names.insert(to.to_owned(), file);
        let (folder, path) = (folder_of(to).to_owned(), to.to_owned());
        disk.changes.push(Change::Named { folder, path, file });
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut disk = self.0.borrow_mut();
        disk.call()?;
        let file = disk.names.remove(path).ok_or(ErrorKind::NotFound)?;
        let (folder, path) = (folder_of(path).to_owned(), path.to_owned());
        disk.changes.push(Change::Removed { folder, path, file });
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut disk = self.0.borrow_mut();
        disk.call()?;
        if disk.fault == Some(Fault::NamesNotSynced) {
            disk.planted += 1;
            return Ok(());
        }
        let changes = std::mem::take(&mut disk.changes);
        let (synced, rest) = changes.into_iter().partition(|change| change.folder() == dir);
        disk.changes = rest;
        let synced: Vec<Change> = synced;
        synced.into_iter().for_each(|change| disk.apply(change));
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let disk = self.0.borrow();
        Ok(disk.room_bytes.map_or(1 << 40, |room| room.saturating_sub(disk.used_bytes())))
    }

    fn len(&self, file: &SimFile) -> io::Result<u64> {
        let mut disk = self.0.borrow_mut();
        disk.call()?;
        Ok(disk.files[file.0].cache.len() as u64)
    }

    fn read_at(&self, file: &SimFile, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut disk = self.0.borrow_mut();
        disk.call()?;
        disk.may_fail(Call::Read)?;
        let short = if disk.dice.chance(2) { disk.dice.roll(5_000) + 1 } else { usize::MAX };
        let cache = &disk.files[file.0].cache;
        let rest = cache.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len()).min(short);
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, file: &SimFile, offset: u64, slices: &[IoSlice<'_>]) -> io::Result<()> {
        let mut disk = self.0.borrow_mut();
        disk.call()?;
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let failed = disk.may_fail(Call::Write);
        // What fails may have been done in part.
        let kept = if failed.is_err() { disk.dice.roll(bytes.len() + 1) } else { bytes.len() };
        disk.tally.bytes += kept as u64;
        disk.files[file.0].write(offset as usize, bytes[..kept].to_vec());
        failed
    }

    fn sync(&self, file: &SimFile) -> io::Result<()> {
        let mut disk = self.0.borrow_mut();
        disk.call()?;
        disk.tally.syncs += 1;
        if disk.may_fail(Call::Sync).is_err() {
            let Platter { files, dice, .. } = &mut *disk;
            files[file.0].sync_in_vain(dice);
            if disk.fault == Some(Fault::SyncErrorIgnored) {
                disk.planted += 1;
                return Ok(());
            }
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let is_topology = disk.files[file.0].folder == "topology";
        let is_late = match disk.fault {
            Some(Fault::ConfirmBeforeSync) => !is_topology,
            Some(Fault::ToldBeforeSync) => is_topology,
            _ => false,
        };
        let is_skipped = match disk.fault {
            Some(Fault::SyncSkipped) => disk.dice.chance(30),
            Some(Fault::ReadNotSynced) => disk.reading,
            _ => false,
        };
        disk.planted += u32::from(is_late || is_skipped);
        if !is_skipped {
            disk.files[file.0].sync(is_late);
        }
        Ok(())
    }
}

impl Platter {
    fn call(&mut self) -> io::Result<()> {
        if self.gone_at.is_some_and(|at| self.calls >= at) {
            return Err(io::Error::other("the machine is gone"));
        }
        self.calls += 1;
        match self.gone_at {
            Some(at) if self.calls >= at => Err(io::Error::other("the machine is gone")),
            _ => Ok(()),
        }
    }

    fn may_fail(&mut self, call: Call) -> io::Result<()> {
        match &mut self.fails {
            Some((kind, 0)) if *kind == call => {
                self.fails = None;
                self.failed = true;
                self.tally.errors += 1;
                Err(io::Error::from_raw_os_error(EIO))
            }
            Some((kind, left)) if *kind == call => {
                *left -= 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn used_bytes(&self) -> u64 {
        self.names.values().map(|&file| self.files[file].cache.len() as u64).sum()
    }

    /// A change of names comes to the disk. A file has one name at most.
    fn apply(&mut self, change: Change) {
        match change {
            Change::Made { path, .. } => drop(self.durable_folders.insert(path)),
            Change::Named { path, file, .. } => {
                self.durable_names.retain(|_, of| *of != file);
                self.durable_names.insert(path, file);
            }
            Change::Removed { path, file, .. } => {
                if self.durable_names.get(&path) == Some(&file) {
                    self.durable_names.remove(&path);
                }
            }
        }
    }

    fn crash(&mut self) {
        (self.gone_at, self.fails, self.room_bytes) = (None, None, None);
        let changes = std::mem::take(&mut self.changes);
        self.tally.unsynced += changes.len() as u64;
        let kept = [0, 100, 50, 80][self.dice.roll(4)];
        for change in changes {
            if self.dice.chance(kept) {
                self.apply(change);
            }
        }
        self.folders = self.durable_folders.clone();
        let folders = &self.folders;
        self.durable_names.retain(|path, _| folders.contains(folder_of(path)));
        self.names = self.durable_names.clone();
        let named: BTreeSet<usize> = self.names.values().copied().collect();
        for (number, file) in self.files.iter_mut().enumerate() {
            if named.contains(&number) {
                self.tally.unsynced += file.pending.len() as u64;
                file.crash(&mut self.dice);
            } else {
                *file = Inode::default();
            }
        }
    }
}

impl Inode {
    fn write(&mut self, at: usize, bytes: Vec<u8>) {
        let end = at + bytes.len();
        if self.cache.len() < end {
            self.cache.resize(end, 0);
            self.durable.resize(end, 0);
        }
        self.cache[at..end].copy_from_slice(&bytes);
        self.pending.push(Write { at, bytes, asked: false });
    }

    /// `late`: only what was there at the sync before.
    fn sync(&mut self, late: bool) {
        let pending = std::mem::take(&mut self.pending);
        for mut write in pending {
            if late && !write.asked {
                write.asked = true;
                self.pending.push(write);
            } else {
                self.durable[write.at..write.at + write.bytes.len()].copy_from_slice(&write.bytes);
            }
        }
        self.is_new = false;
    }

    /// The disk failed: pages count as clean whether it took them or not.
    fn sync_in_vain(&mut self, dice: &mut Dice) {
        let kept = [0, 50][dice.roll(2)];
        for write in std::mem::take(&mut self.pending) {
            write.torn(dice, kept, &mut self.durable);
        }
        self.differs = true;
    }

    /// What the disk has is read again, but for what is still to be written.
    fn drop_clean_pages(&mut self) {
        if std::mem::take(&mut self.differs) {
            self.cache = self.durable.clone();
            for write in &self.pending {
                self.cache[write.at..write.at + write.bytes.len()].copy_from_slice(&write.bytes);
            }
        }
    }

    fn crash(&mut self, dice: &mut Dice) {
        let pending = std::mem::take(&mut self.pending);
        // Nothing, all, the first writes with a tear in the last, or any sectors of any.
        match dice.roll(4) {
            0 => {}
            1 => pending.iter().for_each(|write| write.torn(dice, 100, &mut self.durable)),
            2 => {
                let whole = dice.roll(pending.len() + 1);
                pending[..whole].iter().for_each(|write| write.torn(dice, 100, &mut self.durable));
                pending[whole..].iter().take(1).for_each(|write| write.torn(dice, 50, &mut self.durable));
            }
            _ => {
                for write in &pending {
                    let kept = [0, 50, 90, 100][dice.roll(4)];
                    write.torn(dice, kept, &mut self.durable);
                }
            }
        }
        if self.is_new && dice.chance(50) {
            let kept = [0, dice.roll(self.durable.len() + 1)][dice.roll(2)];
            self.durable.truncate(kept);
        }
        (self.cache, self.differs, self.is_new) = (self.durable.clone(), false, false);
    }
}

impl Write {
    /// Each sector of it comes to the disk, or not.
    fn torn(&self, dice: &mut Dice, kept: usize, disk: &mut [u8]) {
        let (mut from, end) = (self.at, self.at + self.bytes.len());
        while from < end {
            let to = (from / SECTOR_BYTES + 1) * SECTOR_BYTES;
            let to = to.min(end);
            if dice.chance(kept) {
                disk[from..to].copy_from_slice(&self.bytes[from - self.at..to - self.at]);
            }
            from = to;
        }
    }
}

impl Change {
    fn folder(&self) -> &str {
        match self {
            Change::Made { folder, .. } | Change::Named { folder, .. } | Change::Removed { folder, .. } => {
                folder
            }
        }
    }
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn name_of(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

const SECTOR_BYTES: usize = 512;
const EIO: i32 = 5;
