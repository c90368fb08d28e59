"""What RabbitMQ's later tutorials do: topics, remote procedure calls, publisher confirms."""

import unittest
import uuid

import pika
from pika.exceptions import UnroutableError

from support import BrokerCase, Consumer, numbered, parameters


class Topics(BrokerCase):
    """Tutorial 5: subscribers name patterns of words. Keys are <speed>.<colour>.<species>."""

    def setUp(self):
        super().setUp()
        self.animals = self.exchange("topic")
        self.fruits, self.rest = self.bound("*.orange.*"), self.bound("*.*.rabbit", "lazy.#")

    def bound(self, *patterns):
        queue = self.queue()
        for pattern in patterns:
            self.channel.queue_bind(exchange=self.animals, queue=queue, routing_key=pattern)
        return queue

    def reached(self, key):
        """The keys of what the two queues hold after a message with this one."""
        self.channel.basic_publish(exchange=self.animals, routing_key=key, body=key)
        return [body.decode() for body in self.drain(self.fruits)], [body.decode() for body in self.drain(self.rest)]

    def test_the_keys_of_the_tutorial_go_where_it_says(self):
        both, first, second, nobody = (1, 1), (1, 0), (0, 1), (0, 0)
        for key, (orange, rest) in [
            ("quick.orange.rabbit", both),
            ("lazy.orange.elephant", both),
            ("quick.orange.fox", first),
            ("lazy.brown.fox", second),
            ("lazy.pink.rabbit", second),  # Both bindings of the queue match: it comes once.
            ("quick.brown.fox", nobody),
            ("orange", nobody),
            ("quick.orange.new.rabbit", nobody),
            ("lazy.orange.new.rabbit", second),
        ]:
            self.assertEqual(([key] * orange, [key] * rest), self.reached(key), key)

    def test_what_matches_nothing_is_dropped_or_comes_back(self):
        self.channel.confirm_delivery()
        self.channel.basic_publish(self.animals, "quick.brown.fox", b"dropped")
        with self.assertRaises(UnroutableError):
            self.channel.basic_publish(self.animals, "quick.brown.fox", b"comes back", mandatory=True)
        self.assertEqual(([], []), (self.drain(self.fruits), self.drain(self.rest)))

    def test_a_hash_alone_gets_everything_as_from_a_fanout(self):
        everything = self.bound("#")
        keys = ["", "lazy", "quick.orange.rabbit", "a.b.c.d.e.f", "..", "a."]
        for key in keys:
            self.channel.basic_publish(self.animals, key, key)
        self.assertEqual([key.encode() for key in keys], self.drain(everything))

    def test_without_wildcards_it_is_a_direct_exchange(self):
        exact = self.bound("quick.brown.fox")
        for key in ["quick.brown.fox", "quick.brown", "quick.brown.fox.cub", "brown.fox"]:
            self.channel.basic_publish(self.animals, key, key)
        self.assertEqual([b"quick.brown.fox"], self.drain(exact))

    def test_an_unbound_pattern_matches_no_more(self):
        self.channel.queue_unbind(self.rest, self.animals, "*.*.rabbit")
        self.assertEqual(([], []), self.reached("quick.white.rabbit"))
        self.assertEqual(([], ["lazy.white.rabbit"]), self.reached("lazy.white.rabbit"))


class RemoteProcedureCall(BrokerCase):
    """Tutorial 6: a server answers requests to the queue and with the correlation id that they name."""

    def setUp(self):
        super().setUp()
        self.requests = self.shared_queue()

    def server(self):
        connection = self.connect()
        channel = connection.channel()
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(queue=self.requests, on_message_callback=self.serve_request)
        return connection

    def serve_request(self, channel, method, properties, body):
        answer = pika.BasicProperties(correlation_id=properties.correlation_id)
        channel.basic_publish("", properties.reply_to, str(fibonacci(int(body))), answer)
        channel.basic_ack(method.delivery_tag)

    def caller(self):
        connection = self.connect()
        channel = connection.channel()
        callbacks = channel.queue_declare(queue="", exclusive=True).method.queue
        return connection, Consumer(channel, callbacks, auto_ack=True), callbacks

    def call(self, caller, number):
        _, consumer, callbacks = caller
        correlation_id = str(uuid.uuid4())
        properties = pika.BasicProperties(reply_to=callbacks, correlation_id=correlation_id)
        consumer.channel.basic_publish("", self.requests, str(number), properties)
        return correlation_id

    def answers(self, caller, count, servers):
        connection, consumer, _ = caller

        def all_arrived():
            for server in servers:
                server.process_data_events(time_limit=0)
            return len(consumer.messages) == count

        self.wait_until(all_arrived, connection)
        return {properties.correlation_id: int(body) for _, properties, body in consumer.messages}

    def test_a_call_is_answered(self):
        server, caller = self.server(), self.caller()
        call = self.call(caller, 30)
        self.assertEqual({call: 832_040}, self.answers(caller, 1, [server]))

    def test_each_answer_belongs_to_its_call(self):
        servers, caller = [self.server(), self.server()], self.caller()
        calls = {self.call(caller, number): fibonacci(number) for number in range(20)}
        self.assertEqual(calls, self.answers(caller, 20, servers))

    def test_each_caller_gets_its_own_answers(self):
        server, one, two = self.server(), self.caller(), self.caller()
        of_one, of_two = self.call(one, 7), self.call(two, 8)
        self.assertEqual({of_one: 13}, self.answers(one, 1, [server]))
        self.assertEqual({of_two: 21}, self.answers(two, 1, [server]))

    def test_an_answer_to_a_caller_that_is_gone_is_dropped(self):
        server, gone, caller = self.server(), self.caller(), self.caller()
        self.call(gone, 5)
        gone[0].close()
        call = self.call(caller, 6)
        self.assertEqual({call: 8}, self.answers(caller, 1, [server]))


def fibonacci(number):
    current, following = 0, 1
    for _ in range(number):
        current, following = following, current + following
    return current


class PublisherConfirms(BrokerCase):
    """Tutorial 7: three ways to wait for confirms."""

    COUNT = 500

    def test_one_message_at_a_time(self):
        queue = self.shared_queue()
        self.channel.confirm_delivery()
        for body in numbered(50):
            self.channel.basic_publish("", queue, body)
            self.assertEqual(body, self.get(queue), "what is confirmed is in the queue")

    def test_a_batch_at_a_time(self):
        queue, bodies = self.shared_queue(), numbered(self.COUNT)

        def publish_a_batch(publisher):
            if bodies:
                publisher.publish(queue, *bodies[:100])
                del bodies[:100]
            else:
                publisher.stop()

        publisher = AsyncPublisher(publish_a_batch)
        publisher.run()
        self.assertEqual((self.COUNT, set(), 6), (publisher.confirmed, publisher.outstanding, publisher.rounds))
        self.assertEqual(numbered(self.COUNT), self.drain(queue))

    def test_confirms_come_when_they_come(self):
        queue = self.shared_queue()

        def publish_everything(publisher):
            if publisher.confirmed == 0:
                publisher.publish(queue, *numbered(self.COUNT))
            else:
                publisher.stop()

        publisher = AsyncPublisher(publish_everything)
        publisher.run()
        self.assertEqual((self.COUNT, set()), (publisher.confirmed, publisher.outstanding))
        self.assertEqual(numbered(self.COUNT), self.drain(queue))


class AsyncPublisher:
    """Calls `when_idle` whenever no confirm is outstanding, until it calls `stop`."""

    def __init__(self, when_idle):
        self.when_idle = when_idle
        self.seqno = self.confirmed = 0
        self.outstanding = set()
        self.rounds = 0
        self.failure = None
        self.connection = pika.SelectConnection(
            parameters(), on_open_callback=self.opened, on_open_error_callback=self.failed, on_close_callback=self.closed)

    def run(self):
        self.connection.ioloop.call_later(60, lambda: self.failed(self.connection, "it took too long"))
        self.connection.ioloop.start()
        if self.failure:
            raise AssertionError(self.failure)

    def opened(self, connection):
        connection.channel(on_open_callback=self.channel_opened)

    def channel_opened(self, channel):
        self.channel = channel
        channel.confirm_delivery(self.settled, callback=lambda _: self.idle())

    def idle(self):
        self.rounds += 1
        self.when_idle(self)

    def publish(self, queue, *bodies):
        for body in bodies:
            self.channel.basic_publish("", queue, body)
            self.seqno += 1
            self.outstanding.add(self.seqno)

    def settled(self, frame):
        if not isinstance(frame.method, pika.spec.Basic.Ack):
            return self.failed(self.connection, f"not confirmed: {frame}")
        tag = frame.method.delivery_tag
        confirmed = {seqno for seqno in self.outstanding if seqno <= tag} if frame.method.multiple else {tag}
        if not confirmed <= self.outstanding:
            return self.failed(self.connection, f"confirmed and not outstanding: {frame}")
        self.outstanding -= confirmed
        self.confirmed += len(confirmed)
        if not self.outstanding:
            self.idle()

    def stop(self):
        self.connection.close()

    def closed(self, connection, _reason):
        connection.ioloop.stop()

    def failed(self, connection, why):
        self.failure = why
        connection.ioloop.stop()


if __name__ == "__main__":
    unittest.main()
