"""Connections and channels: negotiation, many channels, heartbeats, who is let in, and how they end."""

import time
import unittest

import pika
from pika.exceptions import ProbableAccessDeniedError, ProbableAuthenticationError

from support import BrokerCase, numbered, parameters


class Negotiation(BrokerCase):
    CAPABILITIES = [
        "publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify", "connection.blocked",
        "consumer_priorities", "authentication_failure_close", "per_consumer_qos", "direct_reply_to"]

    def test_the_server_introduces_itself(self):
        properties = self.connection._impl.server_properties
        self.assertEqual({name: True for name in self.CAPABILITIES}, properties["capabilities"])
        self.assertEqual("RabbitMQ", properties["product"])
        for name in ["cluster_name", "copyright", "information", "platform", "version"]:
            self.assertIsInstance(properties[name], str, name)

    def test_the_server_offers_its_limits(self):
        tuned = self.connection._impl.params
        self.assertEqual((131_072, 2047), (tuned.frame_max, tuned.channel_max))

    def test_a_client_may_ask_for_less(self):
        channel = self.connect(frame_max=8192, channel_max=3).channel()
        channel.queue_declare("", exclusive=True)

    def test_amqplain_is_accepted_too(self):
        credentials = pika.PlainCredentials("guest", "guest")
        credentials.TYPE = "AMQPLAIN"
        credentials.response_for = lambda start: ("AMQPLAIN", b"\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x05guest")
        self.connect(credentials=credentials).channel().queue_declare("", exclusive=True)


class Admission(BrokerCase):
    def test_a_wrong_password_is_refused_in_words(self):
        began = time.monotonic()
        for user, password in [("guest", "wrong"), ("nobody", "guest"), ("", "")]:
            with self.assertRaises(ProbableAuthenticationError) as caught:
                self.connect(credentials=pika.PlainCredentials(user, password))
            text = str(caught.exception)
            self.assertIn("(403)", text)
            self.assertIn("ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.", text)
        self.assertLess(time.monotonic() - began, 8)

    def test_an_unknown_vhost_is_refused(self):
        with self.assertRaises(ProbableAccessDeniedError) as caught:
            self.connect(virtual_host="no-such-vhost")
        self.assertIn("530", str(caught.exception))
        self.assertIn("NOT_ALLOWED - ", str(caught.exception))
        self.assertIn("no-such-vhost", str(caught.exception))


class Channels(BrokerCase):
    def test_two_hundred_channels_share_a_connection(self):
        channels = [self.connection.channel() for _ in range(200)]
        queues = [channel.queue_declare("", exclusive=True).method.queue for channel in channels]
        for number, channel in enumerate(channels):
            channel.basic_publish("", queues[-1 - number], str(number).encode())
        for number, channel in enumerate(channels):
            channel.queue_declare(queues[number], passive=True)
        # Nothing orders what two channels do: each message has come when a confirm behind it has.
        for channel in channels:
            channel.confirm_delivery()
            channel.basic_publish("", self.name("nowhere"), b"")
        got = [channel.basic_get(queue, auto_ack=True)[2] for channel, queue in zip(channels, queues)]
        self.assertEqual([str(199 - number).encode() for number in range(200)], got)

    def test_a_channel_number_is_used_again(self):
        queue = self.queue()
        for number in range(300):
            channel = self.connection.channel(7)
            channel.basic_publish("", queue, str(number).encode())
            channel.close()
        self.assertEqual([str(number).encode() for number in range(300)], self.drain(queue))

    def test_a_channel_number_is_used_again_after_an_error(self):
        for _ in range(20):
            channel = self.connection.channel(7)
            with self.channel_error(404, "NOT_FOUND - no queue 'no such queue' in vhost '/'", channel):
                channel.queue_declare("no such queue", passive=True)

    def test_an_error_of_one_channel_leaves_the_others_alone(self):
        queue = self.queue()
        other = self.connection.channel()
        self.publish(queue, *numbered(2))
        held = self.channel.basic_get(queue)[0]
        with self.channel_error(404, "NOT_FOUND - no queue 'no such queue' in vhost '/'", other):
            other.queue_declare("no such queue", passive=True)
        self.channel.basic_ack(held.delivery_tag)
        self.assertEqual([numbered(2)[1]], self.drain(queue))

    def test_flow_on_is_answered(self):
        self.assertTrue(self.channel.flow(True))


class Heartbeats(BrokerCase):
    def test_an_idle_connection_with_heartbeats_stays(self):
        queue = self.shared_queue()
        idle = self.connect(heartbeat=2)
        channel = idle.channel()
        self.assertEqual(2, idle._impl.params.heartbeat)
        self.serve(6.5, idle)
        self.assertTrue(idle.is_open)
        channel.basic_publish("", queue, b"still here")
        channel.queue_declare(queue, passive=True)
        self.assertEqual(b"still here", self.get(queue))

    def test_a_client_may_do_without(self):
        idle = self.connect(heartbeat=0)
        self.serve(0.5, idle)
        self.assertTrue(idle.is_open)


class Ending(BrokerCase):
    def test_a_close_is_answered(self):
        for _ in range(100):
            connection = pika.BlockingConnection(parameters())
            connection.channel().queue_declare("", exclusive=True)
            connection.close()

    def test_what_was_published_before_the_close_has_arrived(self):
        queue = self.shared_queue()
        publishing = self.connect()
        channel = publishing.channel()
        for body in numbered(1000):
            channel.basic_publish("", queue, body)
        publishing.close()
        self.assertEqual(1000, self.depth(queue))
        self.assertEqual(numbered(1000), self.drain(queue))

    def test_what_was_published_before_the_channel_close_has_arrived(self):
        queue = self.queue()
        channel = self.connection.channel()
        for body in numbered(1000):
            channel.basic_publish("", queue, body)
        channel.close()
        self.assertEqual(1000, self.depth(queue))


if __name__ == "__main__":
    unittest.main()
