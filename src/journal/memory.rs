//! For tests: a disk in memory that fails and crashes when told to, and a scribe in the place of a shard.

mod scribe;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;

use super::Disk;
pub use scribe::{Entry, Scribe, read, segment_path};

/// splitmix64.
#[derive(Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        (self.next() % sides as u64) as usize
    }
}

#[derive(Clone, Default)]
pub struct MemoryDisk(Rc<RefCell<State>>);

#[derive(Clone, Default)]
struct State {
    names: BTreeMap<String, usize>,
    /// Those that lie where files should.
    folders: BTreeSet<String>,
    durable_names: BTreeMap<String, usize>,
    /// What was done to the names since the last `sync_dir`.
    changes: Vec<Change>,
    files: Vec<Contents>,
    room: Option<u64>,
    faults: Vec<(&'static str, usize, ErrorKind)>,
    calls: BTreeMap<&'static str, usize>,
}

#[derive(Clone)]
enum Change {
    Create(String, usize),
    Rename(String, String),
    Remove(String),
}

#[derive(Clone, Default)]
struct Contents {
    now: Vec<u8>,
    durable: Vec<u8>,
}

impl MemoryDisk {
    /// The call number `nth`, from 0, of that operation fails from now on.
    pub fn fail(&self, operation: &'static str, nth: usize, kind: ErrorKind) {
        let done = self.calls(operation);
        self.0.borrow_mut().faults.push((operation, done + nth, kind));
    }

    pub fn calls(&self, operation: &'static str) -> usize {
        self.0.borrow().calls.get(operation).copied().unwrap_or(0)
    }

    pub fn set_room(&self, bytes: u64) {
        self.0.borrow_mut().room = Some(bytes);
    }

    /// Forgets what was not synced, but for sectors and changes of names that the dice keep.
    pub fn crash(&self, dice: &mut Dice) {
        let mut state = self.0.borrow_mut();
        state.faults.clear();
        let keeps = dice.roll(4);
        let changes = std::mem::take(&mut state.changes);
        for change in changes.into_iter().filter(|_| dice.roll(4) < keeps) {
            change.apply(&mut state.durable_names);
        }
        state.names = state.durable_names.clone();
        for file in &mut state.files {
            let mut left = file.durable.clone();
            if keeps > 0 && left.len() < file.now.len() {
                left.resize(file.now.len(), 0);
            }
            for sector in 0..left.len() / SECTOR {
                if dice.roll(4) < keeps {
                    let range = sector * SECTOR..(sector + 1) * SECTOR;
                    left[range.clone()].copy_from_slice(&file.now[range]);
                }
            }
            file.now = left.clone();
            file.durable = left;
        }
    }

    pub fn names(&self) -> Vec<String> {
        self.0.borrow().names.keys().cloned().collect()
    }

    /// Works on a file's bytes, as rot does.
    pub fn rot<T>(&self, path: &str, work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let mut state = self.0.borrow_mut();
        let file = state.names[path];
        work(&mut state.files[file].now)
    }

    pub fn put(&self, path: &str, bytes: Vec<u8>) {
        let mut state = self.0.borrow_mut();
        let file = state.files.len();
        state.files.push(Contents { now: bytes.clone(), durable: bytes });
        state.names.insert(path.to_owned(), file);
        state.durable_names.insert(path.to_owned(), file);
    }

    pub fn put_folder(&self, path: &str) {
        self.0.borrow_mut().folders.insert(path.to_owned());
    }

    /// Another disk with the same on it.
    pub fn copy(&self) -> MemoryDisk {
        MemoryDisk(Rc::new(RefCell::new(self.0.borrow().clone())))
    }

    pub fn take_away(&self, path: &str) {
        let mut state = self.0.borrow_mut();
        state.names.remove(path);
        state.durable_names.remove(path);
    }

    fn call(&self, operation: &'static str) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        let count = state.calls.entry(operation).or_default();
        *count += 1;
        let nth = *count - 1;
        match state.faults.iter().find(|fault| fault.0 == operation && fault.1 == nth) {
            Some(&(_, _, kind)) => Err(kind.into()),
            None => Ok(()),
        }
    }

    fn used(&self) -> u64 {
        let state = self.0.borrow();
        state.names.values().map(|&file| state.files[file].now.len() as u64).sum()
    }
}

impl State {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Change::Create(path, file) => {
                names.insert(path.clone(), *file);
            }
            Change::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Change::Remove(path) => {
                names.remove(path);
            }
        }
    }
}

impl Disk for MemoryDisk {
    type File = usize;

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let state = self.0.borrow();
        let inside = state.names.keys().chain(&state.folders);
        let inside = inside.filter_map(|name| name.strip_prefix(dir)?.strip_prefix('/'));
        Ok(inside.map(str::to_owned).collect())
    }

    fn make_dir(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn create(&self, path: &str, bytes: u64) -> io::Result<usize> {
        self.call("create")?;
        if self.0.borrow().room.is_some_and(|room| self.used() + bytes > room) {
            return Err(ErrorKind::StorageFull.into());
        }
        let mut state = self.0.borrow_mut();
        if state.names.contains_key(path) || state.folders.contains(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let file = state.files.len();
        state.files.push(Contents { now: vec![0; bytes as usize], durable: Vec::new() });
        state.change(Change::Create(path.to_owned(), file));
        Ok(file)
    }

    fn open(&self, path: &str) -> io::Result<usize> {
        let state = self.0.borrow();
        let missing =
            if state.folders.contains(path) { ErrorKind::IsADirectory } else { ErrorKind::NotFound };
        state.names.get(path).copied().ok_or_else(|| missing.into())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.call("rename")?;
        let mut state = self.0.borrow_mut();
        if state.folders.contains(to) {
            return Err(ErrorKind::IsADirectory.into());
        }
        if state.folders.remove(from) {
            state.folders.insert(to.to_owned());
            return Ok(());
        }
        if !state.names.contains_key(from) {
            return Err(ErrorKind::NotFound.into());
        }
        state.change(Change::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.call("remove")?;
        let mut state = self.0.borrow_mut();
        if state.folders.contains(path) {
            return Err(ErrorKind::IsADirectory.into());
        }
        if !state.names.contains_key(path) {
            return Err(ErrorKind::NotFound.into());
        }
        state.change(Change::Remove(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, _: &str) -> io::Result<()> {
        self.call("sync_dir")?;
        let mut state = self.0.borrow_mut();
        state.changes.clear();
        state.durable_names = state.names.clone();
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.0.borrow().room.map_or(u64::MAX, |room| room.saturating_sub(self.used())))
    }

    fn len(&self, file: &usize) -> io::Result<u64> {
        Ok(self.0.borrow().files[*file].now.len() as u64)
    }

    fn read_at(&self, file: &usize, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.call("read")?;
        let state = self.0.borrow();
        let rest = state.files[*file].now.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    /// A write that fails has done half of its work.
    fn write_at(&self, file: &usize, offset: u64, slices: &[IoSlice<'_>]) -> io::Result<()> {
        let done = self.call("write");
        let mut bytes = slices.iter().flat_map(|slice| slice.iter().copied()).collect::<Vec<u8>>();
        bytes.truncate(if done.is_ok() { bytes.len() } else { bytes.len() / 2 });
        let (from, to) = (offset as usize, offset as usize + bytes.len());
        let now = &mut self.0.borrow_mut().files[*file].now;
        now.resize(now.len().max(to), 0);
        now[from..to].copy_from_slice(&bytes);
        done
    }

    fn sync(&self, file: &usize) -> io::Result<()> {
        self.call("sync")?;
        let file = &mut self.0.borrow_mut().files[*file];
        file.durable.clone_from(&file.now);
        Ok(())
    }
}

pub const DIR: &str = "journal-0";
pub const JOURNAL: u64 = 0xfeed_f00d_dead_beef;
pub const SEGMENT_BYTES: u32 = 65_536;
const SECTOR: usize = 512;
