"""Direct reply-to: an RPC client gets its answers without a queue of its own."""

import time
import unittest

import pika

from support import BrokerCase, Consumer

PSEUDO = "amq.rabbitmq.reply-to"


class Rpc(BrokerCase):
    """The server is that of RabbitMQ's tutorial 6 and knows nothing of direct replies."""

    def setUp(self):
        super().setUp()
        self.requests = self.shared_queue()
        self.answers = Consumer(self.channel, PSEUDO, auto_ack=True)

    def serve_requests(self, connection):
        channel = connection.channel()

        def answer(channel, method, properties, body):
            reply = pika.BasicProperties(correlation_id=properties.correlation_id)
            channel.basic_publish("", properties.reply_to, body.upper(), reply)
            channel.basic_ack(method.delivery_tag)

        channel.basic_consume(self.requests, answer)

    def call(self, body, correlation_id, reply_to=PSEUDO, channel=None, **properties):
        properties = pika.BasicProperties(reply_to=reply_to, correlation_id=correlation_id, **properties)
        (channel or self.channel).basic_publish("", self.requests, body, properties)

    def test_each_call_gets_its_answer(self):
        servers = [self.connect() for _ in range(3)]
        for server in servers:
            self.serve_requests(server)
        for number in range(60):
            self.call(f"call {number}".encode(), str(number))
        end = time.monotonic() + 10
        while len(self.answers.messages) < 60 and time.monotonic() < end:
            for connection in [*servers, self.connection]:
                connection.process_data_events(time_limit=0.01)
        answers = {properties.correlation_id: body for _, properties, body in self.answers.messages}
        self.assertEqual({str(n): f"CALL {n}".encode() for n in range(60)}, answers)
        method = self.answers.messages[0][0]
        self.assertEqual(("", False), (method.exchange, method.redelivered))
        self.assertTrue(method.routing_key.startswith(PSEUDO + "."))

    def test_clients_do_not_get_each_others_answers(self):
        server = self.connect()
        self.serve_requests(server)
        clients = []
        for _ in range(4):
            connection = self.connect()
            channel = connection.channel()
            clients.append((connection, channel, Consumer(channel, PSEUDO, auto_ack=True)))
        for number, (_, channel, _) in enumerate(clients):
            self.call(b"client %d" % number, "same", channel=channel)
        end = time.monotonic() + 10
        while any(not consumer.messages for _, _, consumer in clients) and time.monotonic() < end:
            for connection in [server] + [connection for connection, _, _ in clients]:
                connection.process_data_events(time_limit=0.01)
        self.assertEqual([[b"CLIENT %d" % n] for n in range(4)], [consumer.bodies for _, _, consumer in clients])

    def test_nothing_of_the_request_changes_but_its_reply_to(self):
        for size in [0, 10, 300_000]:
            self.call(bytes(size), "7", message_id="m", headers={"h": [1, {"k": "v"}]}, app_id="app", delivery_mode=2)
            self.wait_until(lambda: self.channel.queue_declare(self.requests, passive=True).method.message_count)
            _, properties, body = self.channel.basic_get(self.requests, auto_ack=True)
            self.assertEqual(bytes(size), body)
            expected = ("7", "m", {"h": [1, {"k": "v"}]}, "app", 2)
            got = properties.correlation_id, properties.message_id, properties.headers, properties.app_id, properties.delivery_mode
            self.assertEqual(expected, got)
            self.assertTrue(properties.reply_to.startswith(PSEUDO + "."))

    def test_another_reply_to_stays_as_it_is(self):
        for reply_to in ["some-queue", PSEUDO + ".x", PSEUDO + "x"]:
            self.call(b"x", "1", reply_to=reply_to)
            self.wait_until(lambda: self.channel.queue_declare(self.requests, passive=True).method.message_count)
            self.assertEqual(reply_to, self.channel.basic_get(self.requests, auto_ack=True)[1].reply_to)

    def name_for_replies(self):
        self.call(b"x", "1")
        self.wait_until(lambda: self.channel.queue_declare(self.requests, passive=True).method.message_count)
        return self.channel.basic_get(self.requests, auto_ack=True)[1].reply_to

    def test_a_server_asks_whether_its_client_is_still_there(self):
        name = self.name_for_replies()
        for _ in range(4):
            other = self.connect().channel()
            method = other.queue_declare(name, passive=True).method
            self.assertEqual((name, 0, 1), (method.queue, method.message_count, method.consumer_count))
        self.channel.basic_cancel(self.answers.tag)
        with self.channel_error(404, f"NOT_FOUND - no queue '{name}' in vhost '/'", other):
            other.queue_declare(name, passive=True)

    def test_a_name_ends_with_its_consumer(self):
        """And a new consumer on the same channel gets a new one."""
        old = self.name_for_replies()
        self.channel.basic_cancel(self.answers.tag)
        self.answers = Consumer(self.channel, PSEUDO, auto_ack=True)
        new = self.name_for_replies()
        self.assertNotEqual(old, new)
        other = self.connect().channel()
        other.basic_publish("", old, b"late")
        other.basic_publish("", new, b"in time")
        self.wait_until(lambda: self.answers.messages)
        self.serve(0.2)
        self.assertEqual([b"in time"], self.answers.bodies)

    def test_a_name_that_was_made_up_leads_nowhere(self):
        name = self.name_for_replies()
        other = self.connect().channel()
        forged = [name[:-2] + ("AA" if name[-2:] != "AA" else "BA"), name + "A", name[:-1], PSEUDO + ".", PSEUDO + ".x"]
        for key in forged:
            other.basic_publish("", key, b"forged")
        other.basic_publish("", name, b"real")
        self.wait_until(lambda: self.answers.messages)
        self.serve(0.2)
        self.assertEqual([b"real"], self.answers.bodies)

    def test_replies_are_confirmed_and_mandatory_ones_come_back_all_the_same(self):
        """No queue took them; the client has them nevertheless."""
        name = self.name_for_replies()
        other = self.connect().channel()
        returned = []
        other.add_on_return_callback(lambda _channel, method, _properties, body: returned.append((method.reply_code, body)))
        other.basic_publish("", name, b"mandatory", mandatory=True)
        self.wait_until(lambda: returned, other.connection)
        self.wait_until(lambda: self.answers.messages)
        self.assertEqual(([(312, b"mandatory")], [b"mandatory"]), (returned, self.answers.bodies))
        other.confirm_delivery()
        other.basic_publish("", name, b"confirmed")
        self.wait_until(lambda: len(self.answers.messages) == 2)

    def test_replies_of_any_size_arrive(self):
        name = self.name_for_replies()
        bodies = [bytes([size % 256]) * size for size in [0, 1, 70_000, 3_000_000]]
        for other in [self.connect().channel() for _ in range(3)]:
            for body in bodies:
                other.basic_publish("", name, body)
            self.wait_until(lambda: len(self.answers.messages) == len(bodies))
            self.assertEqual(bodies, self.answers.bodies)
            self.answers.messages.clear()

    def test_a_client_that_went_is_missed_by_nobody(self):
        connection = self.connect()
        channel = connection.channel()
        Consumer(channel, PSEUDO, auto_ack=True)
        self.call(b"x", "1", channel=channel)
        self.wait_until(lambda: self.channel.queue_declare(self.requests, passive=True).method.message_count)
        name = self.channel.basic_get(self.requests, auto_ack=True)[1].reply_to
        connection.close()
        self.channel.confirm_delivery()
        self.channel.basic_publish("", name, b"late")


class PseudoQueue(BrokerCase):
    def test_declaring_it_is_a_question(self):
        for passive in [True, False]:
            method = self.channel.queue_declare(PSEUDO, passive=passive).method
            self.assertEqual((PSEUDO, 0, 1), (method.queue, method.message_count, method.consumer_count))
            for name in [PSEUDO + ".bogus", PSEUDO + "xyz"]:
                with self.channel_error(404, f"NOT_FOUND - no queue '{name}' in vhost '/'"):
                    self.channel.queue_declare(name, passive=passive)

    def test_it_is_no_queue_otherwise(self):
        calls = [
            lambda channel: channel.queue_bind(PSEUDO, "amq.direct", "k"),
            lambda channel: channel.queue_purge(PSEUDO),
            lambda channel: channel.basic_get(PSEUDO),
        ]
        for call in calls:
            with self.channel_error(404, f"NOT_FOUND - no queue '{PSEUDO}' in vhost '/'"):
                call(self.channel)
        self.assertEqual(0, self.channel.queue_delete(PSEUDO).method.message_count)

    def test_its_consumer_cannot_acknowledge(self):
        with self.channel_error(406, "PRECONDITION_FAILED - reply consumer cannot acknowledge"):
            self.channel.basic_consume(PSEUDO, print)

    def test_a_channel_has_one_such_consumer(self):
        self.channel.basic_consume(PSEUDO, print, auto_ack=True)
        with self.channel_error(406, "PRECONDITION_FAILED - reply consumer already set"):
            self.channel.basic_consume(PSEUDO, print, auto_ack=True)
        self.channel.basic_consume(PSEUDO, print, auto_ack=True)

    def test_a_request_needs_the_consumer(self):
        with self.channel_error(406, "PRECONDITION_FAILED - fast reply consumer does not exist"):
            self.channel.basic_publish("", "anywhere", b"x", pika.BasicProperties(reply_to=PSEUDO))
            self.channel.basic_qos()


if __name__ == "__main__":
    unittest.main()
