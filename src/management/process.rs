//! What the operating system tells of this process.

use std::fs;

use rustix::process::{Resource, getrlimit};

/// Zero where nobody knows.
#[derive(Default, Debug)]
pub struct Process {
    pub resident_bytes: u64,
    pub threads: u64,
    pub threads_max: u64,
    pub files: u64,
    pub files_max: u64,
    pub context_switches: u64,
    pub reads: u64,
    pub read_bytes: u64,
    pub writes: u64,
    pub write_bytes: u64,
}

impl Process {
    pub fn look() -> Process {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let io = fs::read_to_string("/proc/self/io").unwrap_or_default();
        Process {
            resident_bytes: number(&status, "VmRSS:") * 1024,
            threads: number(&status, "Threads:"),
            threads_max: getrlimit(Resource::Nproc).current.unwrap_or(u64::MAX >> 11),
            files: fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64),
            files_max: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX >> 11),
            context_switches: number(&status, "voluntary_ctxt_switches:")
                + number(&status, "nonvoluntary_ctxt_switches:"),
            reads: number(&io, "syscr:"),
            read_bytes: number(&io, "read_bytes:"),
            writes: number(&io, "syscw:"),
            write_bytes: number(&io, "write_bytes:"),
        }
    }
}

fn number(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory_threads_and_files() {
        let process = Process::look();
        assert!(process.resident_bytes > 1 << 20, "{process:?}");
        assert!(process.threads >= 1 && process.threads <= process.threads_max, "{process:?}");
        assert!(process.files >= 3 && process.files <= process.files_max, "{process:?}");
    }
}
