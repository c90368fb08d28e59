//! What the machine gives us, asked before anything is built on it: io_uring, locked memory, open files,
//! memory, cores.

use io_uring::IoUring;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;
use std::path::Path;

/// Looks whether glommio can run here, which would panic where it cannot, and raises the soft limits that it
/// and the sockets need. The error says which setting to change.
///
/// `pinned`: shards stay on cores of their own.
pub fn preflight(shards: u16, pinned: bool) -> Result<(), String> {
    raise(Resource::Nofile);
    raise(Resource::Memlock);
    enough_locked_memory(getrlimit(Resource::Memlock).current, shards)?;
    if pinned && !Path::new(CORES).exists() {
        return Err(format!(
            "{CORES} tells which cores there are, and is not here: mount /sys, or set --pin off"
        ));
    }
    IoUring::new(8).map(drop).map_err(|error| io_uring_refused(error.raw_os_error(), &error.to_string()))
}

/// Where glommio looks for the core that it is to run on.
const CORES: &str = "/sys/devices/system/cpu";

/// How to raise RLIMIT_MEMLOCK.
pub const MEMLOCK_ADVICE: &str = "set LimitMEMLOCK=64M in the systemd unit, --ulimit memlock=67108864 for docker, \
                                  or memlock in /etc/security/limits.conf";

/// The cores of the affinity mask, in order.
pub fn cores() -> Vec<usize> {
    core_affinity::get_core_ids().unwrap_or_default().into_iter().map(|core| core.id).collect()
}

/// What the machine calls itself.
pub fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Bytes of memory this process may use: the machine's, or the least limit of its cgroups.
pub fn memory_bytes() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| mem_total_bytes(&text));
    let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = limit_files(&cgroups).into_iter().filter_map(|file| fs::read_to_string(file).ok());
    let limit = limits.filter_map(|text| text.trim().parse::<u64>().ok()).min();
    // Both unreadable is a machine without /proc: a guess that is small enough not to hurt.
    machine.into_iter().chain(limit).min().unwrap_or(MEMORY_BYTES_UNKNOWN)
}

const MEMORY_BYTES_UNKNOWN: u64 = 1 << 30;

/// glommio refuses to start below this soft limit, whatever the capabilities.
const MEMLOCK_BYTES_MIN: u64 = 512 << 10;

/// What an executor locks: three rings and their registered buffers of 64 KiB each (measured on Linux 6.18).
const MEMLOCK_BYTES_PER_SHARD: u64 = 260 << 10;

fn raise(resource: Resource) {
    let limit = getrlimit(resource);
    if limit.current != limit.maximum {
        let raised = setrlimit(resource, Rlimit { current: limit.maximum, maximum: limit.maximum });
        if let Err(error) = raised {
            tracing::warn!(?resource, %error, "could not raise a soft limit to the hard one");
        }
    }
}

/// `limit`: None is unlimited. Who has CAP_IPC_LOCK is not charged, so only the hard floor is an error.
fn enough_locked_memory(limit: Option<u64>, shards: u16) -> Result<(), String> {
    let Some(bytes) = limit else { return Ok(()) };
    let wanted = (u64::from(shards) * MEMLOCK_BYTES_PER_SHARD).max(MEMLOCK_BYTES_MIN);
    if bytes < MEMLOCK_BYTES_MIN {
        return Err(format!(
            "RLIMIT_MEMLOCK is {} KiB, and io_uring needs at least {} KiB: {MEMLOCK_ADVICE}",
            bytes >> 10,
            MEMLOCK_BYTES_MIN >> 10
        ));
    }
    if bytes < wanted {
        tracing::warn!(
            "RLIMIT_MEMLOCK is {} KiB; {shards} shards may need {} KiB unless CAP_IPC_LOCK is held",
            bytes >> 10,
            wanted >> 10
        );
    }
    Ok(())
}

fn io_uring_refused(errno: Option<i32>, text: &str) -> String {
    use rustix::io::Errno;
    match errno.map(Errno::from_raw_os_error) {
        Some(Errno::PERM | Errno::ACCESS) => {
            let disabled = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
            format!(
                "io_uring is blocked (io_uring_setup: EPERM): by the container's seccomp profile, which must allow \
                 io_uring_setup, io_uring_enter and io_uring_register (docker: --security-opt seccomp=PROFILE), or \
                 by sysctl kernel.io_uring_disabled, which is '{}' and must be 0",
                disabled.trim()
            )
        }
        Some(Errno::NOSYS) => {
            "io_uring is missing (io_uring_setup: ENOSYS): a kernel of 5.8 or later is needed, \
             and a sandbox such as gVisor must give way to one that passes io_uring through"
                .to_owned()
        }
        Some(Errno::NOMEM) => {
            format!("io_uring may lock no more memory (io_uring_setup: ENOMEM): {MEMLOCK_ADVICE}")
        }
        _ => format!("io_uring cannot be set up: {text}"),
    }
}

fn mem_total_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The files that limit the memory of the cgroups of `/proc/self/cgroup`, from the group up to the root of
/// the mount, for version 2 (`0::/path`) and version 1 (`N:memory:/path`). In a container the path is often
/// the host's and only the root exists.
fn limit_files(cgroups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in cgroups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let (mount, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|it| it == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        for group in Path::new(path).ancestors() {
            files.push(format!("{mount}{}/{file}", group.display().to_string().trim_end_matches('/')));
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_the_machine_is_read_in_bytes() {
        assert_eq!(mem_total_bytes("MemFree: 1 kB\nMemTotal:       24684092 kB\n"), Some(24_684_092 * 1024));
        assert_eq!(mem_total_bytes("MemTotal: lots\n"), None);
    }

    #[test]
    fn limits_are_looked_for_from_the_group_up_to_the_root() {
        assert_eq!(
            limit_files("5:cpu:/x\n4:memory:/a\n0::/b/c\n"),
            [
                "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "/sys/fs/cgroup/b/c/memory.max",
                "/sys/fs/cgroup/b/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
    }

    #[test]
    fn a_refusal_names_the_setting_to_change() {
        assert!(io_uring_refused(Some(1), "").contains("seccomp"));
        assert!(io_uring_refused(Some(38), "").contains("5.8"));
        assert!(io_uring_refused(Some(12), "").contains("LimitMEMLOCK"));
        assert!(enough_locked_memory(Some(64 << 10), 1).unwrap_err().contains("LimitMEMLOCK"));
        assert_eq!(enough_locked_memory(Some(512 << 10), 64), Ok(()));
        assert_eq!(enough_locked_memory(None, 64), Ok(()));
    }
}
