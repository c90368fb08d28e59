//! Numbers as people write them: bytes with units, fractions, times in milliseconds, and words for "no limit".

use std::str::FromStr;

/// RabbitMQ's vm_memory_high_watermark: relative or absolute.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum MemoryHigh {
    /// In (0, 1].
    Fraction(f64),
    Bytes(u64),
}

impl MemoryHigh {
    /// Bytes, of a machine that has `memory_bytes`.
    pub fn resolve(self, memory_bytes: u64) -> u64 {
        match self {
            MemoryHigh::Fraction(fraction) => (memory_bytes as f64 * fraction) as u64,
            MemoryHigh::Bytes(bytes) => bytes.min(memory_bytes),
        }
    }
}

impl FromStr for MemoryHigh {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('.') {
            let fraction = text.parse::<f64>().ok().filter(|fraction| *fraction > 0.0 && *fraction <= 1.0);
            return fraction.map(MemoryHigh::Fraction).ok_or_else(|| "a fraction lies in (0, 1]".to_owned());
        }
        match bytes(text).ok() {
            Some(bytes) if bytes >= MEMORY_HIGH_BYTES_MIN => Ok(MemoryHigh::Bytes(bytes)),
            Some(_) => {
                Err("less than 64 MiB leaves no room for messages; write a fraction as 0.4".to_owned())
            }
            None => {
                Err("expected a fraction such as 0.4, or bytes such as 2147483648, 2GB, 512MiB".to_owned())
            }
        }
    }
}

/// Below this even an idle server would be in alarm.
const MEMORY_HIGH_BYTES_MIN: u64 = 64 << 20;

/// RabbitMQ's disk_free_limit: absolute, or relative to the machine's memory.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum DiskFreeMin {
    /// Not negative.
    OfMemory(f64),
    Bytes(u64),
}

impl DiskFreeMin {
    /// Bytes, on a machine that has `memory_bytes` of memory.
    pub fn resolve(self, memory_bytes: u64) -> u64 {
        match self {
            DiskFreeMin::OfMemory(times) => (memory_bytes as f64 * times) as u64,
            DiskFreeMin::Bytes(bytes) => bytes,
        }
    }
}

impl FromStr for DiskFreeMin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('.') {
            let times = text.parse::<f64>().ok().filter(|times| times.is_finite() && *times >= 0.0);
            return times.map(DiskFreeMin::OfMemory).ok_or_else(|| "a multiple is not negative".to_owned());
        }
        bytes(text).map(DiskFreeMin::Bytes)
    }
}

/// Something that has a bound, or none. RabbitMQ's words for none are `infinity` and `undefined`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bound(pub Option<u64>);

impl FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" | "infinity" | "undefined" => Ok(Bound(None)),
            number => match number.parse() {
                Ok(number) if number > 0 => Ok(Bound(Some(number))),
                Ok(_) | Err(_) => Err("expected a whole number above 0, or none".to_owned()),
            },
        }
    }
}

/// `2147483648`, `2GB`, `512MiB`.
pub fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit_bytes(unit.trim_start());
    let bytes = number.parse::<u64>().ok().zip(unit).and_then(|(n, unit)| n.checked_mul(unit));
    bytes.ok_or_else(|| "expected bytes such as 2147483648, 2GB, 512MiB".to_owned())
}

/// The same within bounds that fit a u32.
pub fn bytes_within(text: &str, least: u64, most: u64) -> Result<u64, String> {
    let size = bytes(text)?;
    let fits = (least..=most).contains(&size);
    fits.then_some(size).ok_or_else(|| format!("{size} bytes are not within {least} to {most}"))
}

/// The units of RabbitMQ's rabbitmq.conf.
fn unit_bytes(unit: &str) -> Option<u64> {
    Some(match unit {
        "" => 1,
        "k" | "ki" | "kib" | "K" | "Ki" | "KiB" => 1 << 10,
        "m" | "mi" | "mib" | "M" | "Mi" | "MiB" => 1 << 20,
        "g" | "gi" | "gib" | "G" | "Gi" | "GiB" => 1 << 30,
        "t" | "ti" | "tib" | "T" | "Ti" | "TiB" => 1 << 40,
        "kb" | "kB" | "KB" => 1_000,
        "mb" | "MB" => 1_000_000,
        "gb" | "GB" => 1_000_000_000,
        "tb" | "TB" => 1_000_000_000_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_in_bytes_or_as_a_fraction() {
        let high = |text: &str| text.parse::<MemoryHigh>().unwrap().resolve(8 << 30);
        assert_eq!(high("0.5"), 4 << 30);
        assert_eq!(high("1.0"), 8 << 30);
        assert_eq!(high("1073741824"), 1 << 30);
        assert_eq!(high("512MiB"), 512 << 20);
        assert_eq!(high("2GB"), 2_000_000_000);
        assert_eq!(high("900GiB"), 8 << 30);
    }

    #[test]
    fn room_on_the_disk_is_given_in_bytes_or_by_the_memory() {
        let free = |text: &str| text.parse::<DiskFreeMin>().map(|free| free.resolve(8 << 30));
        assert_eq!(free("50MB"), Ok(50_000_000));
        assert_eq!(free("1.5"), Ok(12 << 30));
        assert_eq!(free("0"), Ok(0));
        assert!(free("-1.0").is_err() && free("1.x").is_err() && free("much").is_err());
    }

    #[test]
    fn a_bound_is_a_number_or_one_of_rabbitmqs_words() {
        assert_eq!("7".parse(), Ok(Bound(Some(7))));
        for word in ["none", "infinity", "undefined"] {
            assert_eq!(word.parse(), Ok(Bound(None)));
        }
        for wrong in ["0", "-1", "1.5", ""] {
            assert!(wrong.parse::<Bound>().is_err(), "{wrong}");
        }
    }
}
