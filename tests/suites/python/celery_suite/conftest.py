"""Celery workers as processes, and the broker they share."""

import contextlib
import ctypes
import os
import pathlib
import signal
import subprocess
import sys
import time
import uuid

import pytest

HERE = pathlib.Path(__file__).parent
SECONDS_TO_ARRIVE = 20

os.environ["CELERY_BROKER"] = os.environ["HAREMQ_TEST_URI"] + "/" + os.environ.get("HAREMQ_TEST_VHOST", "/")


def eventually(condition, seconds=SECONDS_TO_ARRIVE):
    """What it answers once that is true."""
    end = time.monotonic() + seconds
    while not (answer := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    assert answer
    return answer


def die_with_parent():
    """A worker of another session would outlive a pytest that is killed."""
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Worker:
    """A `celery worker` of its own process group, so that it can be killed with its children."""

    def __init__(self, folder, queues="haremq.tasks", options=(), **variables):
        self.name = f"{uuid.uuid4().hex[:8]}@haremq"
        self.log = folder / f"{self.name}.log"
        environment = {**os.environ, "PYTHONPATH": f"{HERE}:{os.environ.get('PYTHONPATH', '')}", **variables}
        command = [sys.executable, "-m", "celery", "-A", "worker_app", "worker", "-n", self.name, "-Q", queues, "-l", "INFO"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "-c", "1", *options], env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=folder,
                start_new_session=True, preexec_fn=die_with_parent,
            )  # fmt: skip

    def ready(self):
        eventually(lambda: self.said(f"{self.name} ready") or self.process.poll() is not None)
        assert self.process.poll() is None, self.text()
        return self

    def text(self):
        return self.log.read_text(errors="replace")

    def said(self, words):
        return words in self.text()

    def kill(self):
        """kill -9, for parent and children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def stop(self):
        """A warm shutdown: what runs is finished."""
        self.process.terminate()
        return self.process.wait(20)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("workers")


@pytest.fixture(scope="session")
def app():
    sys.path.insert(0, str(HERE))
    import worker_app

    yield worker_app.app
    worker_app.app.close()


@pytest.fixture(scope="session")
def tasks(app):
    import worker_app

    return worker_app


@pytest.fixture
def start(folder, app):
    """Starts workers that end with the test."""
    workers = []

    def start(*arguments, **more):
        workers.append(Worker(folder, *arguments, **more))
        return workers[-1]

    yield start
    for worker in workers:
        worker.kill()


@pytest.fixture(scope="module")
def worker(folder, app):
    """A worker that the tests of a file share, none of which starts another for the same queue."""
    it = Worker(folder, "haremq.tasks,haremq.logs").ready()
    yield it
    it.kill()


@pytest.fixture
def notes(tmp_path):
    """A file for tasks to write to, and its lines."""

    class Notes:
        path = str(tmp_path / "notes")

        def lines(self):
            return pathlib.Path(self.path).read_text().splitlines() if os.path.exists(self.path) else []

    return Notes()


@pytest.fixture
def depth(app):
    """How many messages are ready in a queue."""

    def depth(queue):
        with app.connection_for_read() as connection, connection.channel() as channel:
            return channel.queue_declare(queue, passive=True).message_count

    return depth
