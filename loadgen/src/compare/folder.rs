//! The folder of results that a comparison writes; results/README.md says what belongs there.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use super::bout::Bout;
use super::course::Course;
use super::{machine, page, tables};
use crate::failure::Failure;
use crate::options::CompareOptions;

pub struct Folder {
    pub path: PathBuf,
}

impl Folder {
    /// A new one: what was measured before is never overwritten.
    pub fn create(options: &CompareOptions) -> Result<Folder, Failure> {
        let path = match &options.out {
            Some(path) if is_taken(path) => {
                return Err(Failure::usage(format!("{} is there already", path.display())));
            }
            Some(path) => path.clone(),
            None => free_path(&options.machine.clone().unwrap_or_else(machine::name)),
        };
        let folder = Folder { path };
        fs::create_dir_all(folder.raw())
            .map_err(|error| Failure::internal(format!("{}: {error}", folder.raw().display())))?;
        Ok(folder)
    }

    pub fn raw(&self) -> PathBuf {
        self.path.join("raw")
    }

    pub fn write_what_is_known(&self, course: &Course) -> Result<(), Failure> {
        let arguments: Vec<String> = env::args().skip(1).collect();
        self.write("command", &format!("cargo run --release -p loadgen -- {}\n", arguments.join(" ")))?;
        self.write("versions", &machine::versions())?;
        self.write("configurations", &format!("{}\n", course.configurations))
    }

    pub fn write_results(&self, course: &Course, bouts: &[Bout]) -> Result<(), Failure> {
        self.write("README.md", &page::readme(course, bouts))?;
        self.write("summary.md", &tables::summary(course, bouts))
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.path.join(name);
        fs::write(&path, text).map_err(|error| Failure::internal(format!("{}: {error}", path.display())))
    }
}

/// `results/<date>-<machine>`, with a number behind it if there is one of today already.
fn free_path(machine: &str) -> PathBuf {
    let name = format!("results/{}-{machine}", machine::today());
    let numbered = (2..).map(|number| PathBuf::from(format!("{name}-{number}")));
    let mut all = std::iter::once(PathBuf::from(&name)).chain(numbered);
    all.find(|path| !is_taken(path)).unwrap_or_else(|| PathBuf::from(name))
}

/// Whether something is there; an empty folder is as good as none.
fn is_taken(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => path.exists(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::course::tests::{course, options};

    #[test]
    fn what_was_measured_is_not_overwritten() {
        let path = env::temp_dir().join(format!("loadgen-folder-{}", std::process::id()));
        let options = options(&format!("--out {} --scenarios 12", path.display()));
        let folder = Folder::create(&options).unwrap();
        folder.write_what_is_known(&course("--scenarios 12")).unwrap();
        folder.write_results(&course("--scenarios 12"), &[]).unwrap();
        let mut names: Vec<_> =
            fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["README.md", "command", "configurations", "raw", "summary.md", "versions"]);
        assert!(Folder::create(&options).is_err());
        fs::remove_dir_all(path).unwrap();
    }
}
