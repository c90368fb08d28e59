//! What shells and man(1) are given.

use std::fs;
use std::process::Command;

use crate::server::TempDir;

fn haremq(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_haremq"))
        .args(arguments)
        // Neither has to do with settings, be they right or wrong.
        .env("HAREMQ_CONFIG", "/nowhere/haremq.toml")
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What bash offers for the last of these words.
fn offered(words: &[&str]) -> Vec<String> {
    let folder = TempDir::new();
    fs::create_dir(&folder.0).unwrap();
    let script = folder.0.join("haremq");
    fs::write(&script, haremq(&["completions", "bash"])).unwrap();
    let ask = "source \"$0\"; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _haremq haremq \"${!#}\" \"${@:$#-1:1}\"; echo ${COMPREPLY[@]}";
    let mut bash = Command::new("bash");
    let output = bash.args(["-c", ask]).arg(script).args(words).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_shell_completes_commands_and_flags() {
    assert_eq!(offered(&["haremq", "ctl", "list_qu"]), ["list_queues"]);
    assert_eq!(offered(&["haremq", "ctl", "rotate"]), ["rotate_logs"]);
    assert_eq!(offered(&["haremq", "--memory-h"]), ["--memory-high"]);
    for shell in ["zsh", "fish"] {
        let script = haremq(&["completions", shell]);
        assert!(script.contains("list_queues") && script.contains("memory-high"), "{shell}: {script}");
    }
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let folder = TempDir::new();
    haremq(&["man", folder.0.to_str().unwrap()]);
    let page = |name: &str| fs::read_to_string(folder.0.join(name)).unwrap();
    assert!(page("haremq.1").contains("memory\\-high"));
    assert!(page("haremq-ctl-list_queues.1").contains("columns"));
    assert!(page("haremq-store-verify.1").contains("damaged"));
}
