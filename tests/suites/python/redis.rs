//! A Redis for results of tasks: chords count in it.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub struct Redis {
    child: Child,
    port: u16,
}

const TIME_TO_START: Duration = Duration::from_secs(10);

impl Redis {
    /// On a free port, nothing kept on disk. None: it is not installed.
    pub fn start(folder: &Path) -> Option<Redis> {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = free.expect("a free port").port();
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--port"]).arg(port.to_string());
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let redis = Redis { child: command.spawn().ok()?, port };
        let end = Instant::now() + TIME_TO_START;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "redis-server does not answer on port {port}");
            thread::sleep(Duration::from_millis(20));
        }
        Some(redis)
    }

    /// As Celery's tests want to be told.
    pub fn variables(&self) -> [(&'static str, String); 3] {
        [
            ("TEST_BACKEND", format!("redis://127.0.0.1:{}/0", self.port)),
            ("REDIS_HOST", "127.0.0.1".to_owned()),
            ("REDIS_PORT", self.port.to_string()),
        ]
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
