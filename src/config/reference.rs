//! What shells and man(1) know of the command line, made from its definition.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::Config;

pub fn completions(shell: Shell) {
    let mut script = Vec::new();
    generate(shell, &mut Config::command(), "haremq", &mut script);
    // Whoever reads may have enough.
    let _ = io::stdout().write_all(&script);
}

/// A page for each command, in a folder that is made.
pub fn manual(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Config::command(), folder)
}
