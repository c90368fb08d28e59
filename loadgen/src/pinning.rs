//! Keeps the load's threads on the cores that the user chose.

use core_affinity::CoreId;

/// Reads a list such as `0,2-3`.
pub fn parse_cores(list: &str) -> Result<Vec<usize>, String> {
    let number =
        |text: &str| text.trim().parse::<usize>().map_err(|_| format!("--cpus {list}: not a list of cores"));
    let mut cores = Vec::new();
    for part in list.split(',') {
        match part.split_once('-') {
            Some((first, last)) => cores.extend(number(first)?..=number(last)?.min(CORE_MAX)),
            None => cores.push(number(part)?),
        }
    }
    if cores.is_empty() { Err(format!("--cpus {list}: an empty range")) } else { Ok(cores) }
}

/// Pins the calling thread; false if the system refuses.
pub fn pin(core: usize) -> bool {
    core_affinity::set_for_current(CoreId { id: core })
}

const CORE_MAX: usize = 4095;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_ranges_mix() {
        assert_eq!(parse_cores("0,2-4").unwrap(), [0, 2, 3, 4]);
        assert!(parse_cores("3-1").is_err() && parse_cores("a").is_err() && parse_cores("").is_err());
    }
}
