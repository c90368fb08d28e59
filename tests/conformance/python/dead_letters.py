"""Dead letters: what a queue gives up goes to its dead letter exchange, and its headers tell why and from where."""

import time
import unittest

from pika.compat import long

from support import Consumer, DeadLetterCase, numbered

SECONDS_OF_CLOCKS = 120


class Reasons(DeadLetterCase):
    def assert_letter(self, queue, reason):
        method, properties, body = self.arrived(self.dead)
        self.assertEqual((b"x", self.dlx, queue, False), (body, method.exchange, method.routing_key, method.redelivered))
        self.assert_deaths([(queue, reason, 1)], properties)
        self.assertEqual(reason, properties.headers["x-first-death-reason"])

    def test_a_rejected_message(self):
        queue = self.source()
        self.send(queue)
        self.reject(queue)
        self.assert_letter(queue, "rejected")

    def test_a_message_that_is_nacked_without_requeue(self):
        queue = self.source()
        self.send(queue)
        self.channel.basic_nack(self.take(queue).delivery_tag, requeue=False)
        self.assert_letter(queue, "rejected")

    def test_an_expired_message(self):
        queue = self.source(message_ttl=50)
        self.send(queue)
        self.assert_letter(queue, "expired")

    def test_one_too_many_messages(self):
        queue = self.source(max_length=1)
        self.send(queue)
        self.send(queue, b"next")
        self.assert_letter(queue, "maxlen")

    def test_too_many_bytes(self):
        queue = self.source(max_length_bytes=4)
        self.send(queue)
        self.send(queue, b"next")
        self.assert_letter(queue, "maxlen")

    def test_a_message_that_came_back_too_often(self):
        queue = self.name("quorum")
        arguments = {"x-queue-type": "quorum", "x-delivery-limit": 2, "x-dead-letter-exchange": self.dlx}
        self.channel.queue_declare(queue, durable=True, arguments=arguments)
        self.addCleanup(self.delete_queue, queue)
        self.send(queue)
        counts = []
        for _ in range(3):
            self.wait_until(lambda: self.depth(queue) == 1)
            method, properties, _ = self.channel.basic_get(queue)
            counts.append((properties.headers or {}).get("x-delivery-count", 0))
            self.channel.basic_nack(method.delivery_tag)
        self.assertEqual([0, 1, 2], counts)
        self.assert_letter(queue, "delivery_limit")
        self.assertEqual(0, self.depth(queue))


class Headers(DeadLetterCase):
    def letter(self, queue=None, **properties):
        """The letter of a message that was rejected: its delivery, its properties."""
        queue = queue or self.source()
        self.send(queue, **properties)
        self.reject(queue)
        method, properties, _ = self.arrived(self.dead)
        return method, properties

    def test_a_death_is_told_in_fields_of_fixed_order(self):
        queue = self.source()
        before = int(time.time())
        _, properties = self.letter(queue, expiration="60000")
        (death,) = properties.headers["x-death"]
        fields = ["count", "reason", "queue", "time", "exchange", "routing-keys"]
        fields = ["original-expiration", *fields] if self.has_mc() else [*fields, "original-expiration"]
        self.assertEqual(fields, list(death))
        told = death.pop("time").timestamp()
        self.assertTrue(before - SECONDS_OF_CLOCKS <= told <= time.time() + SECONDS_OF_CLOCKS, told)
        expected = {"count": 1, "reason": "rejected", "queue": queue, "exchange": ""}
        self.assertEqual(expected | {"routing-keys": [queue], "original-expiration": "60000"}, death)
        self.assertIs(long, type(death["count"]), "a 64-bit integer")

    def test_the_first_death_and_the_last_are_headers_of_their_own(self):
        queue = self.source()
        _, properties = self.letter(queue)
        names = ["first", "last"] if self.has_mc() else ["first"]
        expected = {"reason": "rejected", "queue": queue, "exchange": ""}
        expected = {f"x-{which}-death-{what}": value for which in names for what, value in expected.items()}
        told = {name: value for name, value in properties.headers.items() if name != "x-death"}
        self.assertEqual(expected, told)

    def test_headers_are_sorted_by_their_names_and_those_of_the_client_stay(self):
        mine = {"zz": 1, "Upper": "a", "x-mine": [1, {"k": b"v"}], "b": None, "a": True}
        _, properties = self.letter(headers=dict(mine))
        self.assertEqual(sorted(properties.headers), list(properties.headers))
        self.assertEqual(mine, {name: properties.headers[name] for name in mine})

    def test_an_expiration_is_taken_out(self):
        _, properties = self.letter(expiration="60000")
        self.assertIsNone(properties.expiration)

    def test_the_other_properties_stay(self):
        mine = {
            "content_type": "text/plain",
            "content_encoding": "utf-8",
            "delivery_mode": 2,
            "priority": 7,
            "correlation_id": "correlation",
            "reply_to": "reply",
            "message_id": "message",
            "timestamp": 1_700_000_000,
            "type": "kind",
            "user_id": "guest",
            "app_id": "app",
            "cluster_id": "cluster",
        }
        _, properties = self.letter(**mine)
        self.assertEqual(mine, {name: getattr(properties, name) for name in mine})

    def test_a_body_of_many_frames_stays(self):
        queue = self.source()
        body = bytes(range(256)) * 3_000
        self.send(queue, body)
        self.reject(queue)
        self.assertEqual(body, self.arrived(self.dead)[2])

    def test_a_letter_has_the_route_of_its_second_way(self):
        queue = self.source(key="dead.key")
        method, properties = self.letter(queue)
        self.assertEqual((self.dlx, "dead.key"), (method.exchange, method.routing_key))
        self.assertEqual([queue], properties.headers["x-death"][0]["routing-keys"])

    def test_the_exchange_and_the_key_of_the_publish_are_told(self):
        queue, exchange = self.source(), self.exchange("topic")
        self.channel.queue_bind(queue, exchange, "a.#")
        self.channel.basic_publish(exchange, "a.b", b"x")
        self.reject(queue)
        headers = self.arrived(self.dead)[1].headers
        death = headers["x-death"][0]
        self.assertEqual((exchange, ["a.b"]), (death["exchange"], death["routing-keys"]))
        self.assertEqual(exchange, headers["x-first-death-exchange"])


class History(DeadLetterCase):
    """A message that dies again and again."""

    def test_the_latest_death_stands_in_front(self):
        last = self.source()
        middle = self.source("", last, max_length=0)
        first = self.source("", middle, message_ttl=50)
        self.send(first)
        self.reject(last)
        properties = self.arrived(self.dead)[1]
        self.assert_deaths([(last, "rejected", 1), (middle, "maxlen", 1), (first, "expired", 1)], properties)
        self.assertEqual((first, "expired"), self.told(properties, "first"))
        if self.has_mc():
            self.assertEqual((last, "rejected"), self.told(properties, "last"))

    def told(self, properties, which):
        return properties.headers[f"x-{which}-death-queue"], properties.headers[f"x-{which}-death-reason"]

    def test_each_death_tells_of_the_way_that_led_to_it(self):
        last = self.source()
        exchange = self.exchange("direct")
        self.channel.queue_bind(last, exchange, "second")
        first = self.source(exchange, "second", message_ttl=50)
        self.send(first)
        self.reject(last)
        ways = [(death["exchange"], death["routing-keys"]) for death in self.arrived(self.dead)[1].headers["x-death"]]
        self.assertEqual([(exchange, ["second"]), ("", [first])], ways)

    def test_an_expiration_is_told_by_the_death_it_led_to(self):
        last = self.source()
        first = self.source("", last)
        self.send(first, expiration="50")
        self.reject(last)
        deaths = self.arrived(self.dead)[1].headers["x-death"]
        self.assertEqual([None, "50"], [death.get("original-expiration") for death in deaths])

    def test_the_same_death_is_counted(self):
        """The loop that applications make for retries: rejected, waits, comes back."""
        work, wait = self.name("work"), self.name("wait")
        self.channel.queue_declare(work, exclusive=True, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": wait})
        waiting = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": work, "x-message-ttl": 50}
        self.channel.queue_declare(wait, exclusive=True, arguments=waiting)
        self.send(work)
        for attempt in range(4):
            self.wait_until(lambda: self.depth(work) == 1)
            method, properties, _ = self.channel.basic_get(work)
            if attempt:
                self.assert_deaths([(wait, "expired", attempt), (work, "rejected", attempt)], properties)
                self.assertEqual(work, properties.headers["x-first-death-queue"])
            self.channel.basic_reject(method.delivery_tag, requeue=False)

    def test_a_queue_has_an_entry_for_each_reason(self):
        queue = self.source(max_length=1)
        self.channel.queue_bind(queue, self.dlx)
        self.send(queue)
        self.reject(queue)
        self.assert_deaths([(queue, "rejected", 1)], self.arrived(self.dead)[1])
        self.wait_for_depth(queue, 1)
        self.send(queue, b"next")
        self.assert_deaths([(queue, "maxlen", 1), (queue, "rejected", 1)], self.arrived(self.dead)[1])
        self.assertEqual([b"next"], self.drain(queue))

    def test_what_a_client_says_of_deaths_is_its_own_business(self):
        """RabbitMQ before 4.0 counts on from an x-death that a client sent."""
        queue = self.source()
        claim = {"queue": queue, "reason": "rejected", "count": 41, "exchange": "", "routing-keys": ["k"]}
        headers = {"x-death": [claim], "x-first-death-queue": "elsewhere"}
        self.send(queue, headers=headers)
        self.reject(queue)
        properties = self.arrived(self.dead)[1]
        if self.is_haremq() or self.server_version() >= (4, 0):
            self.assert_deaths([(queue, "rejected", 1)], properties)
            self.assertEqual(queue, properties.headers["x-first-death-queue"])
        else:
            self.assert_deaths([(queue, "rejected", 42)], properties)

    def test_a_message_that_is_no_letter_keeps_such_headers_as_they_are(self):
        headers = {"x-death": [{"queue": "q", "count": 1}], "x-first-death-queue": "elsewhere"}
        queue = self.source()
        self.send(queue, headers=headers)
        self.assertEqual(headers, self.arrived(queue)[1].headers)


class NoDeath(DeadLetterCase):
    def test_what_is_requeued_goes_back_to_its_place(self):
        queue = self.source()
        for body in numbered(3):
            self.send(queue, body)
        tags = [self.take(queue).delivery_tag for _ in range(2)]
        self.channel.basic_reject(tags[1], requeue=True)
        self.channel.basic_nack(tags[0], requeue=True)
        self.assertEqual(numbered(3), self.drain(queue))
        self.assert_nothing_comes(self.dead)

    def test_what_is_acked_or_purged_leaves_no_letter(self):
        queue = self.source()
        for body in numbered(3):
            self.send(queue, body)
        self.channel.basic_ack(self.take(queue).delivery_tag)
        self.assertEqual(2, self.channel.queue_purge(queue).method.message_count)
        self.assert_nothing_comes(queue, self.dead)

    def test_a_queue_that_is_deleted_leaves_no_letters(self):
        queue = self.source()
        for body in numbered(3):
            self.send(queue, body)
        tag = self.take(queue).delivery_tag
        self.assertEqual(2, self.channel.queue_delete(queue).method.message_count)
        self.channel.basic_reject(tag, requeue=False)
        self.assert_nothing_comes(self.dead)

    def test_an_exclusive_queue_that_goes_with_its_connection_leaves_no_letters(self):
        dlx, dead = self.exchange("fanout"), self.shared_queue()
        self.channel.queue_bind(dead, dlx)
        other = self.connect()
        channel = other.channel()
        queue = self.name("other")
        channel.queue_declare(queue, exclusive=True, arguments={"x-dead-letter-exchange": dlx})
        self.publish(queue, b"x", channel=channel)
        self.assertEqual(1, channel.queue_declare(queue, passive=True).method.message_count)
        other.close()
        self.assert_nothing_comes(dead)

    def test_a_channel_that_closes_gives_its_messages_back(self):
        queue = self.source()
        for body in numbered(3):
            self.send(queue, body)
        self.take(queue)
        self.channel.close()
        self.channel = self.connection.channel()
        self.assertEqual(numbered(3), self.drain(queue))
        self.assert_nothing_comes(self.dead)

    def test_without_a_dead_letter_exchange_a_rejected_message_is_gone(self):
        queue = self.queue()
        self.send(queue)
        self.reject(queue)
        self.assert_nothing_comes(queue, self.dead)


class Order(DeadLetterCase):
    COUNT = 300

    def full(self, **rules):
        queue = self.source(**rules)
        self.publish(queue, *numbered(self.COUNT))
        return queue

    def test_messages_that_are_nacked_together_keep_theirs(self):
        consumer = Consumer(self.channel, self.full())
        self.wait_until(lambda: len(consumer.messages) == self.COUNT)
        self.channel.basic_nack(consumer.tags[-1], multiple=True, requeue=False)
        self.assertEqual(numbered(self.COUNT), self.all_arrived(self.dead, self.COUNT))

    def test_messages_of_two_queues_that_are_nacked_together_keep_theirs(self):
        queues = [self.full(), self.full()]
        for _ in range(self.COUNT):
            tags = [self.channel.basic_get(queue)[0].delivery_tag for queue in queues]
        self.channel.basic_nack(tags[-1], multiple=True, requeue=False)
        self.wait_for_depth(self.dead, 2 * self.COUNT)
        came = {queue: [] for queue in queues}
        for _ in range(2 * self.COUNT):
            _, properties, body = self.arrived(self.dead)
            came[properties.headers["x-first-death-queue"]].append(body)
        self.assertEqual([numbered(self.COUNT)] * 2, list(came.values()))

    def test_messages_that_expire_keep_theirs(self):
        self.full(message_ttl=100)
        self.assertEqual(numbered(self.COUNT), self.all_arrived(self.dead, self.COUNT))

    def test_messages_that_are_too_many_keep_theirs(self):
        queue = self.full(max_length=10)
        self.assertEqual(numbered(self.COUNT)[:-10], self.all_arrived(self.dead, self.COUNT - 10))
        self.assertEqual(numbered(self.COUNT)[-10:], self.drain(queue))

    def test_messages_that_are_rejected_one_by_one_keep_the_order_of_that(self):
        consumer = Consumer(self.channel, self.full())
        self.wait_until(lambda: len(consumer.messages) == self.COUNT)
        for tag in reversed(consumer.tags):
            self.channel.basic_reject(tag, requeue=False)
        self.assertEqual(numbered(self.COUNT)[::-1], self.all_arrived(self.dead, self.COUNT))

    def test_letters_wait_behind_what_was_there_before(self):
        self.publish(self.dead, b"before")
        queue = self.source()
        self.send(queue, b"letter")
        self.reject(queue)
        self.wait_for_depth(self.dead, 2)
        self.assertEqual([b"before", b"letter"], self.drain(self.dead))


class InTransactions(DeadLetterCase):
    def setUp(self):
        super().setUp()
        self.work = self.source()
        for body in numbered(3):
            self.send(self.work, body)
        self.other = self.connection.channel()
        self.other.tx_select()

    def reject_all(self):
        for _ in range(3):
            method = self.other.basic_get(self.work)[0]
            self.other.basic_reject(method.delivery_tag, requeue=False)

    def test_letters_come_with_the_commit(self):
        self.reject_all()
        self.assert_nothing_comes(self.dead)
        self.other.tx_commit()
        self.assertEqual(numbered(3), self.all_arrived(self.dead, 3))

    def test_what_was_rolled_back_leaves_no_letter(self):
        self.reject_all()
        self.other.tx_rollback()
        self.other.tx_commit()
        self.assert_nothing_comes(self.dead)
        self.other.close()
        self.assertEqual(numbered(3), self.drain(self.work))

    def test_a_close_without_commit_leaves_no_letter(self):
        self.reject_all()
        self.other.close()
        self.assertEqual(numbered(3), self.drain(self.work))
        self.assert_nothing_comes(self.dead)


if __name__ == "__main__":
    unittest.main()
