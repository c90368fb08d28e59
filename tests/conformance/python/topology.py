"""Queues, exchanges and bindings: their life, and the error for each thing that must not be."""

import unittest

from support import BrokerCase, Consumer, numbered


class Queues(BrokerCase):
    def test_a_declare_tells_what_is_in_the_queue(self):
        queue = self.queue()
        self.publish(queue, *numbered(3))
        Consumer(self.connection.channel(), self.queue())
        again = self.channel.queue_declare(queue, exclusive=True).method
        self.assertEqual((queue, 3, 0), (again.queue, again.message_count, again.consumer_count))

    def test_a_passive_declare_counts_messages_and_consumers(self):
        queue = self.queue()
        consumer = Consumer(self.connection.channel(), queue)
        self.publish(queue, *numbered(3))
        self.wait_until(lambda: len(consumer.messages) == 3)
        it = self.channel.queue_declare(queue, passive=True).method
        self.assertEqual((0, 1), (it.message_count, it.consumer_count))

    def test_a_passive_declare_of_a_missing_queue_is_refused(self):
        missing = self.name()
        with self.channel_error(404, f"NOT_FOUND - no queue '{missing}' in vhost '/'"):
            self.channel.queue_declare(missing, passive=True)

    def test_a_passive_declare_asks_for_nothing_else(self):
        queue = self.shared_queue(durable=True)
        self.channel.queue_declare(queue, passive=True, durable=False, auto_delete=True)

    def test_an_equal_declare_is_welcome(self):
        queue = self.shared_queue(durable=True, arguments={"x-unknown": 1})
        self.connect().channel().queue_declare(queue, durable=True, arguments={"x-unknown": 1})

    def test_a_different_declare_is_refused(self):
        queue = self.shared_queue(durable=True)
        for arg, arguments in [
            ("durable", {"durable": False}),
            ("durable", {"durable": False, "auto_delete": True}),
            ("auto_delete", {"durable": True, "auto_delete": True}),
        ]:
            received, current = ("false", "true") if arg == "durable" else ("true", "false")
            text = f"inequivalent arg '{arg}' for queue '{queue}' in vhost '/': received '{received}' but current is '{current}'"
            with self.channel_error(406, f"PRECONDITION_FAILED - {text}"):
                self.channel.queue_declare(queue, **arguments)

    def test_a_declare_with_other_arguments_is_refused(self):
        queue = self.shared_queue()
        text = f"inequivalent arg 'x-max-length' for queue '{queue}' in vhost '/': received the value '10' of type 'signedint' but current is none"
        with self.channel_error(406, f"PRECONDITION_FAILED - {text}"):
            self.channel.queue_declare(queue, arguments={"x-max-length": 10})

    def test_reserved_names_are_refused(self):
        with self.channel_error(403, "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'"):
            self.channel.queue_declare("amq.mine")
        with self.channel_error(403, "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'"):
            self.channel.exchange_declare("amq.mine", "direct")

    def test_a_reserved_exchange_may_be_declared_again_and_a_reserved_queue_not(self):
        self.channel.exchange_declare("amq.direct", "direct", durable=True)
        named = self.channel.queue_declare("", exclusive=True).method.queue
        with self.channel_error(403, f"ACCESS_REFUSED - queue name '{named}' contains reserved prefix 'amq.*'"):
            self.channel.queue_declare(named, exclusive=True)

    def test_an_error_text_that_is_too_long_is_cut(self):
        missing = "x" * 250
        with self.channel_error(404, f"NOT_FOUND - no queue '{missing}' in vhost '/'"):
            self.channel.queue_declare(missing, passive=True)

    def test_purge_empties_the_ready_messages_and_counts_them(self):
        queue = self.queue()
        self.publish(queue, *numbered(5))
        holder = self.connection.channel()
        held, _, _ = holder.basic_get(queue)
        self.assertEqual(4, self.channel.queue_purge(queue).method.message_count)
        self.assertEqual(0, self.channel.queue_purge(queue).method.message_count)
        holder.basic_nack(held.delivery_tag, requeue=True)
        holder.close()
        self.assertEqual([numbered(5)[0]], self.drain(queue))

    def test_purge_of_a_missing_queue_is_refused(self):
        with self.channel_error(404, "NOT_FOUND - no queue 'no such queue' in vhost '/'"):
            self.channel.queue_purge("no such queue")

    def test_delete_counts_the_messages(self):
        queue = self.shared_queue()
        self.publish(queue, *numbered(5))
        self.assertEqual(5, self.channel.queue_delete(queue).method.message_count)
        self.assertEqual(0, self.channel.queue_delete(queue).method.message_count)

    def test_delete_if_empty_spares_a_queue_with_messages(self):
        queue = self.shared_queue()
        self.publish(queue, b"x")
        with self.channel_error(406, f"PRECONDITION_FAILED - queue '{queue}' in vhost '/' not empty"):
            self.channel.queue_delete(queue, if_empty=True)
        self.channel.queue_purge(queue)
        self.channel.queue_delete(queue, if_empty=True)

    def test_delete_if_unused_spares_a_queue_with_consumers(self):
        queue = self.shared_queue()
        using = self.connect().channel()
        consumer = Consumer(using, queue)
        with self.channel_error(406, f"PRECONDITION_FAILED - queue '{queue}' in vhost '/' in use"):
            self.channel.queue_delete(queue, if_unused=True)
        using.basic_cancel(consumer.tag)
        self.channel.queue_delete(queue, if_unused=True)

    def test_a_deleted_queue_can_be_declared_anew_and_is_empty(self):
        queue = self.shared_queue()
        for _ in range(20):
            self.publish(queue, b"old")
            self.channel.queue_delete(queue)
            self.assertEqual(0, self.channel.queue_declare(queue).method.message_count)

    def test_names_have_up_to_255_bytes(self):
        name = ("häse-" * 60).encode()[:255].decode(errors="ignore")
        self.assertEqual(name, self.channel.queue_declare(name, exclusive=True).method.queue)
        self.publish(name, b"x")
        self.assertEqual(b"x", self.get(name))


class ExclusiveQueues(BrokerCase):
    def locked(self, queue):
        return (f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{queue}' in vhost '/'. It could be originally "
                "declared on another connection or the exclusive property value does not match that of the original declaration.")

    def test_only_its_connection_uses_it(self):
        queue = self.queue()
        other = self.connect().channel()
        for use in [
            lambda channel: channel.queue_declare(queue, exclusive=True),
            lambda channel: channel.queue_declare(queue),
            lambda channel: channel.queue_declare(queue, passive=True),
            lambda channel: channel.basic_get(queue),
            lambda channel: channel.basic_consume(queue, print),
            lambda channel: channel.queue_purge(queue),
            lambda channel: channel.queue_bind(queue, "amq.fanout"),
            lambda channel: channel.queue_delete(queue),
        ]:
            with self.channel_error(405, self.locked(queue), other):
                use(other)
            other = other.connection.channel()

    def test_others_may_publish_to_it(self):
        queue = self.queue()
        self.publish(queue, b"from afar", channel=self.connect().channel())
        self.assertEqual(b"from afar", self.get(queue))

    def test_a_shared_queue_does_not_become_exclusive(self):
        queue = self.shared_queue()
        with self.channel_error(405, self.locked(queue)):
            self.channel.queue_declare(queue, exclusive=True)

    def test_it_goes_with_its_connection(self):
        owner = self.connect()
        queue = owner.channel().queue_declare("", exclusive=True).method.queue
        owner.close()
        with self.channel_error(404, f"NOT_FOUND - no queue '{queue}' in vhost '/'"):
            self.channel.queue_declare(queue, passive=True)


class AutoDelete(BrokerCase):
    def test_a_queue_goes_with_its_last_consumer(self):
        queue = self.name()
        self.channel.queue_declare(queue, auto_delete=True)
        channel = self.connection.channel()
        one, two = Consumer(channel, queue), Consumer(channel, queue)
        channel.basic_cancel(one.tag)
        self.channel.queue_declare(queue, passive=True)
        channel.basic_cancel(two.tag)
        with self.channel_error(404, f"NOT_FOUND - no queue '{queue}' in vhost '/'"):
            self.channel.queue_declare(queue, passive=True)

    def test_a_queue_goes_when_the_connection_of_its_last_consumer_does(self):
        queue = self.name()
        self.channel.queue_declare(queue, auto_delete=True)
        other = self.connect()
        Consumer(other.channel(), queue)
        other.close()
        with self.channel_error(404, f"NOT_FOUND - no queue '{queue}' in vhost '/'"):
            self.channel.queue_declare(queue, passive=True)

    def test_a_queue_without_a_consumer_waits_for_one(self):
        queue = self.name()
        self.channel.queue_declare(queue, auto_delete=True)
        self.publish(queue, b"x")
        self.assertEqual(b"x", self.get(queue))
        self.channel.queue_declare(queue, passive=True)
        self.channel.queue_delete(queue)

    def test_an_exchange_goes_with_its_last_binding(self):
        exchange, queue = self.name("exchange"), self.queue()
        self.channel.exchange_declare(exchange, "direct", auto_delete=True)
        self.channel.exchange_declare(exchange, passive=True)
        self.channel.queue_bind(queue, exchange, "one")
        self.channel.queue_bind(queue, exchange, "two")
        self.channel.queue_unbind(queue, exchange, "one")
        self.channel.exchange_declare(exchange, passive=True)
        self.channel.queue_unbind(queue, exchange, "two")
        with self.channel_error(404, f"NOT_FOUND - no exchange '{exchange}' in vhost '/'"):
            self.channel.exchange_declare(exchange, passive=True)

    def test_an_exchange_goes_with_the_last_queue_bound_to_it(self):
        exchange, queue = self.name("exchange"), self.queue()
        self.channel.exchange_declare(exchange, "fanout", auto_delete=True)
        self.channel.queue_bind(queue, exchange)
        self.channel.queue_delete(queue)
        with self.channel_error(404, f"NOT_FOUND - no exchange '{exchange}' in vhost '/'"):
            self.channel.exchange_declare(exchange, passive=True)


class Exchanges(BrokerCase):
    def test_the_predeclared_ones_are_there(self):
        for name in ["amq.direct", "amq.fanout", "amq.topic", "amq.headers", "amq.match"]:
            self.channel.exchange_declare(name, passive=True)

    def test_a_passive_declare_of_a_missing_one_is_refused(self):
        with self.channel_error(404, "NOT_FOUND - no exchange 'no such exchange' in vhost '/'"):
            self.channel.exchange_declare("no such exchange", passive=True)

    def test_an_unknown_type_is_refused(self):
        # A connection error until 3.13 (503 COMMAND_INVALID); we follow 4.0, where the channel alone is closed.
        if self.server_version() < (3, 13):
            with self.connection_error(503, "COMMAND_INVALID - unknown exchange type 'x-odd'"):
                self.channel.exchange_declare(self.name(), "x-odd")
        else:
            with self.channel_error(406, "PRECONDITION_FAILED - unknown exchange type 'x-odd'"):
                self.channel.exchange_declare(self.name(), "x-odd")

    def test_a_different_declare_is_refused(self):
        exchange = self.exchange("direct")
        for arguments, text in [
            (("fanout", {}), "'type' for exchange '{}' in vhost '/': received 'fanout' but current is 'direct'"),
            (("direct", {"durable": True}), "'durable' for exchange '{}' in vhost '/': received 'true' but current is 'false'"),
            (("direct", {"auto_delete": True}), "'auto_delete' for exchange '{}' in vhost '/': received 'true' but current is 'false'"),
            (("direct", {"internal": True}), "'internal' for exchange '{}' in vhost '/': received 'true' but current is 'false'"),
        ]:
            kind, flags = arguments
            with self.channel_error(406, "PRECONDITION_FAILED - inequivalent arg " + text.format(exchange)):
                self.channel.exchange_declare(exchange, kind, **flags)

    def test_an_equal_declare_is_welcome(self):
        exchange = self.exchange("fanout", durable=True)
        self.channel.exchange_declare(exchange, "fanout", durable=True)

    def test_the_default_exchange_is_not_to_be_touched(self):
        queue = self.queue()
        for use in [
            lambda channel: channel.exchange_delete(""),
            lambda channel: channel.queue_bind(queue, "", "key"),
            lambda channel: channel.queue_unbind(queue, "", "key"),
        ]:
            with self.channel_error(403, "ACCESS_REFUSED - operation not permitted on the default exchange"):
                use(self.channel)

    def test_the_predeclared_ones_stay(self):
        text = "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed"
        with self.channel_error(403, text):
            self.channel.exchange_delete("amq.direct")

    def test_delete_of_a_missing_one_is_answered(self):
        self.channel.exchange_delete(self.name())

    def test_delete_if_unused_spares_an_exchange_with_bindings(self):
        exchange = self.exchange("direct")
        self.channel.queue_bind(self.queue(), exchange, "key")
        with self.channel_error(406, f"PRECONDITION_FAILED - exchange '{exchange}' in vhost '/' in use"):
            self.channel.exchange_delete(exchange, if_unused=True)
        self.channel.exchange_delete(exchange)
        with self.channel_error(404, f"NOT_FOUND - no exchange '{exchange}' in vhost '/'"):
            self.channel.basic_publish(exchange, "key", b"x")
            self.channel.queue_declare("", exclusive=True)

    def test_an_exchange_deleted_and_declared_anew_has_no_bindings(self):
        exchange, queue = self.exchange("fanout"), self.queue()
        self.channel.queue_bind(queue, exchange)
        self.channel.exchange_delete(exchange)
        self.channel.exchange_declare(exchange, "fanout")
        self.channel.basic_publish(exchange, "", b"x")
        self.assertEqual(None, self.get(queue))


class Bindings(BrokerCase):
    def test_what_is_missing_cannot_be_bound(self):
        with self.channel_error(404, "NOT_FOUND - no queue 'no such queue' in vhost '/'"):
            self.channel.queue_bind("no such queue", "amq.direct", "key")
        queue = self.queue()
        with self.channel_error(404, "NOT_FOUND - no exchange 'no such exchange' in vhost '/'"):
            self.channel.queue_bind(queue, "no such exchange", "key")

    def test_an_unbound_queue_gets_nothing_more(self):
        exchange, queue = self.exchange("direct"), self.queue()
        self.channel.queue_bind(queue, exchange, "key")
        self.channel.basic_publish(exchange, "key", b"bound")
        self.channel.queue_unbind(queue, exchange, "key")
        self.channel.basic_publish(exchange, "key", b"unbound")
        self.assertEqual([b"bound"], self.drain(queue))

    def test_unbinding_what_is_not_bound_is_answered(self):
        self.channel.queue_unbind(self.queue(), "amq.direct", "key")

    def test_a_queue_bound_twice_gets_one_copy(self):
        exchange, queue = self.exchange("fanout"), self.queue()
        self.channel.queue_bind(queue, exchange, "one")
        self.channel.queue_bind(queue, exchange, "two")
        self.channel.basic_publish(exchange, "", b"x")
        self.channel.queue_unbind(queue, exchange, "one")
        self.channel.basic_publish(exchange, "", b"y")
        self.channel.queue_unbind(queue, exchange, "two")
        self.channel.basic_publish(exchange, "", b"z")
        self.assertEqual([b"x", b"y"], self.drain(queue))

    def test_bindings_with_other_arguments_are_others(self):
        exchange, queue = self.exchange("direct"), self.queue()
        self.channel.queue_bind(queue, exchange, "key", arguments={"a": 1})
        self.channel.queue_bind(queue, exchange, "key", arguments={"a": 2})
        self.channel.queue_unbind(queue, exchange, "key", arguments={"a": 1})
        self.channel.basic_publish(exchange, "key", b"x")
        self.channel.queue_unbind(queue, exchange, "key", arguments={"a": 2})
        self.channel.basic_publish(exchange, "key", b"y")
        self.assertEqual([b"x"], self.drain(queue))

    def test_a_message_goes_to_each_bound_queue_once(self):
        exchange = self.exchange("direct")
        queues = [self.queue() for _ in range(10)]
        for queue in queues:
            self.channel.queue_bind(queue, exchange, "key")
        self.channel.basic_publish(exchange, "key", b"x")
        self.channel.basic_publish(exchange, "other", b"y")
        self.assertEqual([[b"x"]] * 10, [self.drain(queue) for queue in queues])

    def test_the_bindings_of_a_deleted_queue_go_with_it(self):
        exchange, queue = self.exchange("fanout"), self.shared_queue()
        self.channel.queue_bind(queue, exchange)
        self.channel.queue_delete(queue)
        self.channel.queue_declare(queue)
        self.channel.basic_publish(exchange, "", b"x")
        self.assertEqual(None, self.get(queue))


if __name__ == "__main__":
    unittest.main()
