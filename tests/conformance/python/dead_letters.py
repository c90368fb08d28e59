"""Dead letters: what a queue gives up goes to its dead letter exchange, and its headers tell why and from where."""

import time
import unittest

import pika
from pika.compat import long

from support import BrokerCase, Consumer, numbered

SECONDS_OF_CLOCKS = 120


class DeadLetterCase(BrokerCase):
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


class Keys(DeadLetterCase):
    def setUp(self):
        super().setUp()
        self.direct = self.exchange("direct")

    def bound(self, key):
        queue = self.queue()
        self.channel.queue_bind(queue, self.direct, key)
        return queue

    def test_a_letter_goes_by_the_keys_in_cc_too(self):
        queue = self.source(self.direct)
        by_key, by_copy = self.bound(queue), self.bound("copy")
        self.send(queue, headers={"CC": ["copy"]})
        self.reject(queue)
        for dead in [by_key, by_copy]:
            method, properties, _ = self.arrived(dead)
            self.assertEqual(queue, method.routing_key)
            self.assertEqual([queue, "copy"], properties.headers["x-death"][0]["routing-keys"])
            self.assertEqual(["copy"], properties.headers["CC"])

    def test_a_letter_goes_by_the_keys_in_bcc_too_and_tells_nobody(self):
        queue = self.source(self.direct)
        by_key, by_copy = self.bound(queue), self.bound("hidden")
        self.send(queue, headers={"BCC": ["hidden"]})
        self.reject(queue)
        for dead in [by_key, by_copy]:
            properties = self.arrived(dead)[1]
            self.assertEqual([queue], properties.headers["x-death"][0]["routing-keys"])
            self.assertNotIn("BCC", properties.headers)

    def test_a_key_of_the_queue_replaces_them_all(self):
        queue = self.source(self.direct, "dead")
        by_key, by_copy, by_hidden, dead = (self.bound(key) for key in [queue, "copy", "hidden", "dead"])
        self.send(queue, headers={"CC": ["copy"], "BCC": ["hidden"], "mine": 1})
        self.reject(queue)
        method, properties, _ = self.arrived(dead)
        self.assertEqual("dead", method.routing_key)
        self.assertEqual([queue, "copy"], properties.headers["x-death"][0]["routing-keys"])
        self.assertNotIn("CC", properties.headers)
        self.assertEqual(1, properties.headers["mine"])
        self.assert_nothing_comes(by_key, by_copy, by_hidden)

    def test_an_empty_key_of_the_queue_is_a_key(self):
        queue = self.source(self.direct, "")
        dead = self.bound("")
        self.send(queue)
        self.reject(queue)
        self.assertEqual("", self.arrived(dead)[0].routing_key)

    def test_keys_that_were_replaced_are_gone_for_the_next_death_too(self):
        by_copy = self.bound("copy")
        last = self.source(self.direct)
        first = self.source("", last, message_ttl=50)
        dead = self.bound(last)
        self.send(first, headers={"CC": ["copy"]})
        self.reject(last)
        keys = [death["routing-keys"] for death in self.arrived(dead)[1].headers["x-death"]]
        self.assertEqual([[last], [first, "copy"]], keys)
        self.assert_nothing_comes(by_copy)


class Exchanges(DeadLetterCase):
    def test_without_its_exchange_a_letter_is_dropped(self):
        missing = self.name("missing")
        queue = self.source(missing)
        self.send(queue, b"lost")
        self.reject(queue)
        self.assertEqual(0, self.depth(queue))
        self.channel.exchange_declare(missing, "fanout")
        self.addCleanup(self.delete_exchange, missing)
        self.channel.queue_bind(self.dead, missing)
        self.send(queue, b"found")
        self.reject(queue)
        self.assertEqual(b"found", self.arrived(self.dead)[2])
        self.assert_nothing_comes(self.dead)

    def test_an_exchange_that_was_deleted_is_missing(self):
        self.channel.exchange_delete(self.dlx)
        queue = self.source()
        self.send(queue)
        self.reject(queue)
        self.assert_nothing_comes(queue, self.dead)

    def test_the_default_exchange_leads_to_the_queue_of_that_name(self):
        queue = self.source("", self.dead)
        self.send(queue)
        self.reject(queue)
        self.assertEqual(("", self.dead), self.way(self.arrived(self.dead)[0]))

    def way(self, method):
        return method.exchange, method.routing_key

    def test_the_default_exchange_without_a_key_leads_back_what_was_rejected(self):
        queue = self.source("")
        self.send(queue)
        self.reject(queue)
        method, properties, _ = self.arrived(queue)
        self.assert_deaths([(queue, "rejected", 1)], properties)
        self.assertFalse(method.redelivered)

    def test_an_internal_exchange_takes_letters(self):
        internal = self.exchange("fanout", internal=True)
        self.channel.queue_bind(self.dead, internal)
        queue = self.source(internal)
        self.send(queue)
        self.reject(queue)
        self.assertEqual(internal, self.arrived(self.dead)[0].exchange)

    def test_a_letter_without_a_queue_goes_to_the_alternate_exchange(self):
        direct = self.exchange("direct", arguments={"alternate-exchange": self.dlx})
        queue = self.source(direct)
        self.send(queue)
        self.reject(queue)
        self.assertEqual((direct, queue), self.way(self.arrived(self.dead)[0]))

    def test_a_letter_without_a_queue_is_dropped(self):
        queue = self.source(self.exchange("direct"))
        returned = []
        self.channel.add_on_return_callback(lambda *arguments: returned.append(arguments))
        self.channel.basic_publish("", queue, b"x", mandatory=True)
        self.reject(queue)
        self.assert_nothing_comes(queue, self.dead)
        self.assertEqual([], returned)

    def test_letters_follow_bindings_between_exchanges(self):
        topic = self.exchange("topic")
        self.channel.exchange_bind(self.dlx, topic, "dead.#")
        queue = self.source(topic, "dead.letter")
        self.send(queue)
        self.reject(queue)
        self.assertEqual((topic, "dead.letter"), self.way(self.arrived(self.dead)[0]))

    def test_each_queue_of_the_exchange_gets_the_letter(self):
        others = [self.queue() for _ in range(3)]
        for other in others:
            self.channel.queue_bind(other, self.dlx)
        queue = self.source()
        self.send(queue, bytes(100_000))
        self.reject(queue)
        for dead in [self.dead, *others]:
            _, properties, body = self.arrived(dead)
            self.assertEqual((bytes(100_000), [(queue, "rejected", 1)]), (body, self.deaths(properties)))

    def test_a_headers_exchange_looks_at_the_headers_of_the_letter(self):
        headers = self.exchange("headers")
        self.channel.queue_bind(self.dead, headers, arguments={"x-match": "all", "kind": "bad"})
        queue = self.source(headers)
        for kind in ["good", "bad"]:
            self.send(queue, kind.encode(), headers={"kind": kind})
            self.reject(queue)
        self.assertEqual(b"bad", self.arrived(self.dead)[2])
        self.assert_nothing_comes(self.dead)

    def test_a_consumer_is_sent_letters(self):
        consumer = Consumer(self.connection.channel(), self.dead, auto_ack=True)
        queue = self.source()
        for body in numbered(5):
            self.send(queue, body)
            self.reject(queue)
        self.wait_until(lambda: len(consumer.messages) == 5)
        self.assertEqual(numbered(5), consumer.bodies)
        self.assertEqual([False] * 5, [method.redelivered for method, _, _ in consumer.messages])


class Cycles(DeadLetterCase):
    """What would go round by itself is dropped where it would come to a queue for the second time."""

    def ring(self, size, **rules):
        """Queues whose dead letters go to the next one, and those of the last to the first; `dead` gets them all."""
        exchange = self.exchange("topic")
        self.channel.queue_bind(self.dead, exchange, "#")
        names = [self.name(f"ring-{number}") for number in range(size)]
        for number, name in enumerate(names):
            self.join(exchange, name, names[(number + 1) % size], **rules)
        return names

    def join(self, exchange, name, next_name, **rules):
        arguments = {"x-dead-letter-exchange": exchange, "x-dead-letter-routing-key": next_name}
        arguments |= {f"x-{rule.replace('_', '-')}": value for rule, value in rules.items()}
        self.channel.queue_declare(name, exclusive=True, arguments=arguments)
        self.channel.queue_bind(name, exchange, name)

    def test_a_ring_of_any_length_ends_it(self):
        for size in [1, 2, 3]:
            for rules in [{"message_ttl": 50}, {"max_length": 0}]:
                with self.subTest(size=size, rules=rules):
                    ring = self.ring(size, **rules)
                    self.send(ring[0])
                    self.wait_for_depth(self.dead, size)
                    self.assert_nothing_comes(*ring)
                    came = [self.deaths(self.arrived(self.dead)[1])[0][0] for _ in range(size)]
                    self.assertEqual(ring, came)
                    self.assert_nothing_comes(self.dead)

    def test_only_the_way_back_is_closed(self):
        """The last queue's letters go to the first and to another one."""
        exchange = self.exchange("fanout")
        first = self.name("first")
        last = self.source(exchange, message_ttl=50)
        rules = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": last, "x-message-ttl": 50}
        self.channel.queue_declare(first, exclusive=True, arguments=rules)
        for queue in [first, self.dead]:
            self.channel.queue_bind(queue, exchange)
        self.send(first)
        properties = self.arrived(self.dead)[1]
        self.assert_deaths([(last, "expired", 1), (first, "expired", 1)], properties)
        self.assert_nothing_comes(first, last, self.dead)

    def test_a_rejection_opens_it_each_time(self):
        (queue,) = self.ring(1)
        self.send(queue)
        for times in range(1, 6):
            self.reject(queue)
            self.assert_deaths([(queue, "rejected", times)], self.arrived(self.dead)[1])
            self.wait_for_depth(queue, 1)

    def test_a_rejection_on_the_way_opens_the_whole_ring(self):
        exchange = self.exchange("direct")
        work, wait, check = (self.name(what) for what in ["work", "wait", "check"])
        self.join(exchange, work, wait)
        self.join(exchange, wait, check, message_ttl=50)
        self.join(exchange, check, work)
        self.send(work)
        for queue in [work, check, work]:
            self.reject(queue)
        properties = self.arrived(check)[1]
        self.assert_deaths([(wait, "expired", 2), (work, "rejected", 2), (check, "rejected", 1)], properties)

    def test_a_rejection_in_the_past_does_not_open_it_for_ever(self):
        """Rejected once, and from then on all goes by itself."""
        if not self.is_haremq() and self.server_version() < (4, 0):
            self.skipTest("RabbitMQ before 4.0 does not know the order of deaths")
        ring = self.ring(2, message_ttl=50)
        start = self.source("", ring[0])
        self.send(start)
        self.reject(start)
        self.wait_for_depth(self.dead, 2)
        self.assert_nothing_comes(*ring)
        self.assertEqual(2, self.depth(self.dead))


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
