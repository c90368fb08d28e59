//! For tests: a disk in memory that fails and crashes when told to, and a scribe in the place of a shard.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;
use std::sync::Arc;

use super::layout::{GROUP_HEADER_BYTES, GROUPS_AT, begin_record, end_record, padded};
use super::reader::{Scan, read_journal};
use super::{Disk, Failure, Flusher, FlusherConfig, Group, Link, Position};

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

#[derive(Default)]
struct State {
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// What was done to the names since the last `sync_dir`.
    changes: Vec<Change>,
    files: Vec<Contents>,
    room: Option<u64>,
    faults: Vec<(&'static str, usize, ErrorKind)>,
    calls: BTreeMap<&'static str, usize>,
}

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
        let names = self.names();
        let inside = names.iter().filter_map(|name| name.strip_prefix(dir)?.strip_prefix('/'));
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
        if state.names.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let file = state.files.len();
        state.files.push(Contents { now: vec![0; bytes as usize], durable: Vec::new() });
        state.change(Change::Create(path.to_owned(), file));
        Ok(file)
    }

    fn open(&self, path: &str) -> io::Result<usize> {
        self.0.borrow().names.get(path).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.call("rename")?;
        let mut state = self.0.borrow_mut();
        if !state.names.contains_key(from) {
            return Err(ErrorKind::NotFound.into());
        }
        state.change(Change::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.call("remove")?;
        let mut state = self.0.borrow_mut();
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

/// What the reader says of a record.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    pub at: Position,
    pub kind: u8,
    pub body: Vec<u8>,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.at, self.body.len())
    }
}

/// Writes records as a shard does and remembers them.
pub struct Scribe {
    pub link: Arc<Link>,
    pub flusher: Flusher<MemoryDisk>,
    pub entries: Vec<Entry>,
    pub now: u64,
    pub next: Position,
    group: Vec<u8>,
    pending: Vec<Entry>,
}

impl Scribe {
    /// Goes on behind what was read.
    pub fn after(disk: &MemoryDisk, scan: &Scan) -> Scribe {
        let link = Arc::new(Link::new(scan.end));
        let config = FlusherConfig {
            dir: DIR.to_owned(),
            journal: scan.journal.unwrap_or(JOURNAL),
            segment_bytes: SEGMENT_BYTES,
            disk_free_min: 0,
        };
        Scribe {
            flusher: Flusher::new(disk.clone(), config, scan.next_segment, link.clone()),
            link,
            entries: Vec::new(),
            now: 0,
            next: Position::new(scan.next_segment, GROUPS_AT),
            group: vec![0; GROUP_HEADER_BYTES],
            pending: Vec::new(),
        }
    }

    pub fn new(disk: &MemoryDisk) -> Scribe {
        Scribe::after(disk, &Scan { next_segment: 1, ..Scan::default() })
    }

    pub fn record(&mut self, kind: u8, body: &[u8]) {
        let at = begin_record(&mut self.group, kind);
        self.group.extend_from_slice(body);
        end_record(&mut self.group, at);
        self.pending.push(Entry { at: Position::new(0, at as u32), kind, body: body.to_vec() });
    }

    pub fn send(&mut self, sync: bool) {
        self.send_freeing(sync, 0);
    }

    pub fn send_freeing(&mut self, sync: bool, free_before: u32) {
        let bytes = std::mem::replace(&mut self.group, vec![0; GROUP_HEADER_BYTES]);
        let need = padded(bytes.len()) as u32;
        if self.next.offset() > GROUPS_AT && self.next.offset() + need > SEGMENT_BYTES {
            self.next = Position::new(self.next.segment() + 1, GROUPS_AT);
        }
        let at = self.next;
        self.next = Position::new(at.segment(), at.offset() + need);
        for mut entry in self.pending.drain(..) {
            entry.at = Position::new(at.segment(), at.offset() + entry.at.offset());
            self.entries.push(entry);
        }
        let group = Group { bytes, at, end: self.next, sync, free_before };
        self.link.try_send(group).expect("the ring has room");
    }

    /// A group of drawn records.
    pub fn scribble(&mut self, dice: &mut Dice, sync: bool) {
        for _ in 0..1 + dice.roll(6) {
            let len = [0, 1, 7, 100, 1000, 5000][dice.roll(6)] + dice.roll(9);
            let (kind, fill) = (dice.next() as u8, dice.next() as u8);
            self.record(kind, &vec![fill; len]);
        }
        self.send(sync);
    }

    /// Steps until there is nothing to do.
    pub fn settle(&mut self) -> Result<(), Failure> {
        while self.step()? {}
        Ok(())
    }

    pub fn step(&mut self) -> Result<bool, Failure> {
        self.now += 1_000_000;
        self.flusher.step(self.now)
    }

    /// What is behind no position but this.
    pub fn entries_before(&self, position: Position) -> &[Entry] {
        let count = self.entries.iter().take_while(|entry| entry.at < position).count();
        &self.entries[..count]
    }
}

pub fn read(disk: &MemoryDisk) -> (Vec<Entry>, Scan) {
    let mut entries = Vec::new();
    let scan = read_journal(disk, DIR, &mut |at, kind, body| {
        entries.push(Entry { at, kind, body: body.to_vec() });
    });
    (entries, scan.expect("the disk can be read"))
}

pub fn segment_path(segment: u32) -> String {
    format!("{DIR}/{}", super::layout::segment_name(segment))
}

pub const DIR: &str = "journal-0";
pub const JOURNAL: u64 = 0xfeed_f00d_dead_beef;
pub const SEGMENT_BYTES: u32 = 65_536;
const SECTOR: usize = 512;
