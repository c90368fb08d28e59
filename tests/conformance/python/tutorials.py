"""What RabbitMQ's first four tutorials do, each with producer and consumer on connections of their own."""

import subprocess
import sys
import unittest

import pika

from support import BrokerCase, Consumer, numbered


class HelloWorld(BrokerCase):
    """Tutorial 1: one producer, one queue, one consumer."""

    def test_a_message_reaches_the_consumer(self):
        queue = self.shared_queue()
        receiving = self.connect()
        consumer = Consumer(receiving.channel(), queue, auto_ack=True)
        self.channel.basic_publish(exchange="", routing_key=queue, body="Hello World!")
        self.wait_until(lambda: consumer.messages, receiving)
        self.assertEqual([b"Hello World!"], consumer.bodies)
        method = consumer.messages[0][0]
        self.assertEqual(("", queue, False, 1), (method.exchange, method.routing_key, method.redelivered, method.delivery_tag))

    def test_a_message_sent_before_its_consumer_waits_for_it(self):
        queue = self.shared_queue()
        self.channel.basic_publish("", queue, b"early")
        receiving = self.connect()
        consumer = Consumer(receiving.channel(), queue, auto_ack=True)
        self.wait_until(lambda: consumer.messages, receiving)
        self.assertEqual([b"early"], consumer.bodies)


class WorkQueues(BrokerCase):
    """Tutorial 2: tasks among workers, acknowledged, durable, one at a time."""

    def setUp(self):
        super().setUp()
        self.tasks = self.shared_queue(durable=True)

    def send(self, *tasks):
        for task in tasks:
            persistent = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)
            self.channel.basic_publish(exchange="", routing_key=self.tasks, body=task, properties=persistent)

    def worker(self, prefetch_count=1):
        connection = self.connect()
        channel = connection.channel()
        channel.queue_declare(queue=self.tasks, durable=True)
        channel.basic_qos(prefetch_count=prefetch_count)
        return connection, Consumer(channel, self.tasks)

    def test_tasks_go_round_the_workers(self):
        (one_connection, one), (two_connection, two) = self.worker(100), self.worker(100)
        self.send(*numbered(10))
        self.wait_until(lambda: len(one.messages) == 5, one_connection)
        self.wait_until(lambda: len(two.messages) == 5, two_connection)
        self.assertEqual(sorted(numbered(10)), sorted(one.bodies + two.bodies))
        self.assertEqual(sorted(one.bodies), one.bodies)

    def test_a_busy_worker_gets_no_second_task(self):
        (busy_connection, busy), (free_connection, free) = self.worker(), self.worker()
        self.send(*numbered(6))
        self.wait_until(lambda: busy.messages, busy_connection)
        for done in range(1, 6):
            self.wait_until(lambda: len(free.messages) == done, free_connection)
            free.ack()
        self.serve(0.2, busy_connection)
        self.serve(0.2, free_connection)
        self.assertEqual((1, 5), (len(busy.messages), len(free.messages)))

    def test_a_persistent_message_says_so(self):
        connection, worker = self.worker()
        self.send(b"task")
        self.wait_until(lambda: worker.messages, connection)
        self.assertEqual(2, worker.messages[0][1].delivery_mode)

    def test_the_tasks_of_a_dead_worker_go_to_another(self):
        self.send(*numbered(3))
        doomed = subprocess.Popen([sys.executable, "-c", DOOMED_WORKER, self.tasks], stdout=subprocess.PIPE)
        self.assertEqual(b"has three, has acknowledged one\n", doomed.stdout.readline())
        doomed.kill()
        doomed.communicate()
        connection, heir = self.worker(3)
        self.wait_until(lambda: len(heir.messages) == 2, connection)
        self.assertEqual(numbered(3)[1:], heir.bodies)
        self.assertTrue(all(method.redelivered for method, _, _ in heir.messages))


DOOMED_WORKER = """
import sys, time, pika
from support import parameters
channel = pika.BlockingConnection(parameters()).channel()
channel.basic_qos(prefetch_count=3)
tags = []
for method, _, body in channel.consume(sys.argv[1]):
    tags.append(method.delivery_tag)
    if len(tags) == 3:
        break
channel.basic_ack(tags[0])
channel.connection.process_data_events(time_limit=0.2)
print("has three, has acknowledged one", flush=True)
time.sleep(60)
"""


class PublishSubscribe(BrokerCase):
    """Tutorial 3: every subscriber gets every message."""

    def setUp(self):
        super().setUp()
        self.logs = self.exchange("fanout")

    def subscriber(self):
        connection = self.connect()
        channel = connection.channel()
        queue = channel.queue_declare(queue="", exclusive=True).method.queue
        channel.queue_bind(exchange=self.logs, queue=queue)
        return connection, Consumer(channel, queue, auto_ack=True)

    def test_all_subscribers_get_all_messages_in_order(self):
        subscribers = [self.subscriber() for _ in range(3)]
        for body in numbered(100):
            self.channel.basic_publish(exchange=self.logs, routing_key="", body=body)
        for connection, subscriber in subscribers:
            self.wait_until(lambda: len(subscriber.messages) == 100, connection)
            self.assertEqual(numbered(100), subscriber.bodies)
            self.assertEqual(self.logs, subscriber.messages[0][0].exchange)

    def test_what_nobody_subscribed_to_is_gone(self):
        self.channel.basic_publish(self.logs, "", b"to nobody")
        connection, subscriber = self.subscriber()
        self.channel.basic_publish(self.logs, "", b"to somebody")
        self.wait_until(lambda: subscriber.messages, connection)
        self.serve(0.1, connection)
        self.assertEqual([b"to somebody"], subscriber.bodies)

    def test_the_server_names_queues(self):
        names = {self.channel.queue_declare("", exclusive=True).method.queue for _ in range(10)}
        self.assertEqual(10, len(names))
        self.assertTrue(all(name.startswith("amq.gen-") for name in names))


class Routing(BrokerCase):
    """Tutorial 4: subscribers name the severities they want."""

    def setUp(self):
        super().setUp()
        self.logs = self.exchange("direct")

    def subscriber(self, *severities):
        connection = self.connect()
        channel = connection.channel()
        queue = channel.queue_declare(queue="", exclusive=True).method.queue
        for severity in severities:
            channel.queue_bind(exchange=self.logs, queue=queue, routing_key=severity)
        return connection, Consumer(channel, queue, auto_ack=True)

    def test_each_gets_the_severities_it_named(self):
        everything_connection, everything = self.subscriber("info", "warning", "error")
        errors_connection, errors = self.subscriber("error")
        for severity in ["info", "error", "debug", "warning", "error"]:
            self.channel.basic_publish(exchange=self.logs, routing_key=severity, body=severity)
        self.wait_until(lambda: len(everything.messages) == 4, everything_connection)
        self.wait_until(lambda: len(errors.messages) == 2, errors_connection)
        self.serve(0.1, everything_connection)
        self.assertEqual([b"info", b"error", b"warning", b"error"], everything.bodies)
        self.assertEqual([b"error", b"error"], errors.bodies)
        self.assertEqual("error", errors.messages[0][0].routing_key)

    def test_orange_goes_to_one_and_black_and_green_to_the_other(self):
        orange_connection, orange = self.subscriber("orange")
        other_connection, black_and_green = self.subscriber("black", "green")
        for colour in ["green", "orange", "white", "black", "orange"]:
            self.channel.basic_publish(exchange=self.logs, routing_key=colour, body=colour)
        self.wait_until(lambda: len(orange.messages) == 2, orange_connection)
        self.wait_until(lambda: len(black_and_green.messages) == 2, other_connection)
        self.serve(0.1, other_connection)
        self.assertEqual([b"orange", b"orange"], orange.bodies)
        self.assertEqual([b"green", b"black"], black_and_green.bodies)

    def test_two_queues_may_be_bound_with_the_same_key(self):
        subscribers = [self.subscriber("black"), self.subscriber("black", "green")]
        self.channel.basic_publish(exchange=self.logs, routing_key="black", body=b"to both")
        for connection, subscriber in subscribers:
            self.wait_until(lambda: subscriber.messages, connection)
            self.serve(0.1, connection)
            self.assertEqual([b"to both"], subscriber.bodies)


if __name__ == "__main__":
    unittest.main()
