//! Debian's amqp-tools, and a C program of ours on rabbitmq-c, the library under them.

use super::{Target, missing, scripts::output_within};
use crate::common::scratch_folder;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const TIME_FOR_A_TOOL: Duration = Duration::from_secs(20);
const TIME_FOR_A_PROGRAM: Duration = Duration::from_secs(120);

#[test]
fn amqp_tools_publish_get_and_delete() {
    let Some(tools) = Tools::find() else { return };
    let queue = "tools-get";
    assert_eq!(tools.run("declare-queue", &["-q", queue]).stdout, b"tools-get\n");
    tools.run("publish", &["-r", queue, "-b", "one"]);
    tools.run("publish", &["-r", queue, "-b", "two", "-p", "-C", "text/plain", "-H", "key: value"]);
    assert_eq!(tools.run("get", &["-q", queue]).stdout, b"one");
    assert_eq!(tools.run("get", &["-q", queue]).stdout, b"two");
    assert_eq!(tools.call("get", &["-q", queue]).status.code(), Some(2), "the queue is empty");
    tools.run("publish", &["-r", queue, "-b", "left"]);
    assert_eq!(tools.run("delete-queue", &["-q", queue]).stdout, b"1\n");
}

#[test]
fn amqp_tools_consume_in_order() {
    let Some(tools) = Tools::find() else { return };
    let queue = "tools-consume";
    tools.run("declare-queue", &["-q", queue, "-d"]);
    let bodies = ["alpha", "beta", "gamma", "delta"];
    for body in bodies {
        tools.run("publish", &["-r", queue, "-b", body]);
    }
    let consumed = tools.run("consume", &["-q", queue, "-c", "3", "-p", "1", "cat"]);
    assert_eq!(consumed.stdout, b"alphabetagamma");
    assert_eq!(tools.run("delete-queue", &["-q", queue]).stdout, b"1\n", "the fourth came back");
}

#[test]
fn amqp_tools_subscribe_to_an_exchange() {
    let Some(tools) = Tools::find() else { return };
    let mut subscriber = tools.command("consume", &["-e", "amq.fanout", "-r", "any", "-c", "1", "cat"]);
    let mut subscriber = subscriber.stdout(Stdio::piped()).spawn().expect("it was found");
    let end = Instant::now() + TIME_FOR_A_TOOL;
    // Nothing says when the queue is bound.
    while subscriber.try_wait().expect("our child").is_none() && Instant::now() < end {
        tools.run("publish", &["-e", "amq.fanout", "-r", "other", "-b", "news"]);
    }
    let _ = subscriber.kill();
    assert_eq!(subscriber.wait_with_output().expect("our child").stdout, b"news");
}

#[test]
fn amqp_tools_report_what_is_refused() {
    let Some(tools) = Tools::find() else { return };
    let refused = |tool, arguments: &[&str]| {
        let output = tools.call(tool, arguments);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).trim().to_owned()
    };
    let text = refused("get", &["-q", "no such queue"]);
    assert!(text.contains("404, message: NOT_FOUND - no queue 'no such queue' in vhost '/'"), "{text}");
    let text = refused("publish", &["-e", "no such exchange", "-r", "x", "-b", "x"]);
    assert!(text.contains("404, message: NOT_FOUND - no exchange 'no such exchange' in vhost '/'"), "{text}");
    let text = refused("declare-queue", &["-q", "amq.mine"]);
    assert!(text.contains("403, message: ACCESS_REFUSED - queue name 'amq.mine'"), "{text}");
}

#[test]
fn a_c_program_on_rabbitmq_c_gets_back_what_it_sent() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/c/round_trips.c");
    let folder = scratch_folder();
    let program = folder.join("round_trips");
    let compiler = Command::new("cc").arg(source).arg("-o").arg(&program).arg("-lrabbitmq").output();
    if !compiler.is_ok_and(|output| output.status.success()) {
        return missing("rabbitmq-c (Debian: librabbitmq-dev)");
    }
    let target = Target::start();
    let mut command = Command::new(program);
    command.args([target.address.ip().to_string(), target.address.port().to_string()]);
    let output = output_within(command, TIME_FOR_A_PROGRAM);
    let _ = std::fs::remove_dir_all(folder);
    assert!(output.status.success(), "{}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
}

struct Tools {
    target: Target,
}

impl Tools {
    fn find() -> Option<Tools> {
        let found = Command::new("amqp-get").arg("--help").output();
        if found.is_err() {
            missing("amqp-get (Debian: amqp-tools)");
            return None;
        }
        Some(Tools { target: Target::start() })
    }

    fn command(&self, tool: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(format!("amqp-{tool}"));
        command.arg(format!("--url={}", self.target.uri)).args(arguments.iter().map(OsStr::new));
        command
    }

    fn call(&self, tool: &str, arguments: &[&str]) -> Output {
        output_within(self.command(tool, arguments), TIME_FOR_A_TOOL)
    }

    /// One that must succeed.
    fn run(&self, tool: &str, arguments: &[&str]) -> Output {
        let output = self.call(tool, arguments);
        assert!(output.status.success(), "amqp-{tool}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }
}
