//! Where the broker is and as whom to enter: `amqp://user:password@host:port/vhost`.

use std::fmt;

/// A parsed AMQP URI. What it leaves out is what RabbitMQ's URI specification says: guest/guest, port 5672, vhost `/`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Uri {
    pub user: String,
    pub password: String,
    pub host: String,
    pub port: u16,
    pub vhost: String,
}

impl Uri {
    pub fn parse(text: &str) -> Result<Uri, UriError> {
        let rest = text.strip_prefix("amqp://").ok_or(UriError("must begin with amqp://"))?;
        let (authority, vhost) = match rest.split_once('/') {
            Some((authority, path)) => (authority, vhost(path)?),
            None => (rest, "/".to_owned()),
        };
        let (credentials, address) = match authority.rsplit_once('@') {
            Some((credentials, address)) => (credentials, address),
            None => ("guest:guest", authority),
        };
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        let (host, port) = host_and_port(address)?;
        Ok(Uri { user: percent_decode(user)?, password: percent_decode(password)?, host, port, vhost })
    }

    /// The broker on this machine at `port`, entered as guest.
    pub fn local(port: u16) -> Uri {
        let guest = || "guest".to_owned();
        Uri { user: guest(), password: guest(), host: "127.0.0.1".to_owned(), port, vhost: "/".to_owned() }
    }

    /// Whether the broker runs on this machine, so that its process can be looked at.
    pub fn is_local(&self) -> bool {
        matches!(self.host.as_str(), "localhost" | "127.0.0.1" | "::1")
    }
}

/// Without the password, which has no place in reports.
impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vhost = self.vhost.replace('%', "%25").replace('/', "%2F");
        match self.host.contains(':') {
            true => write!(f, "amqp://{}@[{}]:{}/{vhost}", self.user, self.host, self.port),
            false => write!(f, "amqp://{}@{}:{}/{vhost}", self.user, self.host, self.port),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UriError(&'static str);

impl fmt::Display for UriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "URI: {}", self.0)
    }
}

/// An empty path means the default vhost: a trailing slash is written out of habit far more often than to name the
/// vhost "", which the specification would have it mean.
fn vhost(path: &str) -> Result<String, UriError> {
    let path = path.split(['?', '#']).next().unwrap_or("");
    if path.contains('/') {
        return Err(UriError("a slash inside the vhost must be written %2F"));
    }
    if path.is_empty() { Ok("/".to_owned()) } else { percent_decode(path) }
}

fn host_and_port(address: &str) -> Result<(String, u16), UriError> {
    let (host, port) = match address.strip_prefix('[') {
        Some(bracketed) => {
            let (host, rest) = bracketed.split_once(']').ok_or(UriError("'[' without ']'"))?;
            (host, rest.strip_prefix(':'))
        }
        None => match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    let port = match port {
        Some(digits) => digits.parse().map_err(|_| UriError("the port must be a number up to 65535"))?,
        None => PORT_DEFAULT,
    };
    let host = if host.is_empty() { "localhost" } else { host };
    Ok((host.to_owned(), port))
}

fn percent_decode(text: &str) -> Result<String, UriError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (hex, tail) = rest.split_at_checked(2).ok_or(UriError("'%' needs two hexadecimal digits"))?;
        let hex = std::str::from_utf8(hex).map_err(|_| UriError("'%' needs two hexadecimal digits"))?;
        bytes.push(u8::from_str_radix(hex, 16).map_err(|_| UriError("'%' needs two hexadecimal digits"))?);
        rest = tail;
    }
    String::from_utf8(bytes).map_err(|_| UriError("not UTF-8"))
}

const PORT_DEFAULT: u16 = 5672;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_has_rabbitmqs_defaults() {
        let uri = Uri::parse("amqp://").unwrap();
        assert_eq!(uri, Uri { host: "localhost".into(), ..Uri::local(5672) });
        assert_eq!(Uri::parse("amqp://broker/").unwrap().vhost, "/");
    }

    #[test]
    fn every_part_can_be_given_and_is_percent_decoded() {
        let uri = Uri::parse("amqp://a%40b:p%3Aq@broker:5673/%2Fprod").unwrap();
        assert_eq!((uri.user.as_str(), uri.password.as_str()), ("a@b", "p:q"));
        assert_eq!((uri.host.as_str(), uri.port, uri.vhost.as_str()), ("broker", 5673, "/prod"));
        assert_eq!(Uri::parse("amqp://[::1]:5673").unwrap().host, "::1");
    }

    #[test]
    fn the_password_is_not_displayed() {
        let uri = Uri::parse("amqp://bob:secret@[::1]:5673").unwrap();
        assert_eq!(uri.to_string(), "amqp://bob@[::1]:5673/%2F");
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        for bad in
            ["", "http://x", "amqp://h:99999", "amqp://h/a/b", "amqp://u%4@h", "amqp://[::1", "amqp://%ff@h"]
        {
            assert!(Uri::parse(bad).is_err(), "{bad}");
        }
    }
}
