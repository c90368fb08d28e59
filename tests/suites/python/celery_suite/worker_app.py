"""The Celery application that workers and tests share. Who starts a worker names broker and place of results in the environment."""

import os
import time

import kombu
from celery import Celery
from celery.exceptions import Reject
from kombu.common import Broadcast

app = Celery("haremq", broker=os.environ["CELERY_BROKER"], backend=os.environ.get("CELERY_RESULTS", "rpc://"))
topics = kombu.Exchange("haremq.topics", "topic")
app.conf.update(
    task_default_queue=os.environ.get("CELERY_QUEUE", "haremq.tasks"),
    task_queues=[
        kombu.Queue("haremq.tasks"),
        kombu.Queue("haremq.chords"),
        kombu.Queue("haremq.ranked", max_priority=10),
        kombu.Queue("haremq.logs", topics, routing_key="log.#"),
        kombu.Queue("haremq.late"),
        kombu.Queue("haremq.last-resort", queue_arguments={
            "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "haremq.dead"}),
        Broadcast("haremq.everybody"),
    ],
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    result_expires=60,
    task_send_sent_event=True,
)  # fmt: skip


def note(path, text):
    """A line in a file that tells the test what ran."""
    with open(path, "a") as file:
        file.write(f"{text}\n")


@app.task
def add(x, y):
    return x + y


@app.task
def total(numbers):
    return sum(numbers)


@app.task
def echo(value):
    return value


@app.task
def fail(text):
    raise ValueError(text)


@app.task
def write(path, text):
    note(path, text)
    return text


@app.task
def now():
    return time.time()


@app.task
def nap(seconds, path=None, text=""):
    if path:
        note(path, f"began {text}")
    time.sleep(seconds)
    if path:
        note(path, f"ended {text}")
    return text


@app.task(bind=True)
def nap_late(self, seconds, path, once=False):
    """Sleeps, once only if it came again."""
    redelivered = self.request.delivery_info["redelivered"]
    note(path, f"began redelivered={redelivered} {os.getpid()}")
    time.sleep(0 if once and redelivered else seconds)
    note(path, f"ended redelivered={redelivered}")
    return redelivered


nap_late.acks_late = True
nap_late.reject_on_worker_lost = True


@app.task(bind=True, max_retries=3)
def fails_at_first(self, times, countdown):
    if self.request.retries < times:
        raise self.retry(countdown=countdown, exc=ValueError("once more"))
    return self.request.retries


@app.task(autoretry_for=(OSError,), retry_backoff=0.1, retry_jitter=False, max_retries=2)
def always_fails():
    raise OSError("no such luck")


@app.task(acks_late=True)
def refuse(path, requeue):
    note(path, "refused")
    raise Reject("not mine", requeue=requeue)


@app.task(bind=True, acks_late=True)
def refuse_once(self, path):
    redelivered = self.request.delivery_info["redelivered"]
    note(path, f"redelivered={redelivered}")
    if not redelivered:
        raise Reject("not now", requeue=True)
    return "taken"


@app.task(bind=True)
def progress(self, steps):
    for step in range(steps):
        self.update_state(state="PROGRESS", meta={"step": step})
    return steps


@app.task
def who():
    return os.getppid()
