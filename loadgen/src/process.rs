//! What /proc tells: CPU and memory of the broker, and how busy the machine is.

use std::fs;
use std::io;
use std::path::Path;

use crate::clock::NS_PER_SECOND;

/// CPU time of a process, all its threads, user and system.
pub fn cpu_ns(pid: u32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything; the fields after it are numbered from 3 (proc_pid_stat(5)).
    let fields = stat.rsplit_once(')').ok_or_else(malformed)?.1;
    let field = |number: usize| -> io::Result<u64> {
        fields.split_whitespace().nth(number - 3).and_then(|text| text.parse().ok()).ok_or_else(malformed)
    };
    Ok((field(14)? + field(15)?) * NS_PER_TICK)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Memory {
    pub resident_bytes: u64,
    /// The most since the process began.
    pub peak_bytes: u64,
}

pub fn memory(pid: u32) -> io::Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = |name: &str| -> io::Result<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or_else(malformed)?;
        let kib: u64 =
            line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).ok_or_else(malformed)?;
        Ok(kib * 1024)
    };
    Ok(Memory { resident_bytes: line("VmRSS")?, peak_bytes: line("VmHWM")? })
}

/// Time that all cores together were not idle.
pub fn machine_busy_ns() -> io::Result<u64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().ok_or_else(malformed)?;
    let ticks: Vec<u64> = line.split_whitespace().skip(1).filter_map(|text| text.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guest time is inside user time (proc_stat(5)).
    let [user, nice, system, _idle, _iowait, irq, softirq, steal, ..] = ticks[..] else {
        return Err(malformed());
    };
    Ok((user + nice + system + irq + softirq + steal) * NS_PER_TICK)
}

/// The process that listens on a TCP port of this machine, if we may see it.
pub fn listener(port: u16) -> Option<u32> {
    let socket =
        ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| listening_socket(table, port))?;
    let wanted = format!("socket:[{socket}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| holds(&format!("/proc/{pid}/fd"), &wanted))
}

fn listening_socket(table: &str, port: u16) -> Option<String> {
    let table = fs::read_to_string(table).ok()?;
    let address_end = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        (local.ends_with(&address_end) && *state == STATE_LISTEN).then(|| (*inode).to_owned())
    })
}

fn holds(descriptors: &str, wanted: &str) -> bool {
    let Ok(entries) = fs::read_dir(descriptors) else { return false };
    entries.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == Path::new(wanted)))
}

fn malformed() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidData)
}

/// USER_HZ, which is 100 on every architecture that Linux runs this on.
const NS_PER_TICK: u64 = NS_PER_SECOND / 100;
/// TCP_LISTEN in hexadecimal, as /proc/net/tcp writes it.
const STATE_LISTEN: &str = "0A";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_uses_cpu_and_memory() {
        let pid = std::process::id();
        let before = cpu_ns(pid).unwrap();
        let start = crate::clock::own_cpu();
        while crate::clock::own_cpu() - start < 50_000_000 {}
        assert!(cpu_ns(pid).unwrap() - before >= 20_000_000);
        let memory = memory(pid).unwrap();
        assert!(memory.resident_bytes > 100_000 && memory.peak_bytes >= memory.resident_bytes);
        assert!(machine_busy_ns().unwrap() > 0);
    }

    #[test]
    fn a_listening_port_leads_to_its_process() {
        let listener_socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener_socket.local_addr().unwrap().port();
        assert_eq!(listener(port), Some(std::process::id()));
        drop(listener_socket);
        assert_eq!(listener(port), None);
    }
}
