"""Expiry: messages that leave when their time is up, and queues that leave when nobody uses them."""

import time
import unittest

import pika
from pika.exceptions import UnroutableError

from support import BrokerCase, Consumer, numbered

LONG = 600_000
# So long that nothing expires while a busy machine is on its way to look, so short that one can wait for it.
A_WHILE = 1_500


class ExpiryCase(BrokerCase):
    def setUp(self):
        super().setUp()
        self.sender = self.connection.channel()
        self.sender.confirm_delivery()

    def send(self, queue, body=b"x", ttl=None):
        """Publishes to a queue and returns when the broker has confirmed it."""
        properties = pika.BasicProperties(expiration=None if ttl is None else str(ttl))
        self.sender.basic_publish("", queue, body, properties, mandatory=True)

    def ruled(self, **rules):
        """A queue with rules (`message_ttl=50`)."""
        return self.queue(arguments={f"x-{name.replace('_', '-')}": value for name, value in rules.items()})

    def with_letters(self, **rules):
        """A queue with rules, and the queue of its dead letters."""
        dead = self.queue()
        return self.ruled(dead_letter_exchange="", dead_letter_routing_key=dead, **rules), dead


class MessageTtl(ExpiryCase):
    def test_what_is_too_much_is_dropped_before_it_can_expire(self):
        for rules, reason in [({}, "expired"), ({"max_length": 0}, "maxlen"), ({"max_length_bytes": 1}, "maxlen"), ({"max_length": 1}, "expired")]:
            queue, dead = self.with_letters(message_ttl=0, **rules)
            self.send(queue, b"two octets")
            self.assertEqual(reason, self.arrived(dead)[1].headers["x-death"][0]["reason"], rules)

    def test_what_some_queues_drop_at_once_others_keep(self):
        everywhere = self.exchange("fanout")
        dropping = [{"x-message-ttl": 0}, {"x-max-length": 0}]
        names = [self.queue(arguments=dropping[n % 4] if n % 4 < 2 else {}) for n in range(12)]
        for name in names:
            self.channel.queue_bind(name, everywhere)
        bodies = [bytes([n]) * size for n, size in enumerate([3, 100_000, 50, 7, 200_000, 1])]
        for body in bodies:
            self.sender.basic_publish(everywhere, "", body)
        for n, name in enumerate(names):
            self.assertEqual([] if n % 4 < 2 else bodies, self.drain(name), name)

    def test_a_queue_gives_each_message_its_time(self):
        queue = self.ruled(message_ttl=A_WHILE)
        for body in numbered(3):
            self.send(queue, body)
        self.assertEqual(3, self.depth(queue))
        self.wait_for_depth(queue, 0)
        self.assertIsNone(self.get(queue))

    def test_a_message_brings_its_own_time(self):
        queue = self.queue()
        self.send(queue, ttl=A_WHILE)
        self.assertEqual(1, self.depth(queue))
        self.wait_for_depth(queue, 0)

    def test_the_smaller_of_the_two_counts(self):
        for of_queue, of_message in [(50, LONG), (LONG, 50)]:
            with self.subTest(of_queue=of_queue, of_message=of_message):
                queue = self.ruled(message_ttl=of_queue)
                self.send(queue, ttl=of_message)
                self.wait_for_depth(queue, 0)

    def test_until_then_a_message_is_there(self):
        queue = self.ruled(message_ttl=LONG)
        self.send(queue, b"of the queue")
        self.send(queue, b"of its own", ttl=LONG - 1)
        self.serve(0.2)
        self.assertEqual([b"of the queue", b"of its own"], self.drain(queue))

    def test_the_message_still_tells_its_expiration(self):
        queue = self.queue()
        self.send(queue, ttl=LONG)
        self.assertEqual(str(LONG), self.arrived(queue)[1].expiration)

    def test_no_time_at_all_means_now_or_never(self):
        for rules, ttl in [({"message_ttl": 0}, None), ({}, 0)]:
            with self.subTest(rules=rules):
                queue = self.ruled(**rules)
                self.send(queue, b"never", ttl)
                self.wait_for_depth(queue, 0)
                self.assertIsNone(self.get(queue))
                consumer = Consumer(self.channel, queue)
                self.send(queue, b"now", ttl)
                self.wait_until(lambda: consumer.bodies == [b"now"])

    def test_no_time_at_all_does_not_wait_for_a_consumer_that_is_busy(self):
        queue, dead = self.with_letters(message_ttl=0)
        self.channel.basic_qos(prefetch_count=1)
        consumer = Consumer(self.channel, queue)
        self.send(queue, b"first")
        self.wait_until(lambda: consumer.messages)
        self.send(queue, b"second")
        self.assertEqual(b"second", self.arrived(dead)[2])
        consumer.ack()
        self.serve(0.2)
        self.assertEqual([b"first"], consumer.bodies)

    def test_a_consumer_that_comes_too_late_gets_nothing(self):
        queue = self.ruled(message_ttl=50)
        self.send(queue)
        self.serve(0.3)
        consumer = Consumer(self.channel, queue)
        self.serve(0.2)
        self.assertEqual([], consumer.bodies)

    def test_what_expired_is_neither_purged_nor_counted_at_the_deletion(self):
        queue = self.ruled(message_ttl=50)
        self.send(queue)
        self.wait_for_depth(queue, 0)
        self.assertEqual(0, self.channel.queue_purge(queue).method.message_count)
        self.assertEqual(0, self.channel.queue_delete(queue).method.message_count)

    def test_many_messages_leave(self):
        queue, dead = self.with_letters(message_ttl=100)
        self.publish(queue, *numbered(3_000))
        self.wait_for_depth(dead, 3_000, seconds=30)
        self.assertEqual(0, self.depth(queue))
        self.assertEqual(numbered(3_000), self.drain(dead))


class Unacked(ExpiryCase):
    def test_a_message_that_somebody_has_does_not_expire(self):
        for rules, ttl in [({"message_ttl": 50}, None), ({}, 50)]:
            with self.subTest(rules=rules):
                queue, dead = self.with_letters(**rules)
                consumer = Consumer(self.channel, queue)
                self.send(queue, ttl=ttl)
                self.wait_until(lambda: consumer.messages)
                self.serve(0.3)
                self.assertEqual(0, self.depth(dead))
                consumer.ack()
                self.channel.basic_cancel(consumer.tag)
                self.assertEqual((0, 0), (self.depth(queue), self.depth(dead)))

    def held(self, ttl):
        """A message in somebody's hands until after its time: its queue, the dead letters, its tag."""
        queue, dead = self.with_letters()
        consumer = Consumer(self.channel, queue)
        self.send(queue, b"late", ttl)
        self.wait_until(lambda: consumer.messages)
        self.channel.basic_cancel(consumer.tag)
        self.serve(0.3)
        return queue, dead, consumer.tags[0]

    def assert_expired(self, queue, dead):
        _, properties, body = self.arrived(dead)
        self.assertEqual((b"late", "expired"), (body, properties.headers["x-first-death-reason"]))
        self.assertIsNone(self.get(queue))

    def test_it_does_when_it_comes_back(self):
        queue, dead, tag = self.held(ttl=100)
        self.channel.basic_nack(tag, requeue=True)
        self.assert_expired(queue, dead)

    def test_it_does_when_it_comes_back_with_its_channel(self):
        queue, dead, _ = self.held(ttl=100)
        self.channel.close()
        self.channel = self.connection.channel()
        self.assert_expired(queue, dead)

    def test_a_consumer_does_not_get_it_when_it_comes_back(self):
        queue, dead, tag = self.held(ttl=100)
        consumer = Consumer(self.connection.channel(), queue)
        self.channel.basic_nack(tag, requeue=True)
        self.assert_expired(queue, dead)
        self.serve(0.1)
        self.assertEqual([], consumer.bodies)

    def test_coming_back_gives_no_more_time(self):
        queue = self.ruled(message_ttl=2_000)
        sent_at = time.monotonic()
        self.send(queue)
        method = self.channel.basic_get(queue)[0]
        self.serve(1.5)
        self.channel.basic_nack(method.delivery_tag, requeue=True)
        self.wait_for_depth(queue, 0)
        self.assertLess(time.monotonic() - sent_at, 3.4, "it would be 3.5 s with its whole time once more")

    def test_coming_back_takes_no_time_away(self):
        queue = self.ruled(message_ttl=LONG)
        self.send(queue)
        self.channel.basic_nack(self.channel.basic_get(queue)[0].delivery_tag, requeue=True)
        self.serve(0.2)
        self.assertEqual(1, self.depth(queue))


class Behind(ExpiryCase):
    """Behind a message that lives longer. RabbitMQ expires only what stands at the head of its queue."""

    def mixed(self):
        queue, dead = self.with_letters()
        self.send(queue, b"stays")
        self.send(queue, b"goes", ttl=50)
        self.send(queue, b"stays, too", ttl=LONG)
        self.send(queue, b"goes, too", ttl=60)
        self.serve(0.3)
        return queue, dead

    def test_nobody_gets_what_has_expired(self):
        queue, dead = self.mixed()
        self.assertEqual([b"stays", b"stays, too"], self.drain(queue))
        self.assertEqual([b"goes", b"goes, too"], self.all_arrived(dead, 2))

    def test_no_consumer_is_sent_what_has_expired(self):
        queue, dead = self.mixed()
        consumer = Consumer(self.channel, queue, auto_ack=True)
        self.wait_until(lambda: len(consumer.messages) == 2)
        self.serve(0.1)
        self.assertEqual([b"stays", b"stays, too"], consumer.bodies)
        self.assertEqual([b"goes", b"goes, too"], self.all_arrived(dead, 2))

    def test_a_message_leaves_on_time_wherever_it_stands(self):
        if not self.is_haremq():
            self.skipTest("RabbitMQ lets it wait until it stands at the head")
        queue, dead = self.mixed()
        self.assertEqual([b"goes", b"goes, too"], self.all_arrived(dead, 2))
        self.assertEqual(2, self.depth(queue))
        self.assertEqual([b"stays", b"stays, too"], self.drain(queue))

    def test_messages_leave_in_the_order_of_their_times(self):
        if not self.is_haremq():
            self.skipTest("RabbitMQ keeps the order of the queue")
        queue, dead = self.with_letters()
        for ttl in [900, 600, 300]:
            self.send(queue, str(ttl).encode(), ttl)
        self.assertEqual([b"300", b"600", b"900"], self.all_arrived(dead, 3))


class QueueExpires(ExpiryCase):
    """x-expires: without a consumer, and when nobody gets from it or declares it."""

    def is_there(self, queue):
        """A publish finds it and is no use of it."""
        try:
            self.send(queue)
            return True
        except UnroutableError:
            return False

    def wait_until_gone(self, queue):
        self.wait_until(lambda: not self.is_there(queue))
        with self.channel_error(404, f"NOT_FOUND - no queue '{queue}' in vhost '/'"):
            self.depth(queue)

    def use_often(self, use):
        """For twice as long as a queue lives without."""
        end = time.monotonic() + 2 * A_WHILE / 1000
        while time.monotonic() < end:
            use()
            self.serve(0.1)

    def test_a_queue_that_nobody_uses_goes(self):
        queue = self.ruled(expires=A_WHILE)
        self.assertTrue(self.is_there(queue))
        self.wait_until_gone(queue)

    def test_it_goes_with_its_messages_which_leave_no_letters(self):
        queue, dead = self.with_letters(expires=A_WHILE)
        self.send(queue)
        self.wait_until_gone(queue)
        self.serve(0.2)
        self.assertEqual(0, self.depth(dead))

    def test_it_goes_with_its_bindings(self):
        exchange = self.exchange("fanout")
        queue = self.ruled(expires=A_WHILE)
        self.channel.queue_bind(queue, exchange)
        self.wait_until_gone(queue)
        self.channel.exchange_delete(exchange, if_unused=True)

    def test_its_name_is_free_again(self):
        queue = self.ruled(expires=100)
        self.wait_until_gone(queue)
        self.channel.queue_declare(queue, exclusive=True)
        self.serve(0.3)
        self.assertTrue(self.is_there(queue))

    def test_it_does_not_go_while_it_has_a_consumer(self):
        queue = self.ruled(expires=100)
        consumer = Consumer(self.channel, queue, auto_ack=True)
        self.serve(0.5)
        self.assertTrue(self.is_there(queue))
        self.channel.basic_cancel(consumer.tag)
        self.wait_until_gone(queue)

    def test_its_time_begins_anew_when_the_last_consumer_leaves(self):
        queue = self.ruled(expires=A_WHILE)
        consumer = Consumer(self.channel, queue, auto_ack=True)
        self.serve(2 * A_WHILE / 1000)
        self.channel.basic_cancel(consumer.tag)
        self.assertTrue(self.is_there(queue))
        self.wait_until_gone(queue)

    def test_a_get_is_a_use(self):
        queue = self.ruled(expires=A_WHILE)
        self.use_often(lambda: self.get(queue))
        self.assertTrue(self.is_there(queue))
        self.wait_until_gone(queue)

    def test_a_declaration_is_a_use(self):
        queue = self.ruled(expires=A_WHILE)
        self.use_often(lambda: self.channel.queue_declare(queue, exclusive=True, arguments={"x-expires": A_WHILE}))
        self.assertTrue(self.is_there(queue))
        self.wait_until_gone(queue)

    def test_a_passive_declaration_is_a_use(self):
        queue = self.ruled(expires=A_WHILE)
        self.use_often(lambda: self.depth(queue))
        self.assertTrue(self.is_there(queue))
        self.wait_until_gone(queue)

    def test_a_publish_is_none(self):
        queue = self.ruled(expires=A_WHILE)
        began = time.monotonic()
        while self.is_there(queue):
            self.assertLess(time.monotonic() - began, 10)
            self.serve(0.05)

    def test_messages_in_somebodys_hands_do_not_keep_it(self):
        queue = self.ruled(expires=A_WHILE)
        self.send(queue)
        method = self.channel.basic_get(queue)[0]
        self.wait_until(lambda: not self.is_there(queue))
        self.channel.basic_ack(method.delivery_tag)
        self.assertTrue(self.channel.is_open)
        self.channel.basic_qos()


if __name__ == "__main__":
    unittest.main()
