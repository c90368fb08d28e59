"""Which queues a message reaches: topic and headers exchanges, exchanges bound to exchanges, alternates, CC and BCC."""

import random
import unittest
from datetime import datetime, timezone
from decimal import Decimal

import pika
from pika.exceptions import ChannelClosedByBroker

from support import BrokerCase


class Routing(BrokerCase):
    def route(self, exchange, key="", mandatory=False, channel=None, **properties):
        """Publishes and returns when it is in its queues."""
        channel = channel or self.confirming
        channel.basic_publish(exchange, key, b"m", pika.BasicProperties(**properties), mandatory=mandatory)

    def setUp(self):
        super().setUp()
        self.confirming = self.connection.channel()
        self.confirming.confirm_delivery()

    def bound(self, exchange, key="", arguments=None):
        queue = self.queue()
        self.channel.queue_bind(queue, exchange, key, arguments)
        return queue

    def reached(self, queues):
        return [name for name, queue in queues.items() if self.drain(queue)]


class Topic(Routing):
    def check(self, bindings, keys):
        """`keys` maps a routing key to the bindings, in order, that take it."""
        exchange = self.exchange("topic")
        queues = {binding: self.bound(exchange, binding) for binding in bindings}
        for key, expected in keys.items():
            self.route(exchange, key)
            self.assertEqual(expected, self.reached(queues), key)

    def test_a_star_takes_one_word_and_a_hash_any_number(self):
        self.check(
            ["*", "#", "*.*", "a.*", "a.#", "#.b", "*.b", "a.#.b"],
            {
                "": ["#"],
                "a": ["*", "#", "a.#"],
                "a.b": ["#", "*.*", "a.*", "a.#", "#.b", "*.b", "a.#.b"],
                "a.x.b": ["#", "a.#", "#.b", "a.#.b"],
                "b": ["*", "#", "#.b"],
            })

    def test_an_empty_word_is_a_word(self):
        self.check(
            ["a..b", "a.*.b", "a.", "a.*", "*", ".", "#"],
            {
                "a..b": ["a..b", "a.*.b", "#"],
                "a.": ["a.", "a.*", "#"],
                ".": [".", "#"],
                "a": ["*", "#"],
            })

    def test_several_hashes_meet_between_the_same_words(self):
        self.check(
            ["#.a.#", "#.a.#.b.#", "#.#", "#.*", "*.#", "#.*.#"],
            {
                "a": ["#.a.#", "#.#", "#.*", "*.#", "#.*.#"],
                "x.a.y.b.z": ["#.a.#", "#.a.#.b.#", "#.#", "#.*", "*.#", "#.*.#"],
                "b.a": ["#.a.#", "#.#", "#.*", "*.#", "#.*.#"],
                "": ["#.#"],
            })

    def test_a_queue_that_two_bindings_lead_to_gets_one_copy(self):
        exchange = self.exchange("topic")
        queue = self.bound(exchange, "a.*")
        self.channel.queue_bind(queue, exchange, "#.b")
        self.route(exchange, "a.b")
        self.assertEqual([b"m"], self.drain(queue))

    def test_a_removed_binding_takes_no_more_and_leaves_the_others(self):
        exchange = self.exchange("topic")
        queue = self.bound(exchange, "a.#")
        self.channel.queue_bind(queue, exchange, "a.b")
        self.channel.queue_unbind(queue, exchange, "a.#")
        self.route(exchange, "a.c")
        self.route(exchange, "a.b")
        self.assertEqual([b"m"], self.drain(queue))

    def test_random_bindings_match_as_the_definition_says(self):
        dice = random.Random(7)
        exchange = self.exchange("topic")
        patterns = [".".join(dice.choices(["a", "b", "*", "#", ""], k=dice.randint(1, 4))) for _ in range(25)]
        queues = {pattern: self.bound(exchange, pattern) for pattern in set(patterns)}
        for _ in range(25):
            key = ".".join(dice.choices(["a", "b", "c", ""], k=dice.randint(0, 5)))
            self.route(exchange, key)
            expected = {pattern for pattern in queues if matches(words(pattern), words(key))}
            self.assertEqual(expected, set(self.reached(queues)), key)


def words(key):
    return key.split(".") if key else []


def matches(pattern, key):
    if not pattern:
        return not key
    if pattern[0] == "#":
        return any(matches(pattern[1:], key[taken:]) for taken in range(len(key) + 1))
    return bool(key) and pattern[0] in ("*", key[0]) and matches(pattern[1:], key[1:])


class Headers(Routing):
    def takes(self, arguments, headers):
        exchange = self.exchange("headers")
        queue = self.bound(exchange, arguments=arguments)
        self.route(exchange, headers=headers)
        return bool(self.drain(queue))

    def test_all_and_any(self):
        both = {"a": "1", "b": 2}
        for arguments, headers, expected in [
            (both, {"b": 2, "c": 3, "a": "1"}, True),
            (both, {"a": "1"}, False),
            ({**both, "x-match": "all"}, {"a": "1"}, False),
            ({**both, "x-match": "any"}, {"a": "1"}, True),
            ({**both, "x-match": "any"}, {"a": "2"}, False),
            ({}, {"a": 1}, True),
            ({}, None, True),
            ({"x-match": "any"}, {"a": 1}, False),
        ]:
            self.assertEqual(expected, self.takes(arguments, headers), (arguments, headers))

    def test_arguments_that_begin_with_x(self):
        if self.server_version() < (3, 10):
            self.skipTest("all-with-x came with 3.10")
        for x_match, expected in [("all", True), ("any", False), ("all-with-x", False), ("any-with-x", False)]:
            self.assertEqual(expected, self.takes({"x-match": x_match, "x-kind": "k"}, {"x-kind": "other"}), x_match)
        self.assertTrue(self.takes({"x-match": "all-with-x", "x-kind": "k"}, {"x-kind": "k"}))

    def test_a_void_argument_wants_the_header_with_any_value(self):
        self.assertTrue(self.takes({"a": None}, {"a": "anything"}))
        self.assertFalse(self.takes({"a": None}, {"b": "anything"}))

    def test_values_are_compared_by_class_and_value(self):
        when = datetime(2020, 1, 2, tzinfo=timezone.utc)
        for value, other, expected in [
            (1, 1, True), (1, 2**40, False), (2**40, 2**40, True), (1, "1", False), (True, True, True),
            (True, 1, False), ("", "", True), (b"\x00", b"\x00", True),
            (when, when, True), (Decimal("1.5"), Decimal("1.5"), True), ([1, "a"], [1, "a"], True),
            ([1], [2], False), ({"k": [True]}, {"k": [True]}, True), ({"k": 1}, {"k": 2}, False),
        ]:
            self.assertEqual(expected, self.takes({"a": value}, {"a": other}), (value, other))

    def test_an_unknown_way_to_match_is_refused(self):
        exchange, queue = self.exchange("headers"), self.shared_queue()
        with self.assertRaises(ChannelClosedByBroker) as caught:
            self.channel.queue_bind(queue, exchange, arguments={"x-match": "some"})
        self.assertEqual(406, caught.exception.reply_code)
        self.assertIn('Invalid x-match field value <<"some">>', caught.exception.reply_text)

    def test_a_way_to_match_that_is_no_string_is_refused(self):
        exchange, queue = self.exchange("headers"), self.shared_queue()
        text = "PRECONDITION_FAILED - Invalid x-match field type signedint (value 1); expected longstr"
        with self.channel_error(406, text):
            self.channel.queue_bind(queue, exchange, arguments={"x-match": 1})

    def test_a_binding_goes_whatever_the_order_of_its_arguments(self):
        exchange = self.exchange("headers")
        queue = self.bound(exchange, arguments={"a": 1, "b": 2})
        self.channel.queue_unbind(queue, exchange, "", {"b": 2, "a": 1})
        self.route(exchange, headers={"a": 1, "b": 2})
        self.assertEqual([], self.drain(queue))


class ExchangeToExchange(Routing):
    def test_a_message_goes_on_with_its_key_and_reaches_each_queue_once(self):
        source, left, right = self.exchange("topic"), self.exchange("direct"), self.exchange("fanout")
        queue = self.bound(left, "a.b")
        self.channel.queue_bind(queue, right)
        self.channel.exchange_bind(left, source, "a.*")
        self.channel.exchange_bind(right, source, "#.b")
        self.route(source, "a.b")
        self.assertEqual([b"m"], self.drain(queue))
        self.channel.exchange_unbind(left, source, "a.*")
        self.channel.exchange_unbind(right, source, "#.b")
        self.route(source, "a.b")
        self.assertEqual([], self.drain(queue))

    def test_a_ring_of_exchanges_ends(self):
        ring = [self.exchange("fanout") for _ in range(5)]
        queues = [self.bound(exchange) for exchange in ring]
        for destination, source in zip(ring[1:] + ring[:1], ring):
            self.channel.exchange_bind(destination, source)
        self.route(ring[2])
        self.assertEqual([[b"m"]] * 5, [self.drain(queue) for queue in queues])

    def test_a_deleted_exchange_takes_the_bindings_to_it_along(self):
        source, middle = self.exchange("fanout"), self.exchange("fanout")
        queue = self.bound(middle)
        self.channel.exchange_bind(middle, source)
        self.channel.exchange_delete(middle)
        self.channel.exchange_declare(middle, "fanout")
        self.channel.queue_bind(queue, middle)
        self.route(source)
        self.assertEqual([], self.drain(queue))

    def test_auto_delete_goes_from_exchange_to_exchange(self):
        first, second = self.exchange("fanout", auto_delete=True), self.exchange("fanout", auto_delete=True)
        queue = self.bound(second)
        self.channel.exchange_bind(second, first)
        self.channel.queue_unbind(queue, second, "")
        for name in [second, first]:
            with self.channel_error(404, f"NOT_FOUND - no exchange '{name}' in vhost '/'"):
                self.channel.exchange_declare(name, passive=True)

    def test_what_is_not_there_or_is_the_default_is_refused(self):
        there, missing = self.exchange("fanout"), self.name()
        for destination, source in [(missing, there), (there, missing)]:
            with self.channel_error(404, f"NOT_FOUND - no exchange '{missing}' in vhost '/'"):
                self.channel.exchange_bind(destination, source)
        for destination, source in [("", there), (there, "")]:
            with self.channel_error(403, "ACCESS_REFUSED - operation not permitted on the default exchange"):
                self.channel.exchange_bind(destination, source)

    def test_an_exchange_in_use_is_one_with_bindings_from_it(self):
        source, destination = self.exchange("fanout"), self.exchange("fanout")
        self.channel.exchange_bind(destination, source)
        with self.channel_error(406, f"PRECONDITION_FAILED - exchange '{source}' in vhost '/' in use"):
            self.channel.exchange_delete(source, if_unused=True)
        self.channel.exchange_delete(destination, if_unused=True)

    def test_an_internal_exchange_is_reached_by_others_alone(self):
        internal, source = self.exchange("fanout", internal=True), self.exchange("fanout")
        queue = self.bound(internal)
        self.channel.exchange_bind(internal, source)
        self.route(source)
        self.assertEqual([b"m"], self.drain(queue))
        text = f"ACCESS_REFUSED - cannot publish to internal exchange '{internal}' in vhost '/'"
        with self.channel_error(403, text):
            self.channel.basic_publish(internal, "", b"m")
            self.channel.queue_declare("", exclusive=True)


class Alternates(Routing):
    def chain(self, *kinds):
        """Exchanges of which each has the next as its alternate."""
        names = []
        for kind in reversed(kinds):
            arguments = {"alternate-exchange": names[0]} if names else None
            names.insert(0, self.exchange(kind, arguments=arguments))
        return names

    def test_what_leads_nowhere_goes_to_the_alternate_and_on_to_its_alternate(self):
        first, second, third = self.chain("direct", "topic", "fanout")
        queues = {"first": self.bound(first, "a"), "second": self.bound(second, "b"), "third": self.bound(third)}
        for key, expected in [("a", ["first"]), ("b", ["second"]), ("c", ["third"])]:
            self.route(first, key, mandatory=True)
            self.assertEqual(expected, self.reached(queues), key)

    def test_an_alternate_may_come_later_and_a_ring_of_them_ends(self):
        late = self.name("late")
        exchange = self.exchange("direct", arguments={"alternate-exchange": late})
        with self.assertRaises(pika.exceptions.UnroutableError):
            self.route(exchange, "k", mandatory=True)
        self.channel.exchange_declare(late, "direct", arguments={"alternate-exchange": exchange})
        self.addCleanup(self.delete_exchange, late)
        with self.assertRaises(pika.exceptions.UnroutableError):
            self.route(exchange, "k", mandatory=True)
        queue = self.bound(late, "k")
        self.route(exchange, "k", mandatory=True)
        self.assertEqual([b"m"], self.drain(queue))

    def test_a_binding_to_an_exchange_that_leads_nowhere_is_a_way_all_the_same(self):
        exchange, alternate = self.chain("fanout", "fanout")
        self.channel.exchange_bind(self.exchange("fanout"), exchange)
        queue = self.bound(alternate)
        self.route(exchange)
        self.assertEqual([], self.drain(queue))

    def test_an_alternate_of_another_type_than_a_string_is_refused(self):
        name = self.name()
        text = f"PRECONDITION_FAILED - invalid type 'signedint' for arg 'alternate-exchange' in exchange '{name}' in vhost '/'"
        with self.channel_error(406, text):
            self.channel.exchange_declare(name, "fanout", arguments={"alternate-exchange": 1})


class Copies(Routing):
    def test_cc_and_bcc_add_keys_and_consumers_see_only_cc(self):
        exchange = self.exchange("direct")
        queues = {key: self.bound(exchange, key) for key in ["to", "cc", "bcc", "other"]}
        self.route(exchange, "to", headers={"CC": ["cc", "to"], "BCC": ["bcc"], "k": {"n": [1, None]}}, content_type="t/p")
        for key in ["to", "cc", "bcc"]:
            method, properties, body = self.channel.basic_get(queues[key], auto_ack=True)
            self.assertEqual(("to", b"m", "t/p"), (method.routing_key, body, properties.content_type))
            self.assertEqual({"CC": ["cc", "to"], "k": {"n": [1, None]}}, properties.headers)
        self.assertEqual([], self.reached(queues))

    def test_the_default_exchange_takes_them_too(self):
        queues = {name: self.queue() for name in ["to", "cc", "bcc"]}
        self.route("", queues["to"], headers={"CC": [queues["cc"], queues["to"]], "BCC": [queues["bcc"]]})
        self.assertEqual([[b"m"]] * 3, [self.drain(queue) for queue in queues.values()])

    def test_topic_exchanges_and_those_behind_them_take_them(self):
        source, behind = self.exchange("topic"), self.exchange("direct")
        self.channel.exchange_bind(behind, source, "b.#")
        queues = {"a": self.bound(source, "a.*"), "b": self.bound(behind, "b.1"), "c": self.bound(behind, "a.1")}
        self.route(source, "a.1", headers={"CC": ["b.1"]})
        self.assertEqual(["a", "b", "c"], self.reached(queues))

    def test_only_strings_in_them_are_keys(self):
        exchange = self.exchange("direct")
        queue = self.bound(exchange, "cc")
        self.route(exchange, "to", headers={"CC": [1, "cc", None]})
        self.assertEqual([b"m"], self.drain(queue))

    def test_one_that_is_no_array_is_refused(self):
        for header in ["CC", "BCC"]:
            text = f'PRECONDITION_FAILED - invalid message: {{unacceptable_type_in_header,"{header}",longstr}}'
            with self.channel_error(406, text):
                self.channel.basic_publish("amq.direct", "k", b"m", pika.BasicProperties(headers={header: "key"}))
                self.channel.queue_declare("", exclusive=True)

    def test_a_copy_is_enough_for_a_mandatory_message(self):
        exchange = self.exchange("direct")
        queue = self.bound(exchange, "cc")
        self.route(exchange, "to", mandatory=True, headers={"CC": ["cc"]})
        self.assertEqual([b"m"], self.drain(queue))


if __name__ == "__main__":
    unittest.main()
