//! What the service manager is told, as sd_notify(3) does: a datagram of lines `NAME=value`.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Shared by the main thread and that of the watchdog.
#[derive(Debug, Default)]
pub struct Notify(Option<(UnixDatagram, SocketAddr)>);

impl Notify {
    /// Nobody is told anything where `NOTIFY_SOCKET` is not set.
    pub fn from_env(variable: &dyn Fn(&str) -> Option<String>) -> io::Result<Notify> {
        let Some(name) = variable("NOTIFY_SOCKET") else { return Ok(Notify::default()) };
        let address = match name.strip_prefix('@') {
            // It has no file.
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        Ok(Notify(Some((UnixDatagram::unbound()?, address))))
    }

    pub fn ready(&self, status: &str) {
        self.tell(&["READY=1", &self::status(status)]);
    }

    pub fn stopping(&self) {
        self.tell(&["STOPPING=1", "STATUS=stopping"]);
    }

    /// Why we end, for `systemctl status`.
    pub fn failed(&self, text: &str) {
        self.tell(&[&status(text)]);
    }

    pub fn is_well(&self) {
        self.tell(&["WATCHDOG=1"]);
    }

    /// Who does not listen need not know.
    fn tell(&self, lines: &[&str]) {
        let Some((socket, address)) = &self.0 else { return };
        if let Err(error) = socket.send_to_addr(lines.join("\n").as_bytes(), address) {
            tracing::warn!(%error, "the service manager could not be told");
        }
    }
}

/// Of one line.
fn status(text: &str) -> String {
    format!("STATUS={}", text.replace('\n', "; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(at: SocketAddr, variable: String) -> Vec<String> {
        let manager = UnixDatagram::bind_addr(&at).unwrap();
        let notify = Notify::from_env(&|name| (name == "NOTIFY_SOCKET").then(|| variable.clone())).unwrap();
        notify.ready("a\nb");
        notify.stopping();
        let mut datagram = [0; 100];
        let mut next = || {
            let count = manager.recv(&mut datagram).unwrap();
            String::from_utf8(datagram[..count].to_vec()).unwrap()
        };
        vec![next(), next()]
    }

    #[test]
    fn a_socket_is_a_file_or_a_name_alone() {
        let told = ["READY=1\nSTATUS=a; b", "STOPPING=1\nSTATUS=stopping"];
        let name = format!("haremq-notify-{}", std::process::id());
        assert_eq!(heard(SocketAddr::from_abstract_name(&name).unwrap(), format!("@{name}")), told);
        let file = std::env::temp_dir().join(name);
        let of_file = heard(SocketAddr::from_pathname(&file).unwrap(), file.display().to_string());
        std::fs::remove_file(file).unwrap();
        assert_eq!(of_file, told);
    }

    #[test]
    fn without_a_service_manager_nobody_is_told() {
        assert!(Notify::from_env(&|_| None).unwrap().0.is_none());
    }
}
