//! A disk of our own, whose every write and flush is noted, and the file systems on it and on what power cuts leave of it.
//!
//! ```text
//! server -> ext4 -> loop device -> FUSE -> qemu-storage-daemon -> disk, and what it was told -> log
//! ```

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::blocklog::{BlockLog, Cut, entries_of};
use crate::common::scratch_folder;
use crate::dice::Dice;

/// Everything of one run; gone when it ends, however it does.
pub struct Scratch {
    pub path: PathBuf,
}

/// A disk with a file system, mounted. What is declared first goes first.
pub struct Disk {
    pub mount: Mount,
    _daemon: Daemon,
    folder: PathBuf,
}

/// A file with a file system, mounted.
pub struct Mount {
    pub point: PathBuf,
}

struct Daemon {
    child: Child,
    /// What it shows the disk as: a mount, too.
    device: PathBuf,
}

pub const BYTES: u64 = 1 << 30;

const TIME_TO_SHOW: Duration = Duration::from_secs(20);
const PACE: Duration = Duration::from_micros(500);
/// What an absent one comes with, in Debian 12.
const TOOLS: [(&str, &str); 4] = [
    ("qemu-storage-daemon", "qemu-system-common"),
    ("mkfs.ext4", "e2fsprogs"),
    ("mount", "mount"),
    ("umount", "mount"),
];

/// Whether this machine can do it; else a word is said. Tools must be there in CI; devices and rights nobody can install.
pub fn is_possible() -> bool {
    for (tool, package) in TOOLS {
        if Command::new(tool).arg("--version").stdin(Stdio::null()).output().is_err() {
            let is_ci = std::env::var("CI").as_deref() == Ok("true");
            assert!(!is_ci, "{tool} ({package}) was not found, and CI is to test everything");
            skipped(&format!("{tool} ({package}) was not found"));
            return false;
        }
    }
    let scratch = Scratch::new();
    let file = scratch.path.join("file");
    File::create(&file).and_then(|file| file.set_len(BYTES)).expect("our own folder");
    make_file_system(&file).expect("a file of our own");
    let fuse = File::options().read(true).write(true).open("/dev/fuse");
    let fuse = fuse.map_err(|error| format!("/dev/fuse: {error}"));
    let refused = fuse.and_then(|_| Mount::new(&file, &scratch.path.join("mounted"))).err();
    if let Some(refused) = &refused {
        skipped(&format!("this machine does not let us make disks: {refused}"));
    }
    refused.is_none()
}

/// Also where the test's own output is not shown.
fn skipped(why: &str) {
    let _ = writeln!(io::stderr(), "SKIPPED: power cuts: {why}");
}

impl Scratch {
    pub fn new() -> Scratch {
        Scratch { path: scratch_folder() }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl Disk {
    pub fn new(folder: &Path) -> Disk {
        let daemon = Daemon::start(folder);
        let mount = make_file_system(&daemon.device)
            .and_then(|()| Mount::new(&daemon.device, &folder.join("mounted")));
        Disk { mount: mount.expect("a disk of our own"), _daemon: daemon, folder: folder.to_owned() }
    }

    /// How many entries its log had at least, and when, until nobody keeps the sender.
    pub fn watch(&self, end: Receiver<()>) -> Vec<(Instant, usize)> {
        let log = File::open(self.folder.join(LOG)).expect("the log of the disk");
        let mut seen = Vec::new();
        while end.recv_timeout(PACE) == Err(RecvTimeoutError::Timeout) {
            // The time first: what was heard before it is in these entries.
            seen.push((Instant::now(), entries_of(&log)));
        }
        seen
    }

    /// Takes it off. All that was done is in the log.
    pub fn end(self) -> BlockLog {
        let folder = self.folder.clone();
        drop(self);
        let log = BlockLog::open(&folder.join(LOG), BYTES);
        let whole = folder.join("whole");
        log.image(Cut { flushed: log.len(), end: log.len() }, &mut Dice::new(0), &whole);
        let is_same =
            Command::new("cmp").args([&whole, &folder.join(RAW)]).status().expect("cmp is everywhere");
        assert!(is_same.success(), "the log tells another disk");
        fs::remove_file(whole).and_then(|()| fs::remove_file(folder.join(RAW))).expect("our own files");
        log
    }
}

const RAW: &str = "raw";
const LOG: &str = "log";

impl Daemon {
    fn start(folder: &Path) -> Daemon {
        let [raw, log, device] = [RAW, LOG, "device"].map(|name| folder.join(name));
        for (file, bytes) in [(&raw, BYTES), (&log, 0), (&device, 0)] {
            File::create(file).and_then(|file| file.set_len(bytes)).expect("our own folder");
        }
        // What the machine does about a flush does not matter here, and would take most of the time.
        let file = |name: &str, path: &Path| {
            format!("driver=file,node-name={name},cache.no-flush=on,filename={}", path.display())
        };
        let child = Command::new("qemu-storage-daemon")
            .args(["--blockdev", &file("raw", &raw), "--blockdev", &file("log", &log)])
            .args(["--blockdev", "driver=blklogwrites,node-name=noted,file=raw,log=log,log-sector-size=512"])
            .arg("--export")
            .arg(format!("type=fuse,id=device,node-name=noted,mountpoint={},writable=on", device.display()))
            .stdin(Stdio::null())
            .spawn()
            .expect("it was there just now");
        let mut daemon = Daemon { child, device };
        let end = Instant::now() + TIME_TO_SHOW;
        while fs::metadata(&daemon.device).map_or(0, |it| it.len()) != BYTES {
            let ended = daemon.child.try_wait().expect("it is our child");
            assert!(
                ended.is_none() && Instant::now() < end,
                "no disk comes from qemu-storage-daemon: {ended:?}"
            );
            thread::sleep(PACE);
        }
        daemon
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let end = Instant::now() + TIME_TO_SHOW;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            thread::sleep(PACE);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Only one that was killed leaves it.
        let _ = Command::new("umount").arg("-l").arg(&self.device).stderr(Stdio::null()).status();
    }
}

impl Mount {
    pub fn new(image: &Path, point: &Path) -> Result<Mount, String> {
        fs::create_dir_all(point).map_err(|error| error.to_string())?;
        run("mount", [OsStr::new("-o"), OsStr::new("loop"), image.as_os_str(), point.as_os_str()])?;
        Ok(Mount { point: point.to_owned() })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let busy = run("umount", [self.point.as_os_str()]);
        if let Err(busy) = busy {
            eprintln!("{busy}");
            let _ = run("umount", [OsStr::new("-l"), self.point.as_os_str()]);
        }
    }
}

/// All of it written now, and nothing thrown away.
fn make_file_system(file: &Path) -> Result<(), String> {
    let options =
        ["-q", "-F", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", "-i", "65536", "-J", "size=8"];
    run("mkfs.ext4", options.map(OsStr::new).into_iter().chain([file.as_os_str()]))
}

fn run<'a>(program: &str, arguments: impl IntoIterator<Item = &'a OsStr>) -> Result<(), String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let told = || format!("{program}: {}{}", output.status, String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(()) } else { Err(told()) }
}
