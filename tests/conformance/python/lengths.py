"""Length limits: how many messages and bytes a queue takes, and what becomes of one too many."""

import unittest

import pika
from pika.exceptions import NackError

from support import BrokerCase, Consumer, numbered


class LengthCase(BrokerCase):
    def setUp(self):
        super().setUp()
        self.sender = self.connection.channel()
        self.sender.confirm_delivery()

    def send(self, queue, *bodies, **properties):
        """Publishes to a queue and returns which bodies the broker has refused."""
        return [body for body in bodies if not self.accepts("", queue, body, **properties)]

    def accepts(self, exchange, key, body, **properties):
        try:
            self.sender.basic_publish(exchange, key, body, pika.BasicProperties(**properties), mandatory=True)
            return True
        except NackError:
            return False

    def ruled(self, **rules):
        """A queue with rules (`max_length=1`)."""
        return self.queue(arguments={f"x-{name.replace('_', '-')}": value for name, value in rules.items()})

    def with_letters(self, **rules):
        """A queue with rules, and the queue of its dead letters."""
        dead = self.queue()
        return self.ruled(dead_letter_exchange="", dead_letter_routing_key=dead, **rules), dead

    def hold(self, queue, count):
        """The tags of messages that are in somebody's hands from now on."""
        return [self.channel.basic_get(queue)[0].delivery_tag for _ in range(count)]


class DropHead(LengthCase):
    """What comes is taken and confirmed, and the oldest goes."""

    def test_so_many_messages_stay(self):
        queue = self.ruled(max_length=3)
        self.assertEqual([], self.send(queue, *numbered(5)))
        self.assertEqual(3, self.depth(queue))
        self.assertEqual(numbered(5)[2:], self.drain(queue))

    def test_as_many_as_allowed_all_stay(self):
        queue = self.ruled(max_length=5, max_length_bytes=50)
        self.send(queue, *[bytes([letter]) * 10 for letter in b"abcde"])
        self.assertEqual(5, self.depth(queue))

    def test_so_many_bytes_stay(self):
        queue = self.ruled(max_length_bytes=25)
        self.send(queue, b"a" * 10, b"b" * 10, b"c" * 10)
        self.assertEqual([b"b" * 10, b"c" * 10], self.drain(queue))

    def test_a_large_message_drives_out_as_many_as_it_needs(self):
        queue, dead = self.with_letters(max_length_bytes=25)
        self.send(queue, b"a" * 10, b"b" * 10, b"c" * 20)
        self.assertEqual([b"c" * 20], self.drain(queue))
        self.assertEqual([b"a" * 10, b"b" * 10], self.all_arrived(dead, 2))

    def test_a_message_larger_than_the_queue_goes_itself_after_the_others(self):
        queue, dead = self.with_letters(max_length_bytes=25)
        self.assertEqual([], self.send(queue, b"a" * 10, b"b" * 26))
        self.assertEqual([b"a" * 10, b"b" * 26], self.all_arrived(dead, 2))
        self.assertEqual(0, self.depth(queue))

    def test_only_bodies_are_counted(self):
        queue = self.ruled(max_length_bytes=20)
        headers = {"long": "x" * 1_000}
        self.send(queue, b"a" * 10, b"b" * 10, headers=headers, correlation_id="c" * 200)
        self.send(queue, b"", b"", b"")
        self.assertEqual([b"a" * 10, b"b" * 10, b"", b"", b""], self.drain(queue))

    def test_the_narrower_of_the_two_limits_counts(self):
        queue = self.ruled(max_length=3, max_length_bytes=10)
        self.send(queue, b"aaaa", b"bbbb", b"cccc")
        self.assertEqual(2, self.depth(queue))
        self.send(queue, b"d", b"e", b"f")
        self.assertEqual([b"d", b"e", b"f"], self.drain(queue))

    def test_nothing_stays_where_nothing_may(self):
        for rules in [{"max_length": 0}, {"max_length_bytes": 0}]:
            with self.subTest(rules=rules):
                queue, dead = self.with_letters(**rules)
                self.assertEqual([], self.send(queue, b"x"))
                self.assertEqual(b"x", self.arrived(dead)[2])
                self.assertIsNone(self.get(queue))

    def test_without_a_length_a_consumer_that_waits_still_gets_it(self):
        queue, dead = self.with_letters(max_length=0)
        consumer = Consumer(self.channel, queue)
        self.send(queue, *numbered(3))
        self.wait_until(lambda: len(consumer.messages) == 3)
        self.assertEqual(numbered(3), consumer.bodies)
        self.assertEqual(0, self.depth(dead))

    def test_messages_in_somebodys_hands_do_not_count(self):
        queue, dead = self.with_letters(max_length=2, max_length_bytes=20)
        self.send(queue, *numbered(2, "a"))
        self.hold(queue, 2)
        self.send(queue, *numbered(2, "b"))
        self.assertEqual((2, 0), (self.depth(queue), self.depth(dead)))
        self.assertEqual(numbered(2, "b"), self.drain(queue))

    def test_those_that_come_back_count_again_and_are_the_oldest(self):
        queue, dead = self.with_letters(max_length=2)
        self.send(queue, *numbered(2, "a"))
        tags = self.hold(queue, 2)
        self.send(queue, *numbered(2, "b"))
        self.channel.basic_nack(tags[1], multiple=True, requeue=True)
        self.assertEqual(numbered(2, "a"), self.all_arrived(dead, 2))
        self.assertEqual(numbered(2, "b"), self.drain(queue))

    def test_the_dropped_leave_letters_in_order(self):
        queue, dead = self.with_letters(max_length=1)
        self.send(queue, *numbered(4))
        for body in numbered(3):
            _, properties, dropped = self.arrived(dead)
            self.assertEqual(body, dropped)
            death = properties.headers["x-death"][0]
            self.assertEqual((queue, "maxlen", 1), (death["queue"], death["reason"], death["count"]))

    def test_the_dropped_are_gone_without_a_dead_letter_exchange(self):
        queue = self.ruled(max_length=1, overflow="drop-head")
        self.send(queue, *numbered(1_000))
        self.assertEqual([b"message 999"], self.drain(queue))

    def test_a_transaction_drops_as_many(self):
        queue = self.ruled(max_length=2)
        channel = self.connection.channel()
        channel.tx_select()
        for body in numbered(5):
            channel.basic_publish("", queue, body)
        channel.tx_commit()
        self.assertEqual(numbered(5)[3:], self.drain(queue))


class RejectPublish(LengthCase):
    """What comes is refused, and what is there stays."""

    MODES = ["reject-publish", "reject-publish-dlx"]

    def for_each_mode(self, test, **rules):
        for overflow in self.MODES:
            with self.subTest(overflow=overflow):
                test(self.ruled(overflow=overflow, **rules))

    def test_the_first_messages_stay(self):
        def test(queue):
            self.assertEqual(numbered(5)[3:], self.send(queue, *numbered(5)))
            self.assertEqual(numbered(5)[:3], self.drain(queue))

        self.for_each_mode(test, max_length=3)

    def test_the_first_bytes_stay(self):
        def test(queue):
            self.assertEqual([b"c" * 10], self.send(queue, b"a" * 10, b"b" * 10, b"c" * 10))
            self.assertEqual([], self.send(queue, b"d" * 5), "a smaller one has room")
            self.assertEqual([b"a" * 10, b"b" * 10, b"d" * 5], self.drain(queue))

        self.for_each_mode(test, max_length_bytes=25)

    def test_a_message_larger_than_the_queue_is_refused(self):
        def test(queue):
            self.assertEqual([b"a" * 26], self.send(queue, b"a" * 26))
            self.assertEqual(0, self.depth(queue))

        self.for_each_mode(test, max_length_bytes=25)

    def test_what_is_taken_makes_room(self):
        def test(queue):
            self.assertEqual([b"second"], self.send(queue, b"first", b"second"))
            self.assertEqual(b"first", self.get(queue))
            self.assertEqual([], self.send(queue, b"third"))
            self.channel.queue_purge(queue)
            self.assertEqual([], self.send(queue, b"fourth"))

        self.for_each_mode(test, max_length=1)

    def test_messages_in_somebodys_hands_make_room_and_come_back_all_the_same(self):
        def test(queue):
            self.send(queue, b"first")
            (tag,) = self.hold(queue, 1)
            self.assertEqual([], self.send(queue, b"second"))
            self.channel.basic_nack(tag, requeue=True)
            self.wait_for_depth(queue, 2)
            self.assertEqual([b"third"], self.send(queue, b"third"))
            self.assertEqual([b"first", b"second"], self.drain(queue))

        self.for_each_mode(test, max_length=1)

    def test_where_nothing_may_stay_even_a_consumer_that_waits_gets_nothing(self):
        def test(queue):
            consumer = Consumer(self.channel, queue)
            self.assertEqual([b"x"], self.send(queue, b"x"))
            self.serve(0.1)
            self.assertEqual([], consumer.bodies)

        self.for_each_mode(test, max_length=0)

    def test_a_consumer_that_waits_takes_all(self):
        def test(queue):
            consumer = Consumer(self.channel, queue)
            for number, body in enumerate(numbered(5)):
                self.assertEqual([], self.send(queue, body))
                self.wait_until(lambda: len(consumer.messages) == number + 1)

        self.for_each_mode(test, max_length=1)

    def test_one_queue_of_many_is_enough_for_a_refusal(self):
        def test(queue):
            exchange = self.exchange("fanout")
            others = [self.queue() for _ in range(3)]
            for each in [*others, queue]:
                self.channel.queue_bind(each, exchange)
            taken = [self.accepts(exchange, "", body) for body in [b"first", b"second"]]
            self.assertEqual([True, False], taken)
            for other in others:
                self.assertEqual([b"first", b"second"], self.drain(other))
            self.assertEqual([b"first"], self.drain(queue))

        self.for_each_mode(test, max_length=1)

    def test_without_confirms_it_is_gone_without_a_word(self):
        def test(queue):
            self.send(queue, b"first")
            returned = []
            self.channel.add_on_return_callback(lambda *arguments: returned.append(arguments))
            self.channel.basic_publish("", queue, b"second", mandatory=True)
            self.serve(0.2)
            self.assertEqual(([], [b"first"]), (returned, self.drain(queue)))

        self.for_each_mode(test, max_length=1)

    def test_a_publisher_that_does_not_wait_is_told_which(self):
        def test(queue):
            outcomes = {}
            channel = self.connection.channel()
            count = 10

            def settled(frame):
                method = frame.method
                first = min(set(range(1, count + 1)) - set(outcomes)) if method.multiple else method.delivery_tag
                for number in range(first, method.delivery_tag + 1):
                    outcomes.setdefault(number, method.NAME)

            channel._impl.confirm_delivery(settled, callback=lambda _frame: None)
            for body in numbered(count):
                channel.basic_publish("", queue, body)
            self.wait_until(lambda: len(outcomes) == count)
            expected = {number: "Basic.Ack" if number <= 4 else "Basic.Nack" for number in range(1, count + 1)}
            self.assertEqual(expected, outcomes)

        self.for_each_mode(test, max_length=4)

    def test_a_transaction_with_a_refused_message_fails_in_part(self):
        def test(queue):
            other = self.queue()
            channel = self.connection.channel()
            channel.tx_select()
            for body in numbered(4):
                channel.basic_publish("", queue, body)
            channel.basic_publish("", other, b"elsewhere")
            with self.channel_error(406, "PRECONDITION_FAILED - partial tx completion", channel):
                channel.tx_commit()
            self.assertEqual(numbered(4)[:3], self.drain(queue))
            self.assertEqual([b"elsewhere"], self.drain(other))

        self.for_each_mode(test, max_length=3)

    def test_only_one_of_the_modes_leaves_letters_of_the_refused(self):
        for overflow, letters in [("reject-publish", 0), ("reject-publish-dlx", 2)]:
            with self.subTest(overflow=overflow):
                queue, dead = self.with_letters(max_length=1, overflow=overflow)
                self.assertEqual(numbered(3)[1:], self.send(queue, *numbered(3)))
                self.serve(0.2)
                for body in numbered(3)[1:][:letters]:
                    _, properties, refused = self.arrived(dead)
                    self.assertEqual(body, refused)
                    death = properties.headers["x-death"][0]
                    self.assertEqual((queue, "maxlen", 1), (death["queue"], death["reason"], death["count"]))
                self.assertEqual(0, self.depth(dead))
                self.assertEqual(numbered(1), self.drain(queue))

    def test_a_dead_letter_that_a_queue_refuses_is_gone_there(self):
        exchange = self.exchange("fanout")
        full, other = self.ruled(max_length=1, overflow="reject-publish"), self.queue()
        for each in [full, other]:
            self.channel.queue_bind(each, exchange)
        self.send(full, b"first")
        queue = self.ruled(dead_letter_exchange=exchange)
        self.send(queue, b"second")
        self.channel.basic_reject(self.hold(queue, 1)[0], requeue=False)
        self.assertEqual(b"second", self.arrived(other)[2])
        self.assertEqual([b"first"], self.drain(full))


if __name__ == "__main__":
    unittest.main()
