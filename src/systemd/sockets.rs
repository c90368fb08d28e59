//! Listening sockets that the service manager hands in (sd_listen_fds(3)): it opened them, and listens on when we are gone.

use listenfd::ListenFd;
use socket2::Socket;

/// By what they are for; they take the place of the addresses that are set.
#[derive(Debug, Default)]
pub struct Sockets {
    pub amqp: Vec<Socket>,
    pub http: Option<Socket>,
    pub prometheus: Option<Socket>,
}

impl Sockets {
    /// Call it once, before there is another thread: it takes the variables out of the environment.
    pub fn from_env(variable: &dyn Fn(&str) -> Option<String>) -> Result<Sockets, String> {
        let names = variable("LISTEN_FDNAMES").unwrap_or_default();
        let mut handed_in = ListenFd::from_env();
        let mut names = names.split(':');
        let mut sockets = Sockets::default();
        for index in 0..handed_in.len() {
            let socket = handed_in.take_tcp_listener(index).map_err(|error| error.to_string())?;
            let socket = socket.expect("each is taken once");
            sockets.put(names.next().unwrap_or_default(), socket.into())?;
        }
        Ok(sockets)
    }

    fn put(&mut self, name: &str, socket: Socket) -> Result<(), String> {
        let before = match name {
            "amqp" => {
                self.amqp.push(socket);
                None
            }
            "http" => self.http.replace(socket),
            "prometheus" => self.prometheus.replace(socket),
            _ => {
                return Err(format!(
                    "a socket was handed in as '{name}': FileDescriptorName= of its unit must be amqp, http or prometheus"
                ));
            }
        };
        before.map_or(Ok(()), |_| Err(format!("two sockets were handed in as {name}: there may be one")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn named(names: &[&str]) -> Result<Sockets, String> {
        let mut sockets = Sockets::default();
        for name in names {
            sockets.put(name, TcpListener::bind("127.0.0.1:0").unwrap().into())?;
        }
        Ok(sockets)
    }

    #[test]
    fn a_socket_is_for_what_its_name_says() {
        let sockets = named(&["amqp", "http", "amqp"]).unwrap();
        assert_eq!(
            (sockets.amqp.len(), sockets.http.is_some(), sockets.prometheus.is_some()),
            (2, true, false)
        );
    }

    #[test]
    fn a_name_that_says_nothing_and_a_second_of_a_kind_are_refused() {
        assert!(named(&["haremq.socket"]).unwrap_err().contains("FileDescriptorName"));
        assert!(named(&["http", "http"]).unwrap_err().contains("two"));
    }
}
