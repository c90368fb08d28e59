//! What was measured on: tree, compiler, kernel, processor, memory.

use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// The file `versions`.
pub fn versions() -> String {
    let tree = env!("CARGO_MANIFEST_DIR");
    let changed = !said("git", &["-C", tree, "status", "--porcelain", "--untracked-files=no"]).is_empty();
    [
        format!(
            "haremq {}{}",
            said("git", &["-C", tree, "rev-parse", "--short", "HEAD"]),
            if changed { " with changes that are not committed" } else { "" }
        ),
        said("rustc", &["--version"]),
        format!(
            "linux {}, {}, {} cores, {} GB",
            line_of("/proc/sys/kernel/osrelease"),
            processor(),
            cores(),
            memory_gb()
        ),
        format!("rabbitmq-server {}", said("dpkg-query", &["-W", "-f", "${Version}", "rabbitmq-server"])),
        format!("erlang {}", said("dpkg-query", &["-W", "-f", "${Version}", "erlang-base"])),
        format!("tcp congestion control: {}", line_of("/proc/sys/net/ipv4/tcp_congestion_control")),
        String::new(),
    ]
    .join("\n")
}

/// A word or two for it, such as `epyc-2core`.
pub fn name() -> String {
    format!("{}-{}core", word(&processor()), cores())
}

/// Today as 2026-11-22, in UTC.
pub fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    date(seconds / 86_400)
}

/// What a command prints on its standard output; nothing if it cannot.
pub fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The first word that is not the name of a maker.
fn word(processor: &str) -> String {
    let words = processor.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
    let makers = ["amd", "intel", "arm", "r", "tm", "cpu", "genuine"];
    words
        .filter(|word| !word.is_empty() && !makers.contains(&word.as_str()))
        .find(|word| word.chars().any(char::is_alphabetic))
        .unwrap_or_else(|| "machine".to_owned())
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = text.lines().find_map(|line| line.strip_prefix("model name"));
    named.map_or("unknown processor", |rest| rest.trim_start_matches([' ', '\t', ':'])).to_owned()
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn memory_gb() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0);
    (kib * 1024).div_ceil(1_000_000_000)
}

fn line_of(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// A day since 1970 in the calendar (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn date(day: u64) -> String {
    let shifted = day + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year}-{month:02}-{day_of_month:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        let days =
            [(0, "1970-01-01"), (11_016, "2000-02-29"), (20_779, "2026-11-22"), (20_820, "2027-01-02")];
        for (day, text) in days {
            assert_eq!(date(day), text);
        }
    }

    #[test]
    fn a_processor_gives_a_word() {
        assert_eq!(word("AMD EPYC 9B45 64-Core Processor"), "epyc");
        assert_eq!(word("Intel(R) Xeon(R) CPU @ 2.20GHz"), "xeon");
        assert_eq!(word(""), "machine");
    }
}
