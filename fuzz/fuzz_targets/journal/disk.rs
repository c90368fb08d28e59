//! A disk in memory that does what it is told.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;

use haremq::journal::Disk;

/// Clones are the same disk.
#[derive(Clone, Default)]
pub struct RamDisk(Rc<RefCell<BTreeMap<String, Node>>>);

/// None is a folder.
type Node = Option<Rc<RefCell<Vec<u8>>>>;

impl RamDisk {
    /// Another disk with the same on it.
    pub fn copy(&self) -> RamDisk {
        let nodes = self.0.borrow();
        let copies = nodes.iter().map(|(path, node)| {
            let bytes = node.as_ref().map(|bytes| Rc::new(RefCell::new(bytes.borrow().clone())));
            (path.clone(), bytes)
        });
        RamDisk(Rc::new(RefCell::new(copies.collect())))
    }

    pub fn put(&self, path: &str, bytes: Vec<u8>) {
        self.0.borrow_mut().insert(path.to_owned(), Some(Rc::new(RefCell::new(bytes))));
    }

    pub fn put_folder(&self, path: &str) {
        self.0.borrow_mut().insert(path.to_owned(), None);
    }

    pub fn take_away(&self, path: &str) {
        self.0.borrow_mut().remove(path);
    }

    pub fn paths(&self) -> Vec<String> {
        self.0.borrow().keys().cloned().collect()
    }

    /// Of a folder, or of what is not there, nothing.
    pub fn bytes(&self, path: &str) -> Vec<u8> {
        self.open(path).map(|file| file.borrow().clone()).unwrap_or_default()
    }
}

impl Disk for RamDisk {
    type File = Rc<RefCell<Vec<u8>>>;

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let nodes = self.0.borrow();
        let inside = nodes.keys().filter_map(|path| path.strip_prefix(dir)?.strip_prefix('/'));
        Ok(inside.map(str::to_owned).collect())
    }

    fn make_dir(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn create(&self, path: &str, bytes: u64) -> io::Result<Self::File> {
        let mut nodes = self.0.borrow_mut();
        if nodes.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let file = Rc::new(RefCell::new(vec![0; bytes as usize]));
        nodes.insert(path.to_owned(), Some(file.clone()));
        Ok(file)
    }

    fn open(&self, path: &str) -> io::Result<Self::File> {
        match self.0.borrow().get(path) {
            None => Err(ErrorKind::NotFound.into()),
            Some(None) => Err(ErrorKind::IsADirectory.into()),
            Some(Some(file)) => Ok(file.clone()),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut nodes = self.0.borrow_mut();
        let node = nodes.remove(from).ok_or(ErrorKind::NotFound)?;
        nodes.insert(to.to_owned(), node);
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.open(path)?;
        self.take_away(path);
        Ok(())
    }

    fn sync_dir(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn len(&self, file: &Self::File) -> io::Result<u64> {
        Ok(file.borrow().len() as u64)
    }

    fn read_at(&self, file: &Self::File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = file.borrow();
        let rest = bytes.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, file: &Self::File, offset: u64, slices: &[IoSlice<'_>]) -> io::Result<()> {
        let (mut bytes, mut at) = (file.borrow_mut(), offset as usize);
        for slice in slices {
            let len = bytes.len().max(at + slice.len());
            bytes.resize(len, 0);
            bytes[at..at + slice.len()].copy_from_slice(slice);
            at += slice.len();
        }
        Ok(())
    }

    fn sync(&self, _: &Self::File) -> io::Result<()> {
        Ok(())
    }
}
