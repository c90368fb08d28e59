"""The broker under test, connections that end with their test, and pika's adapters."""

import contextlib
import os
import threading
import uuid

import pika
import pika.exceptions
import pytest

from adapters import ADAPTERS, Play
from forwarder import Forwarder
from twisted_reactor import Reactor

URI = os.environ["HAREMQ_TEST_URI"]


def parameters(**overrides):
    it = pika.URLParameters(URI)
    it.socket_timeout = 5
    it.blocked_connection_timeout = 60
    for name, value in overrides.items():
        setattr(it, name, value)
    return it


@pytest.fixture(name="parameters")
def _parameters():
    return parameters


@pytest.fixture
def name():
    """A maker of names that no other test has."""
    return lambda what="it": f"{what}-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def connect():
    """A maker of blocking connections."""
    connections = []

    def connect(**overrides):
        connections.append(pika.BlockingConnection(parameters(**overrides)))
        return connections[-1]

    yield connect
    for connection in connections:
        # The broker may have given it up unseen.
        with contextlib.suppress(pika.exceptions.AMQPError):
            connection.close()


@pytest.fixture
def connection(connect):
    return connect()


@pytest.fixture
def channel(connection):
    return connection.channel()


@pytest.fixture
def queue(channel, name):
    """A queue that goes with the test's connection."""
    return channel.queue_declare(name("queue"), exclusive=True).method.queue


@pytest.fixture
def publish(connect):
    """Publishes to a queue and returns when the broker has confirmed it."""
    confirming = connect().channel()
    confirming.confirm_delivery()

    def publish(queue, *bodies, **properties):
        for body in bodies:
            confirming.basic_publish("", queue, body, pika.BasicProperties(**properties), mandatory=False)

    return publish


@pytest.fixture
def forwarder():
    with Forwarder(parameters().host, parameters().port) as it:
        yield it


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: adapter.name)
def play(request):
    """Plays a scenario on a connection of each adapter that speaks in callbacks."""

    def play(scenario, **overrides):
        return Play(request.param, parameters(**overrides)).run(scenario)

    play.adapter = request.param
    return play


@pytest.fixture(scope="session")
def reactor():
    """Twisted's, which a process can start only once."""
    it = Reactor()
    yield it
    it.stop()


@pytest.fixture
def in_thread():
    threads = []

    def start(target, *arguments):
        threads.append(threading.Thread(target=target, args=arguments))
        threads[-1].start()
        return threads[-1]

    yield start
    for thread in threads:
        thread.join(20)
