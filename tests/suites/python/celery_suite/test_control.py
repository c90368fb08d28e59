"""Remote control: commands to all workers through a fanout exchange, answers to a queue of the asker, events to who listens."""

import threading
import time

import pytest
from celery.exceptions import TaskRevokedError

from conftest import eventually

SECONDS = 20


@pytest.fixture
def two(start):
    """Two workers that are ready and know each other."""
    workers = [start("haremq.tasks") for _ in range(2)]
    return [worker.ready() for worker in workers]


def to(worker):
    """A command to one worker, over when that has answered."""
    return {"destination": [worker.name], "reply": True, "timeout": SECONDS, "limit": 1}


def asked(app, worker):
    return app.control.inspect([worker.name], timeout=SECONDS, limit=1)


def test_every_worker_answers(two, app):
    names = {worker.name for worker in two}
    answers = app.control.ping(timeout=SECONDS, limit=2)
    assert {name: answer for them in answers for name, answer in them.items()} == {name: {"ok": "pong"} for name in names}
    inspect = app.control.inspect(timeout=SECONDS, limit=2)
    assert set(inspect.active_queues()) == names
    assert {queue["name"] for queues in inspect.active_queues().values() for queue in queues} == {"haremq.tasks"}
    assert all("worker_app.add" in registered for registered in inspect.registered().values())
    assert {stats["pool"]["max-concurrency"] for stats in inspect.stats().values()} == {1}


def test_one_worker_may_be_asked(two, app):
    name = two[1].name
    assert app.control.ping(destination=[name], timeout=2) == [{name: {"ok": "pong"}}]
    assert set(asked(app, two[1]).conf()) == {name}


def test_what_runs_and_what_waits_is_told(start, tasks, app):
    worker = start("haremq.tasks").ready()
    running, waiting = tasks.nap.delay(3), tasks.add.apply_async((1, 2), countdown=30)
    inspect = asked(app, worker)
    eventually(lambda: [task["id"] for task in inspect.active()[worker.name]] == [running.id])
    assert [task["request"]["id"] for task in inspect.scheduled()[worker.name]] == [waiting.id]
    found = inspect.query_task(running.id, waiting.id)[worker.name]
    assert {name: state for name, (state, _) in found.items()} == {running.id: "active", waiting.id: "scheduled"}
    waiting.revoke()
    running.get(SECONDS)


def test_a_task_is_revoked_by_all_workers_before_it_begins(two, tasks, app, notes):
    result = tasks.write.apply_async((notes.path, "never"), countdown=1)
    result.revoke()
    eventually(lambda: all(worker.said(f"Tasks flagged as revoked: {result.id}") for worker in two))
    assert set(app.control.inspect(timeout=SECONDS, limit=2).revoked()) == {worker.name for worker in two}
    with pytest.raises(TaskRevokedError):
        result.get(SECONDS)
    assert notes.lines() == []


def test_a_task_is_revoked_while_it_runs(start, tasks, app, notes):
    start("haremq.tasks").ready()
    result = tasks.nap.delay(30, notes.path, "cut short")
    eventually(lambda: notes.lines())
    result.revoke(terminate=True)
    with pytest.raises(TaskRevokedError):
        result.get(SECONDS)
    assert tasks.add.delay(1, 2).get(SECONDS) == 3
    assert notes.lines() == ["began cut short"]


def test_a_worker_learns_from_others_what_is_revoked(two, tasks, start, notes):
    result = tasks.write.apply_async((notes.path, "never"), countdown=8)
    result.revoke()
    eventually(lambda: all(worker.said(result.id) for worker in two))
    late = start("haremq.tasks").ready()
    assert late.said("sync with 2 nodes") and late.said("sync complete")
    for worker in two:
        worker.kill()
    with pytest.raises(TaskRevokedError):
        result.get(SECONDS)
    assert notes.lines() == []


def test_queues_are_added_and_cancelled_while_a_worker_runs(start, tasks, app, notes):
    worker = start("haremq.tasks").ready()
    write = lambda text: tasks.write.apply_async((notes.path, text), queue="haremq.added")
    app.control.add_consumer("haremq.added", **to(worker))
    write("one")
    eventually(lambda: notes.lines() == ["one"])
    app.control.cancel_consumer("haremq.added", **to(worker))
    # The worker answers before it cancels, and the answer to what is asked next tells that it has.
    eventually(lambda: [queue["name"] for queue in asked(app, worker).active_queues()[worker.name]] == ["haremq.tasks"])
    write("two")
    time.sleep(0.5)
    assert notes.lines() == ["one"]
    app.control.add_consumer("haremq.added", **to(worker))
    eventually(lambda: notes.lines() == ["one", "two"])


def test_a_pool_works_on_several_tasks_and_grows(start, tasks, app):
    worker = start("haremq.tasks", options=["-c", "3"]).ready()
    assert app.control.pool_grow(2, **to(worker)) == [{worker.name: {"ok": "pool will grow"}}]
    eventually(lambda: len(asked(app, worker).stats()[worker.name]["pool"]["processes"]) == 5)
    began = time.monotonic()
    naps = [tasks.nap.delay(1) for _ in range(3)]
    for nap in naps:
        nap.get(SECONDS)
    assert time.monotonic() - began < 2.5


def test_a_rate_limit_is_kept(start, tasks, app, notes):
    worker = start("haremq.tasks").ready()
    (answer,) = app.control.rate_limit("worker_app.write", "5/s", **to(worker))
    assert "ok" in answer[worker.name]
    for number in range(10):
        tasks.write.delay(notes.path, str(number))
    began = time.monotonic()
    eventually(lambda: len(notes.lines()) == 10)
    assert time.monotonic() - began > 1


def test_a_queue_is_purged(app, tasks, depth):
    for _ in range(7):
        tasks.add.apply_async((1, 1), queue="haremq.nobody-consumes")
    eventually(lambda: depth("haremq.nobody-consumes") == 7)
    with app.connection_for_write() as connection, connection.channel() as channel:
        assert channel.queue_purge("haremq.nobody-consumes") == 7
        channel.queue_delete("haremq.nobody-consumes")


def test_a_worker_is_shut_down_from_afar(start, app):
    worker, other = start("haremq.tasks").ready(), start("haremq.tasks").ready()
    app.control.shutdown(destination=[worker.name])
    assert worker.process.wait(SECONDS) == 0
    assert app.control.ping(timeout=2) == [{other.name: {"ok": "pong"}}]


def test_events_tell_what_becomes_of_a_task(start, tasks, app):
    worker = start("haremq.tasks", options=["-E"]).ready()
    seen = []

    def listen():
        with app.connection_for_read() as connection:
            handlers = {"*": seen.append}
            receiver = app.events.Receiver(connection, handlers=handlers)
            receiver.capture(limit=None, timeout=SECONDS, wakeup=True)

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    # The listener has its queue when it hears the worker's heart.
    eventually(lambda: [event for event in seen if event["type"] == "worker-heartbeat"])
    good, bad = tasks.add.delay(1, 2), tasks.fail.delay("told")

    def types(result):
        return [event["type"] for event in seen if event.get("uuid") == result.id]

    eventually(lambda: "task-succeeded" in types(good) and "task-failed" in types(bad))
    assert sorted(types(good)) == ["task-received", "task-sent", "task-started", "task-succeeded"]
    assert sorted(types(bad)) == ["task-failed", "task-received", "task-sent", "task-started"]
    ends = [event for event in seen if event["type"] == "task-succeeded" and event["uuid"] == good.id]
    assert (ends[0]["hostname"], ends[0]["result"]) == (worker.name, "3")
