//! Our own broker: where it is, and how it is started.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::child::Child;
use super::free_port;
use super::scratch::Scratch;

pub fn spawn(binary: &Path, arguments: &[String], port: u16) -> Result<Child, String> {
    let folder = Scratch::new(port).map_err(|error| format!("no scratch folder: {error}"))?;
    let mut all = vec![
        format!("--amqp-listen=127.0.0.1:{port}"),
        format!("--http-listen=127.0.0.1:{}", free_port()?),
        format!("--data-dir={}", folder.path().join("data").display()),
    ];
    all.extend_from_slice(arguments);
    Child::spawn(binary, &all, Some(folder))
}

/// The haremq binary beside our own. It is built if it is not there, and made current when cargo started us: numbers of
/// yesterday's broker would mislead whoever changes it.
pub fn binary() -> Result<PathBuf, String> {
    let own = env::current_exe().map_err(|error| format!("cannot find myself: {error}"))?;
    let beside = own.with_file_name("haremq");
    let cargo = env::var_os("CARGO");
    if beside.is_file() && cargo.is_none() {
        return Ok(beside);
    }
    build(cargo.unwrap_or_else(|| "cargo".into()))?;
    // A debug loadgen has the release build as its neighbour, and perhaps an older debug build beside it.
    let release = own.parent().map(|folder| folder.with_file_name("release").join("haremq"));
    let built = [release, Some(beside)].into_iter().flatten().find(|path| path.is_file());
    built.ok_or_else(|| "haremq was built, but not beside me; give the broker with --uri".to_owned())
}

fn build(cargo: OsString) -> Result<(), String> {
    eprintln!("loadgen: building haremq, if it is not current");
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let arguments = [
        "build",
        "--quiet",
        "--release",
        "--package",
        "haremq",
        "--bin",
        "haremq",
        "--manifest-path",
        manifest,
    ];
    match Command::new(cargo).args(arguments).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err("haremq could not be built; give the broker with --uri".to_owned()),
        Err(error) => Err(format!("cannot run cargo: {error}; give the broker with --uri")),
    }
}
