"""What the scripts share: the broker under test, connections that end with their test, and the errors expected of it."""

import contextlib
import os
import time
import unittest
import uuid

import pika
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker

URI = os.environ["HAREMQ_TEST_URI"]
SECONDS_TO_ARRIVE = 10


def parameters(**overrides):
    it = pika.URLParameters(URI)
    for name, value in overrides.items():
        setattr(it, name, value)
    return it


class BrokerCase(unittest.TestCase):
    """A test with a connection and a channel of its own."""

    def setUp(self):
        self.connection = self.connect()
        self.channel = self.connection.channel()

    def connect(self, **overrides):
        connection = pika.BlockingConnection(parameters(**overrides))
        self.addCleanup(lambda: connection.is_open and connection.close())
        return connection

    def server_version(self):
        version = self.connection._impl.server_properties["version"]
        return tuple(int(part) for part in version.split(".")[:2])

    def is_haremq(self):
        return "haremq_version" in self.connection._impl.server_properties

    def name(self, what="test"):
        return f"{what}-{uuid.uuid4().hex[:12]}"

    def queue(self, **arguments):
        """The name of a new queue, which goes with this test's connection."""
        name = self.name("queue")
        self.channel.queue_declare(name, exclusive=True, **arguments)
        return name

    def shared_queue(self, **arguments):
        """The name of a new queue that every connection sees."""
        name = self.name("queue")
        self.channel.queue_declare(name, **arguments)
        self.addCleanup(self.delete_queue, name)
        return name

    def exchange(self, kind, **arguments):
        name = self.name("exchange")
        self.channel.exchange_declare(name, kind, **arguments)
        self.addCleanup(self.delete_exchange, name)
        return name

    def delete_queue(self, name):
        with pika.BlockingConnection(parameters()) as connection:
            connection.channel().queue_delete(name)

    def delete_exchange(self, name):
        with pika.BlockingConnection(parameters()) as connection:
            connection.channel().exchange_delete(name)

    def publish(self, queue, *bodies, channel=None):
        """Publishes to a queue and returns when the broker has confirmed it."""
        connection = self.connection if channel is None else channel.connection
        confirming = connection.channel()
        confirming.confirm_delivery()
        for body in bodies:
            confirming.basic_publish("", queue, body)
        confirming.close()

    def get(self, queue, **arguments):
        """The body of the queue's first message, None if it is empty."""
        return self.channel.basic_get(queue, auto_ack=True, **arguments)[2]

    def arrived(self, queue, seconds=SECONDS_TO_ARRIVE):
        """The queue's first message (method, properties, body), as soon as there is one."""
        end = time.monotonic() + seconds
        while (message := self.channel.basic_get(queue, auto_ack=True))[0] is None:
            self.assertLess(time.monotonic(), end, "no message came")
            self.connection.sleep(0.02)
        return message

    def all_arrived(self, queue, count):
        """The bodies of so many messages, and no more are there."""
        bodies = [self.arrived(queue)[2] for _ in range(count)]
        self.assertIsNone(self.get(queue))
        return bodies

    def wait_for_depth(self, queue, count, seconds=SECONDS_TO_ARRIVE):
        end = time.monotonic() + seconds
        while (depth := self.depth(queue)) != count:
            self.assertLess(time.monotonic(), end, f"{depth} messages are there and not {count}")
            self.connection.sleep(0.02)

    def drain(self, queue):
        bodies = []
        while (body := self.get(queue)) is not None:
            bodies.append(body)
        return bodies

    def depth(self, queue):
        return self.channel.queue_declare(queue, passive=True).method.message_count

    @contextlib.contextmanager
    def channel_error(self, code, text, channel=None):
        """The broker closes the channel with exactly this, and the connection goes on."""
        with self.assertRaises(ChannelClosedByBroker) as caught:
            yield
        self.assertEqual((code, cut(text)), (caught.exception.reply_code, caught.exception.reply_text))
        connection = (channel or self.channel).connection
        self.assertTrue(connection.is_open)
        self.channel = connection.channel() if channel is None else self.channel

    @contextlib.contextmanager
    def connection_error(self, code, text):
        with self.assertRaises(ConnectionClosedByBroker) as caught:
            yield
        self.assertEqual((code, text), (caught.exception.reply_code, caught.exception.reply_text))

    def wait_until(self, condition, connection=None, seconds=SECONDS_TO_ARRIVE):
        """Serves the connection's events until the condition holds."""
        connection = connection or self.connection
        end = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), end, "it did not come to pass")
            connection.process_data_events(time_limit=0.02)

    def serve(self, seconds, connection=None):
        """Serves the connection's events for a while, so that what should not come has time to come."""
        connection = connection or self.connection
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            connection.process_data_events(time_limit=0.02)


class DeadLetterCase(BrokerCase):
    """A test with a dead letter exchange, the queue `dead` of what comes there, and a channel with confirms to publish on."""

    def setUp(self):
        super().setUp()
        self.dlx = self.exchange("fanout")
        self.dead = self.queue()
        self.channel.queue_bind(self.dead, self.dlx)
        self.sender = self.connection.channel()
        self.sender.confirm_delivery()

    def source(self, dlx=None, key=None, **rules):
        """A queue with a dead letter exchange, this test's own if none is named, and rules (`message_ttl=0`)."""
        arguments = {"x-dead-letter-exchange": self.dlx if dlx is None else dlx}
        if key is not None:
            arguments["x-dead-letter-routing-key"] = key
        arguments |= {f"x-{name.replace('_', '-')}": value for name, value in rules.items()}
        return self.queue(arguments=arguments)

    def send(self, queue, body=b"x", **properties):
        """Publishes to a queue and returns when the broker has confirmed it."""
        self.sender.basic_publish("", queue, body, pika.BasicProperties(**properties))

    def reject(self, queue):
        """Takes the queue's first message and rejects it."""
        method = self.take(queue)
        self.channel.basic_reject(method.delivery_tag, requeue=False)

    def take(self, queue):
        self.wait_until(lambda: self.depth(queue) > 0)
        return self.channel.basic_get(queue)[0]

    def assert_nothing_comes(self, *queues):
        self.serve(0.3)
        self.assertEqual([0] * len(queues), [self.depth(queue) for queue in queues])

    def deaths(self, properties):
        """Queue, reason and count of each death, the latest first."""
        return [(death["queue"], death["reason"], death["count"]) for death in properties.headers["x-death"]]

    def assert_deaths(self, expected, properties):
        deaths = self.deaths(properties)
        if not self.has_mc():
            # Those before the latest come in any order.
            expected, deaths = (each[:1] + sorted(each[1:]) for each in [expected, deaths])
        self.assertEqual(expected, deaths)

    def has_mc(self):
        """Whether deaths are recorded as since RabbitMQ 3.13."""
        return self.server_version() >= (3, 13)


class Consumer:
    """Keeps what a consumer gets."""

    def __init__(self, channel, queue, auto_ack=False, **arguments):
        self.channel = channel
        self.messages = []
        self.tag = channel.basic_consume(queue, self.receive, auto_ack=auto_ack, **arguments)

    def receive(self, _channel, method, properties, body):
        self.messages.append((method, properties, body))

    @property
    def bodies(self):
        return [body for _, _, body in self.messages]

    @property
    def tags(self):
        return [method.delivery_tag for method, _, _ in self.messages]

    def ack(self, index=-1, multiple=False):
        self.channel.basic_ack(self.tags[index], multiple=multiple)


def cut(text):
    """A reply text has room for 255 bytes; RabbitMQ ends a longer one with dots."""
    return text if len(text) <= 255 else text[:252] + "..."


def numbered(count, what="message"):
    return [f"{what} {number}".encode() for number in range(count)]
