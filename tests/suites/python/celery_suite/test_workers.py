"""Workers that are killed, stopped, cut off; what they had in hand is done again, and only that."""

import os
import signal
import subprocess
import sys
import time

import pytest

from conftest import HERE, eventually

sys.path.insert(0, str(HERE.parent / "pika_suite"))
from forwarder import Forwarder

SECONDS = 20


def began(notes):
    return lambda: [line for line in notes.lines() if line.startswith("began")]


def test_a_killed_worker_s_task_is_done_by_another(start, tasks, notes):
    first = start("haremq.late").ready()
    result = tasks.nap_late.apply_async((30, notes.path, True), queue="haremq.late")
    eventually(began(notes))
    first.kill()
    start("haremq.late").ready()
    assert result.get(SECONDS) is True
    assert [line.rsplit(" ", 1)[0] if "began" in line else line for line in notes.lines()] == [
        "began redelivered=False", "began redelivered=True", "ended redelivered=True",
    ]  # fmt: skip


def test_a_killed_child_s_task_is_done_again_by_the_same_worker(start, tasks, notes):
    start("haremq.late").ready()
    result = tasks.nap_late.apply_async((30, notes.path, True), queue="haremq.late")
    (line,) = eventually(began(notes))
    os.kill(int(line.rsplit(" ", 1)[1]), signal.SIGKILL)
    assert result.get(SECONDS) is True
    assert len(began(notes)()) == 2


def test_a_task_that_was_acknowledged_at_once_is_not_done_again(start, tasks, notes, depth):
    first = start("haremq.tasks").ready()
    tasks.nap.delay(30, notes.path, "once")
    eventually(began(notes))
    waiting = [tasks.write.delay(notes.path, str(number)) for number in range(5)]
    first.kill()
    eventually(lambda: depth("haremq.tasks") == 5)
    start("haremq.tasks").ready()
    for result in waiting:
        result.get(SECONDS)
    assert notes.lines() == ["began once", "0", "1", "2", "3", "4"]


def test_a_worker_that_is_told_to_stop_ends_its_task_and_gives_back_the_rest(start, tasks, notes, depth):
    worker = start("haremq.tasks", options=["--prefetch-multiplier", "4"]).ready()
    running = tasks.nap.delay(2, notes.path, "running")
    rest = [tasks.write.delay(notes.path, str(number)) for number in range(10)]
    eventually(began(notes))
    assert worker.stop() == 0
    assert running.get(SECONDS) == "running"
    assert notes.lines() == ["began running", "ended running"]
    eventually(lambda: depth("haremq.tasks") == 10)
    start("haremq.tasks").ready()
    assert [result.get(SECONDS) for result in rest] == [str(number) for number in range(10)]
    assert notes.lines()[2:] == [str(number) for number in range(10)]


def test_a_worker_that_is_cut_off_comes_back(start, tasks, app, notes):
    with app.connection_for_read() as connection:
        host, port = connection.hostname, connection.port
    with Forwarder(host, port) as forwarder:
        broker = app.conf.broker_url.replace(f":{port}", f":{forwarder.port}")
        worker = start("haremq.late", CELERY_BROKER=broker).ready()
        for attempt in range(2):
            result = tasks.nap_late.apply_async((1.5, notes.path), queue="haremq.late")
            eventually(lambda: len(began(notes)()) > 2 * attempt)
            forwarder.cut()
            # What ran when the connection was lost runs to its end, and again when the worker is back.
            eventually(lambda: worker.text().count("Connection to broker lost") == attempt + 1)
            result.get(SECONDS)
            eventually(lambda: notes.lines().count("ended redelivered=True") == attempt + 1)


def test_two_workers_share_the_work(start, tasks):
    workers = [start("haremq.tasks", options=["--prefetch-multiplier", "1"]) for _ in range(2)]
    for worker in workers:
        worker.ready()
    naps = [tasks.nap.delay(0.05) for _ in range(20)]
    results = [tasks.who.delay() for _ in range(40)]
    for nap in naps:
        nap.get(SECONDS)
    assert {result.get(SECONDS) for result in results} == {worker.process.pid for worker in workers}


def test_what_has_priority_is_done_first(start, tasks, notes):
    for priority in [0, 5, 1, 9, 5, 3, 10]:
        tasks.write.apply_async((notes.path, str(priority)), queue="haremq.ranked", priority=priority)
    start("haremq.ranked", options=["--prefetch-multiplier", "1", "-Ofair"]).ready()
    eventually(lambda: len(notes.lines()) == 7)
    # What a worker fetches before it has told its prefetch count is in that order too.
    assert notes.lines() == ["10", "9", "5", "5", "3", "1", "0"]


def test_a_task_that_is_refused_goes_back_or_dies(start, tasks, app, notes, depth):
    with app.connection_for_write() as connection, connection.channel() as channel:
        channel.queue_declare("haremq.dead", durable=True, auto_delete=False)
        channel.queue_purge("haremq.dead")
        start("haremq.last-resort").ready()
        assert tasks.refuse_once.apply_async((notes.path,), queue="haremq.last-resort").get(SECONDS) == "taken"
        assert notes.lines() == ["redelivered=False", "redelivered=True"]
        tasks.refuse.apply_async((notes.path, False), queue="haremq.last-resort")
        message = eventually(lambda: channel.basic_get("haremq.dead", no_ack=True))
    (death,) = message.headers["x-death"]
    assert (death["reason"], death["queue"], death["count"]) == ("rejected", "haremq.last-resort", 1)
    assert message.headers["task"] == "worker_app.refuse"
    assert notes.lines()[2:] == ["refused"]


def test_everybody_does_what_is_broadcast(start, tasks, notes):
    workers = [start("haremq.everybody") for _ in range(3)]
    for worker in workers:
        worker.ready()
    tasks.write.apply_async((notes.path, "all"), queue="haremq.everybody", exchange="haremq.everybody")
    eventually(lambda: len(notes.lines()) == 3)
    time.sleep(0.3)
    assert notes.lines() == ["all"] * 3


def test_a_schedule_is_kept(start, tasks, app, folder, notes):
    """`celery beat` publishes, the worker does."""
    start("haremq.tasks").ready()
    script = folder / "schedule.py"
    script.write_text(
        "from worker_app import app, write\n"
        f"app.conf.beat_schedule = {{'tick': {{'task': 'worker_app.write', 'schedule': 0.5, 'args': ({notes.path!r}, 'tick')}}}}\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{HERE}:{folder}"}
    beat = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "schedule", "beat", "-s", str(folder / "beat")],
        cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        eventually(lambda: len(notes.lines()) >= 4)
    finally:
        beat.terminate()
        beat.wait(10)


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_other_pools_of_workers(start, tasks, pool):
    start("haremq.tasks", options=["-P", pool]).ready()
    assert [result.get(SECONDS) for result in [tasks.add.delay(n, n) for n in range(20)]] == [2 * n for n in range(20)]
