//! rabbitmq-c: the tests of its source package, and a suite of ours over the ground that they leave out.

use crate::common::scratch_folder;
use crate::foreign::{
    Exception, Outcomes, Suite, What, folder, missing, needs_a_broker, output_within, passes,
};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub const TESTS: &[(&str, fn())] = &[
    ("rabbitmq_c_shipped", rabbitmq_c_shipped),
    ("rabbitmq_c_shipped_needs_a_broker", rabbitmq_c_shipped_needs_a_broker),
    ("rabbitmq_c", rabbitmq_c),
    ("rabbitmq_c_needs_a_broker", rabbitmq_c_needs_a_broker),
];

/// One broker test, which is four in one, and what tests the library alone.
const SHIPPED: Suite = Suite {
    name: "rabbitmq-c, shipped",
    cases: 7,
    exceptions: &[
        library_alone("test_hostcheck"),
        library_alone("test_merge_capabilities"),
        library_alone("test_parse_url"),
        library_alone("test_sasl_mechanism"),
        library_alone("test_status_enum"),
        library_alone("test_tables"),
    ],
    run: run_shipped,
};

const fn library_alone(case: &'static str) -> Exception {
    Exception { case, what: What::NeedsNoBroker, because: "it tests functions of the library" }
}

const OURS: Suite = Suite { name: "rabbitmq-c, ours", cases: 48, exceptions: &[], run: run_ours };

fn rabbitmq_c_shipped() {
    passes(&SHIPPED);
}

fn rabbitmq_c_shipped_needs_a_broker() {
    needs_a_broker(&SHIPPED);
}

fn rabbitmq_c() {
    passes(&OURS);
}

fn rabbitmq_c_needs_a_broker() {
    needs_a_broker(&OURS);
}

const TIME_FOR_A_PROGRAM: Duration = Duration::from_secs(120);

fn run_shipped(broker: SocketAddr) -> Option<Outcomes> {
    let library = Library::build()?;
    let mut tests = library.sources("tests");
    tests.retain(|file| file.file_stem().is_some_and(|name| name.to_string_lossy().starts_with("test_")));
    let mut outcomes = Outcomes::default();
    for test in tests {
        let name = test.file_stem().expect("it begins with test_").to_string_lossy().into_owned();
        let mut command = Command::new("sh");
        // test_tables compares with tests/test_tables.expected.
        command.args(["-c", "\"$0\" && echo case pass \"$1\" || echo case fail \"$1\""]);
        command.arg(library.program(&name, &[test])).arg(&name).current_dir(&library.source);
        command.env("HAREMQ_TEST_PORT", broker.port().to_string());
        outcomes.join(Outcomes::from_lines(output_within(command, TIME_FOR_A_PROGRAM)));
    }
    Some(outcomes)
}

fn run_ours(broker: SocketAddr) -> Option<Outcomes> {
    let library = Library::build()?;
    let mut command = Command::new(library.program("suite", &c_files(&folder("c"))));
    command.args([broker.ip().to_string(), broker.port().to_string()]);
    Some(Outcomes::from_lines(output_within(command, TIME_FOR_A_PROGRAM)))
}

/// The library, compiled from its source package in a folder that goes with it. Without TLS, which asks for OpenSSL.
struct Library {
    source: PathBuf,
    built: PathBuf,
}

impl Library {
    fn build() -> Option<Library> {
        let source = folder("c/shipped");
        if !source.exists() || Command::new("cc").arg("--version").output().is_err() {
            missing("rabbitmq-c's source, or a C compiler");
            return None;
        }
        let library = Library { source, built: scratch_folder() };
        let config = "#define HAVE_POLL\n#define AMQ_PLATFORM \"Linux\"\n";
        fs::write(library.built.join("config.h"), config).expect("our own folder");
        let mut parts = library.sources("librabbitmq");
        parts.retain(|file| !file.to_string_lossy().contains("amqp_openssl"));
        library.compile(Command::new("cc").arg("-c").args(parts));
        Some(library)
    }

    fn sources(&self, part: &str) -> Vec<PathBuf> {
        c_files(&self.source.join(part))
    }

    /// A program of these files on the library.
    fn program(&self, name: &str, files: &[PathBuf]) -> PathBuf {
        let objects = files_with(&self.built, "o");
        let mut command = Command::new("cc");
        command
            .args(["-include", "port.h", "-I"])
            .arg(folder("c"))
            .arg("-o")
            .arg(name)
            .args(files)
            .args(objects);
        self.compile(&mut command);
        self.built.join(name)
    }

    fn compile(&self, command: &mut Command) {
        command.args(["-w", "-O1", "-DHAVE_CONFIG_H", "-DAMQP_STATIC", "-I."]);
        command.arg("-I").arg(self.source.join("librabbitmq")).current_dir(&self.built);
        let output = command.output().expect("there is a C compiler");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.built);
    }
}

fn c_files(folder: &Path) -> Vec<PathBuf> {
    files_with(folder, "c")
}

fn files_with(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let files =
        folder.read_dir().expect("a folder of the suite").map(|file| file.expect("it is readable").path());
    let mut files: Vec<_> = files.filter(|file| file.extension().is_some_and(|it| it == ending)).collect();
    files.sort();
    files
}
