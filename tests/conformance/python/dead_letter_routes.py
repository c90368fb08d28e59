"""The ways of dead letters: by which keys they go, through which exchanges, and how they do not go round for ever."""

import unittest

import pika
from support import Consumer, DeadLetterCase, numbered


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

    def test_bcc_leads_each_death_and_is_seen_by_nobody_on_the_way(self):
        last = self.exchange("direct")
        end, middle = self.queue(), self.source(last)
        self.channel.queue_bind(end, last, "hidden")
        self.channel.queue_bind(middle, self.direct, "hidden")
        queue = self.source(self.direct)
        for body in [b"x", b"x" * 300_000]:
            self.send(queue, body, headers={"BCC": ["hidden"]})
            for stage in [queue, middle]:
                self.wait_until(lambda: self.depth(stage) > 0)
                method, properties, read = self.channel.basic_get(stage)
                self.assertEqual(body, read)
                self.assertNotIn("BCC", properties.headers)
                self.channel.basic_reject(method.delivery_tag, requeue=False)
            _, properties, read = self.arrived(end)
            self.assertEqual(body, read)
            self.assertNotIn("BCC", properties.headers)
            self.assert_deaths([(middle, "rejected", 1), (queue, "rejected", 1)], properties)

    def test_bcc_is_seen_by_nobody_whatever_the_road(self):
        self.channel.basic_qos(prefetch_count=1)
        returned, queue = [], self.queue()
        consumer = Consumer(self.channel, queue)
        self.send(queue, headers={"BCC": ["hidden"], "mine": 1})
        transacting = self.connect().channel()
        transacting.tx_select()
        transacting.add_on_return_callback(lambda *arguments: returned.append(arguments))
        properties = pika.BasicProperties(headers={"BCC": ["hidden"], "mine": 2})
        for key in [queue, "nowhere"]:
            transacting.basic_publish("", key, b"y", properties, mandatory=True)
        transacting.tx_commit()
        self.wait_until(lambda: returned, transacting.connection)
        self.wait_until(lambda: consumer.messages)
        self.channel.basic_nack(consumer.tags[0], requeue=True)
        self.wait_until(lambda: len(consumer.messages) == 2)
        self.channel.basic_ack(consumer.tags[1])
        self.wait_until(lambda: len(consumer.messages) == 3)
        seen = [properties.headers for _, properties, _ in consumer.messages]
        self.assertEqual([{"mine": 1}, {"mine": 1}, {"mine": 2}], seen)
        self.assertEqual([{"mine": 2}], [properties.headers for *_, properties, _ in returned])

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


if __name__ == "__main__":
    unittest.main()
