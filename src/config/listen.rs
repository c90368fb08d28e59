//! Where connections arrive: a port of every address of the machine, or an address and a port.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// An address to bind, and the one that takes its place on a machine without IPv6.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listen {
    pub address: SocketAddr,
    /// None if the user named the address.
    pub fallback: Option<SocketAddr>,
}

impl Listen {
    /// Every address of the machine.
    pub fn any(port: u16) -> Listen {
        let any = |ip: IpAddr| SocketAddr::new(ip, port);
        Listen {
            address: any(Ipv6Addr::UNSPECIFIED.into()),
            fallback: Some(any(Ipv4Addr::UNSPECIFIED.into())),
        }
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Listen, String> {
        if !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit()) {
            let port = text.parse().map_err(|_| format!("{text} is no port: they end at 65535"));
            return port.map(Listen::any);
        }
        address(text).map(|address| Listen { address, fallback: None })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

/// A listener, or `none`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MaybeListen(pub Option<Listen>);

impl FromStr for MaybeListen {
    type Err = String;

    fn from_str(text: &str) -> Result<MaybeListen, String> {
        if text == "none" { Ok(MaybeListen(None)) } else { text.parse().map(|it| MaybeListen(Some(it))) }
    }
}

/// RabbitMQ writes IPv6 addresses with brackets or without: `::1:5672`.
fn address(text: &str) -> Result<SocketAddr, String> {
    if let Some((host, port)) = text.rsplit_once(':')
        && let (Ok(ip), Ok(port)) = (host.parse::<Ipv6Addr>(), port.parse())
    {
        return Ok(SocketAddr::new(ip.into(), port));
    }
    let mut addresses =
        text.to_socket_addrs().map_err(|error| format!("not a PORT or ADDR:PORT: {error}"))?;
    addresses.next().ok_or_else(|| "the name has no address".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_that_of_every_address_and_may_fall_back() {
        let listen: Listen = "5672".parse().unwrap();
        assert_eq!(listen.address.to_string(), "[::]:5672");
        assert_eq!(listen.fallback.unwrap().to_string(), "0.0.0.0:5672");
    }

    #[test]
    fn a_named_address_has_no_fallback() {
        for (text, address) in [
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("[::]:5672", "[::]:5672"),
            (":::5672", "[::]:5672"),
            ("::1:5673", "[::1]:5673"),
        ] {
            let listen: Listen = text.parse().unwrap();
            assert_eq!((listen.address.to_string().as_str(), listen.fallback), (address, None), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "65536", "127.0.0.1", "::1", "127.0.0.1:65536", ":"] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
        assert_eq!("none".parse(), Ok(MaybeListen(None)));
    }
}
