//! The file of the log, and what rotates it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::client::Client;
use crate::server::{Server, TempDir};
use crate::within;

fn has(file: &Path, text: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|lines| lines.contains(text))
}

/// A connection, and the line that tells of it.
#[track_caller]
fn visit(server: &Server, file: &Path) {
    let client = Client::connect(server.amqp);
    let own = client.socket.local_addr().unwrap().to_string();
    within(Duration::from_secs(5), || has(file, &own));
}

#[test]
fn a_log_that_was_moved_away_is_begun_anew_at_a_signal_or_a_command() {
    let folder = TempDir::new();
    fs::create_dir(&folder.0).unwrap();
    let (file, moved) = (folder.0.join("haremq.log"), folder.0.join("haremq.log.1"));
    let server = Server::start(&[
        "--shards",
        "1",
        "--log-level",
        "info",
        "--log-console",
        "off",
        "--log-file",
        file.to_str().unwrap(),
    ]);
    visit(&server, &file);
    let ways: [&dyn Fn(); 2] = [&|| server.signal(Signal::HUP), &|| server.ctl(&["rotate_logs"])];
    for rotate in ways {
        fs::rename(&file, &moved).unwrap();
        visit(&server, &moved);
        rotate();
        within(Duration::from_secs(5), || file.exists());
        let before = fs::read_to_string(&moved).unwrap();
        visit(&server, &file);
        assert_eq!(fs::read_to_string(&moved).unwrap(), before);
    }
    // It goes on in the old one if there can be no new one.
    fs::rename(&file, &moved).unwrap();
    fs::create_dir(&file).unwrap();
    server.signal(Signal::HUP);
    within(Duration::from_secs(5), || has(&moved, "cannot be opened anew"));
    visit(&server, &moved);
    server.stop();
}
