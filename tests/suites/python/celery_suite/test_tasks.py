"""Tasks and their results, which come back as messages."""

import threading
import time

import pytest
from celery import Celery, chain, chord, group
from celery.exceptions import TimeoutError

from conftest import eventually

SECONDS = 20


def test_a_task_is_done_and_its_result_comes_back(worker, tasks):
    assert tasks.add.delay(2, 3).get(SECONDS) == 5


def test_many_tasks_are_done_once_each(worker, tasks, notes):
    results = [tasks.write.delay(notes.path, str(number)) for number in range(300)]
    assert [result.get(SECONDS) for result in results] == [str(number) for number in range(300)]
    assert notes.lines() == [str(number) for number in range(300)]


@pytest.mark.parametrize("size", [0, 1, 100_000, 3_000_000])
def test_values_of_any_size(worker, tasks, size):
    assert tasks.echo.delay("x" * size).get(SECONDS) == "x" * size


def test_what_a_task_raises_is_raised(worker, tasks):
    with pytest.raises(ValueError, match="bad luck"):
        tasks.fail.delay("bad luck").get(SECONDS)


def test_chains_and_groups(worker, tasks):
    assert chain(tasks.add.s(1, 2), tasks.add.s(3), tasks.add.s(4)).delay().get(SECONDS) == 10
    assert group(tasks.add.s(number, number) for number in range(50)).delay().get(SECONDS) == [
        2 * number for number in range(50)
    ]


def test_clients_get_their_own_results_and_no_others(worker, tasks, app):
    """The queue of results is one per thread of a client."""
    got = {}

    def client(number):
        with app.connection_for_write() as connection:
            results = [tasks.echo.apply_async((f"{number} {task}",), connection=connection) for task in range(20)]
            got[number] = [result.get(SECONDS) for result in results]

    threads = [threading.Thread(target=client, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert got == {number: [f"{number} {task}" for task in range(20)] for number in range(4)}


def test_the_states_of_a_task_are_told_while_it_runs(worker, tasks):
    seen = []
    result = tasks.progress.delay(5)
    result.get(SECONDS, on_message=lambda body: seen.append((body["status"], body["result"])))
    assert seen == [*[("PROGRESS", {"step": step}) for step in range(5)], ("SUCCESS", 5)]


def test_a_result_may_be_ignored(worker, tasks, notes):
    result = tasks.write.apply_async((notes.path, "done"), ignore_result=True)
    eventually(lambda: notes.lines() == ["done"])
    assert result.get(1) is None


def test_a_result_that_does_not_come_is_a_timeout(worker, tasks, app):
    with pytest.raises(TimeoutError):
        app.send_task("worker_app.add", (1, 2), queue="haremq.nobody").get(0.5)


def test_a_countdown_is_kept(worker, tasks):
    sent = time.time()
    late, soon = tasks.now.apply_async(countdown=2), tasks.now.apply_async(countdown=1)
    assert 1 <= soon.get(SECONDS) - sent < 2 <= late.get(SECONDS) - sent < 4


def test_tasks_that_wait_for_their_time_hold_up_nobody(worker, tasks, notes):
    """For each of them the worker asks for one more than its prefetch count of one."""
    for number in range(5):
        tasks.write.apply_async((notes.path, f"late {number}"), countdown=12)
    assert tasks.add.delay(1, 1).get(SECONDS) == 2
    assert notes.lines() == []
    eventually(lambda: len(notes.lines()) == 5)


def test_a_task_that_expired_is_not_done(worker, tasks, notes):
    tasks.nap.delay(1)
    stale = tasks.write.apply_async((notes.path, "stale"), expires=0.3)
    tasks.write.delay(notes.path, "fresh").get(SECONDS)
    with pytest.raises(Exception, match="expired"):
        stale.get(SECONDS)
    assert notes.lines() == ["fresh"]


def test_a_task_is_tried_again_until_it_succeeds(worker, tasks):
    began = time.monotonic()
    assert tasks.fails_at_first.delay(3, 0.3).get(SECONDS) == 3
    assert time.monotonic() - began >= 0.9


def test_a_task_is_tried_again_no_more_than_allowed(worker, tasks):
    with pytest.raises(ValueError, match="once more"):
        tasks.fails_at_first.delay(4, 0.1).get(SECONDS)
    with pytest.raises(OSError, match="no such luck"):
        tasks.always_fails.delay().get(SECONDS)


def test_tasks_are_routed_by_topic(worker, tasks, notes):
    for key in ["log", "log.error", "log.error.disk", "logs", "audit.log"]:
        tasks.write.apply_async((notes.path, key), exchange="haremq.topics", routing_key=key)
    eventually(lambda: len(notes.lines()) == 3)
    time.sleep(0.3)
    assert notes.lines() == ["log", "log.error", "log.error.disk"]


def test_a_chord_waits_for_all_of_its_tasks(start, tasks, app, tmp_path):
    """Results lie in files here: those that are messages have no chords. Another task asks again and again whether all are
    done, by a retry with a countdown each time."""
    results = f"file://{tmp_path}"
    start("haremq.chords", CELERY_RESULTS=results, CELERY_QUEUE="haremq.chords").ready()
    with Celery("chords", broker=app.conf.broker_url, backend=results, set_as_current=False) as other:
        other.conf.task_default_queue = "haremq.chords"
        header = [other.signature("worker_app.add", (number, number)) for number in range(20)]
        result = chord(header, app=other)(other.signature("worker_app.total"), interval=0.2)
        assert result.get(SECONDS) == 2 * sum(range(20))
        with pytest.raises(Exception, match="not this one"):
            failing = [*header, other.signature("worker_app.fail", ("not this one",))]
            chord(failing, app=other)(other.signature("worker_app.total"), interval=0.2).get(SECONDS)
