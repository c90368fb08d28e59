//! The Python clients: pika, py-amqp, kombu, Celery with real workers, amqpstorm, rabbitpy.
//!
//! Each suite is a test here with a broker of its own, so that they wait side by side: most of their time is sleep.

mod metrics;
mod outcomes;
mod redis;
mod suite;

use suite::{Folder, Suite, Target};

pub const TESTS: &[(&str, fn())] = &[
    ("pika", pika),
    ("py_amqp", py_amqp),
    ("kombu", kombu),
    ("amqpstorm", amqpstorm),
    ("rabbitpy", rabbitpy),
    ("celery_tasks", celery_tasks),
    ("celery_chains", celery_chains),
    ("celery_groups", celery_groups),
    ("celery_chords", celery_chords),
    ("celery_chords_that_fail", celery_chords_that_fail),
    ("celery_workers", celery_workers),
    ("metrics::what_prometheus_reads_is_as_it_wants_it", metrics::what_prometheus_reads_is_as_it_wants_it),
    (
        "outcomes::a_test_that_failed_or_did_not_run_has_not_passed",
        outcomes::a_test_that_failed_or_did_not_run_has_not_passed,
    ),
];

/// pika ships no tests: these are ours, on each of its adapters.
fn pika() {
    Suite::new("pika", Folder::Ours).files(&["pika_suite"]).run();
}

fn py_amqp() {
    let suite = Suite::new("py-amqp", Folder::Sdist("amqp-5.4.2"));
    suite.files(&["t/integration/test_rmq.py"]).variables(host_and_port).run();
}

fn kombu() {
    let suite = Suite::new("kombu", Folder::Sdist("kombu-5.7.0"));
    suite.files(&["t/integration/test_py_amqp.py"]).variables(host_and_port).run();
}

fn amqpstorm() {
    let suite = Suite::new("amqpstorm", Folder::Sdist("amqpstorm-3.1.4"));
    let files = [
        "test_basic",
        "test_exchange",
        "test_generic",
        "test_legacy",
        "test_queue",
        "test_reliability",
        "test_tx",
    ];
    let files = files.map(|file| format!("amqpstorm/tests/functional/{file}.py"));
    suite.files(&files).plugin("amqpstorm_on_amqp").variables(amqpstorm_variables).run();
}

fn rabbitpy() {
    let suite = Suite::new("rabbitpy", Folder::Sdist("rabbitpy-3.0.2"));
    let suite = suite.files(&["tests/test_integration.py", "tests/integration"]);
    suite.variables(|broker| vec![("RABBITMQ_URL", format!("{}/%2f", broker.uri))]).run();
}

/// Results are messages too.
fn celery_tasks() {
    let suite = celery("celery-tasks", &["test_tasks.py", "test_inspect.py"]);
    suite.variables(|broker| vec![test_broker(broker), ("TEST_BACKEND", "rpc://".to_owned())]).run();
}

fn celery_chains() {
    canvas("celery-chains", &["test_canvas.py::test_chain", "test_group_chains.py"]).run();
}

fn celery_groups() {
    canvas("celery-groups", &["test_canvas.py"]).run();
}

fn celery_chords() {
    canvas("celery-chords", &["test_canvas.py::test_chord"]).only("not err").run();
}

fn celery_chords_that_fail() {
    canvas("celery-chords-that-fail", &["test_canvas.py::test_chord"]).only("err").run();
}

/// How tasks are put together. Results lie in a Redis, for those that are messages have no chords.
fn canvas(name: &'static str, files: &[&str]) -> Suite {
    celery(name, files).variables(|broker| vec![test_broker(broker)]).with_redis()
}

/// Its integration tests: one worker in a thread, whose pool is a process. After each of them a second passes until the
/// worker has said that it is idle; so they are cut into suites that wait side by side.
fn celery(name: &'static str, files: &[&str]) -> Suite {
    let files: Vec<_> = files.iter().map(|file| format!("t/integration/{file}")).collect();
    Suite::new(name, Folder::Sdist("celery-5.7.0"))
        .plugin("celery.contrib.pytest")
        .files(&files)
        .with_reruns()
}

fn test_broker(broker: &Target) -> (&'static str, String) {
    ("TEST_BROKER", format!("{}/{}", broker.uri, broker.vhost))
}

/// Ours: worker processes that are killed, that retry, that wait; what is revoked and asked of all of them.
fn celery_workers() {
    Suite::new("celery-workers", Folder::Ours).files(&["celery_suite"]).run();
}

fn host_and_port(broker: &Target) -> Vec<(&'static str, String)> {
    vec![
        ("RABBITMQ_HOST", broker.address.ip().to_string()),
        ("RABBITMQ_5672_TCP", broker.address.port().to_string()),
    ]
}

fn amqpstorm_variables(broker: &Target) -> Vec<(&'static str, String)> {
    vec![
        ("AMQP_HOST", broker.address.ip().to_string()),
        ("AMQP_PORT", broker.address.port().to_string()),
        ("AMQP_USERNAME", "guest".to_owned()),
        ("AMQP_PASSWORD", "guest".to_owned()),
        ("AMQP_URI", format!("{}/%2F", broker.uri)),
    ]
}
