"""Transactions: nothing is out before commit, everything is after it, and a rollback leaves no trace."""

import unittest

from support import BrokerCase, Consumer, numbered


class Transactions(BrokerCase):
    def setUp(self):
        super().setUp()
        self.other = self.connection.channel()
        self.channel.tx_select()

    def count(self, queue):
        """As another channel sees it; this one's turn has come when its own answer is here."""
        self.channel.basic_qos(prefetch_count=0)
        return self.other.queue_declare(queue, passive=True).method.message_count

    def returned(self):
        bodies = []
        self.channel.add_on_return_callback(lambda _channel, _method, _properties, body: bodies.append(body))
        return bodies


class Publishes(Transactions):
    def test_messages_arrive_with_the_commit_and_in_order(self):
        queue = self.queue()
        for body in numbered(200):
            self.channel.basic_publish("", queue, body)
        self.assertEqual(0, self.count(queue))
        self.channel.tx_commit()
        self.assertEqual(200, self.count(queue))
        self.assertEqual(numbered(200), self.drain(queue))

    def test_whoever_sees_commit_ok_finds_every_message_in_every_queue(self):
        exchange = self.exchange("fanout")
        queues = [self.queue() for _ in range(8)]
        for queue in queues:
            self.channel.queue_bind(queue, exchange)
        for commit in range(1, 21):
            self.channel.basic_publish(exchange, "", b"a")
            self.channel.basic_publish(exchange, "", bytes(100_000))
            self.channel.tx_commit()
            for queue in queues:
                self.assertEqual(2 * commit, self.other.queue_declare(queue, passive=True).method.message_count)

    def test_what_was_rolled_back_never_arrives(self):
        queue = self.queue()
        self.channel.basic_publish("", queue, b"never")
        self.channel.tx_rollback()
        self.channel.tx_commit()
        self.assertEqual(0, self.count(queue))
        self.channel.basic_publish("", queue, b"later")
        self.channel.tx_commit()
        self.assertEqual([b"later"], self.drain(queue))

    def test_a_close_without_commit_rolls_back(self):
        queue = self.queue()
        self.channel.basic_publish("", queue, b"never")
        self.channel.close()
        self.assertEqual(0, self.depth_by(self.other, queue))
        with_own = self.connect()
        channel = with_own.channel()
        channel.tx_select()
        shared = self.name("shared")
        self.other.queue_declare(shared)
        self.addCleanup(self.delete_queue, shared)
        channel.basic_publish("", shared, b"never")
        with_own.close()
        self.assertEqual(0, self.depth_by(self.other, shared))

    def depth_by(self, channel, queue):
        return channel.queue_declare(queue, passive=True).method.message_count

    def test_a_consumer_gets_nothing_before_the_commit(self):
        queue = self.queue()
        consumer = Consumer(self.other, queue, auto_ack=True)
        self.channel.basic_publish("", queue, b"x")
        self.serve(0.2)
        self.assertEqual([], consumer.bodies)
        self.channel.tx_commit()
        self.wait_until(lambda: consumer.bodies == [b"x"])

    def test_an_empty_commit_and_rollback_are_fine(self):
        for _ in range(3):
            self.channel.tx_commit()
            self.channel.tx_rollback()

    def test_a_large_transaction_is_committed_whole(self):
        queue = self.queue()
        bodies = [bytes([number % 256]) * 50_000 for number in range(300)]
        for body in bodies:
            self.channel.basic_publish("", queue, body)
        self.channel.tx_commit()
        self.assertEqual(bodies, self.drain(queue))


class Returns(Transactions):
    def test_mandatory_messages_come_back_at_the_commit_and_not_before(self):
        returned = self.returned()
        nowhere = self.name("nowhere")
        self.channel.basic_publish("", nowhere, b"a", mandatory=True)
        self.channel.basic_publish("amq.direct", nowhere, b"b", mandatory=True)
        self.channel.basic_publish("", nowhere, b"not mandatory")
        self.serve(0.2)
        self.assertEqual([], returned)
        self.channel.tx_commit()
        self.wait_until(lambda: len(returned) == 2)
        self.assertEqual([b"a", b"b"], returned)

    def test_what_was_rolled_back_does_not_come_back(self):
        returned = self.returned()
        self.channel.basic_publish("", self.name("nowhere"), b"a", mandatory=True)
        self.channel.tx_rollback()
        self.channel.tx_commit()
        self.serve(0.2)
        self.assertEqual([], returned)

    def test_the_default_exchange_finds_the_queues_that_are_there_at_the_commit(self):
        returned = self.returned()
        late, gone = self.name("late"), self.queue()
        self.channel.basic_publish("", late, b"late")
        self.channel.basic_publish("", gone, b"gone", mandatory=True)
        self.channel.queue_declare(late, exclusive=True)
        self.channel.queue_delete(gone)
        self.channel.tx_commit()
        self.wait_until(lambda: returned)
        self.assertEqual(([b"gone"], [b"late"]), (returned, self.drain(late)))

    def test_another_exchange_routes_when_the_message_is_published(self):
        exchange = self.exchange("direct")
        before, after = self.queue(), self.queue()
        self.channel.queue_bind(before, exchange, "k")
        self.channel.basic_publish(exchange, "k", b"x")
        self.channel.queue_unbind(before, exchange, "k")
        self.channel.queue_bind(after, exchange, "k")
        self.channel.tx_commit()
        self.assertEqual((1, 0), (self.count(before), self.count(after)))

    def test_a_wrong_exchange_is_refused_when_the_message_is_published(self):
        name = self.name("nowhere")
        with self.channel_error(404, f"NOT_FOUND - no exchange '{name}' in vhost '/'"):
            self.channel.basic_publish(name, "k", b"x")
            self.channel.basic_qos()


class Settlements(Transactions):
    def setUp(self):
        super().setUp()
        self.work = self.queue()
        self.publish(self.work, *numbered(4), channel=self.other)

    def get_unacked(self):
        return self.channel.basic_get(self.work)[0].delivery_tag

    def test_acks_count_from_the_commit_on(self):
        """The prefetch count is still used up."""
        self.channel.basic_qos(prefetch_count=1)
        consumer = Consumer(self.channel, self.work)
        self.wait_until(lambda: consumer.messages)
        consumer.ack()
        self.serve(0.2)
        self.assertEqual(1, len(consumer.messages))
        self.channel.tx_commit()
        self.wait_until(lambda: len(consumer.messages) == 2)
        self.assertEqual(numbered(2), consumer.bodies)

    def test_nacks_and_rejects_requeue_at_the_commit(self):
        tags = [self.get_unacked() for _ in range(4)]
        self.channel.basic_nack(tags[1], multiple=True)
        self.channel.basic_reject(tags[3])
        self.channel.basic_reject(tags[2], requeue=False)
        self.assertEqual(0, self.count(self.work))
        self.channel.tx_commit()
        self.assertEqual([b"message 0", b"message 1", b"message 3"], self.drain(self.work))

    def test_after_a_rollback_the_messages_wait_for_their_acks_again(self):
        tags = [self.get_unacked() for _ in range(4)]
        self.channel.basic_ack(tags[2])
        self.channel.basic_nack(tags[1], multiple=True)
        self.channel.tx_rollback()
        self.assertEqual(0, self.count(self.work))
        self.channel.basic_ack(tags[2], multiple=True)
        self.channel.tx_commit()
        self.channel.close()
        self.channel = self.connection.channel()
        self.assertEqual([b"message 3"], self.drain(self.work))

    def test_a_close_without_commit_requeues_what_was_acked(self):
        self.get_unacked()
        self.channel.basic_ack(0, multiple=True)
        self.get_unacked()
        self.channel.close()
        self.channel = self.connection.channel()
        self.assertEqual(numbered(4), self.drain(self.work))

    def test_a_tag_is_checked_when_it_is_settled(self):
        tag = self.get_unacked()
        self.channel.basic_ack(tag)
        with self.channel_error(406, "PRECONDITION_FAILED - unknown delivery tag 1"):
            self.channel.basic_ack(tag)
            self.channel.basic_qos()
        self.assertEqual(4, len(self.drain(self.work)), "the refusal rolled back")

    def test_publishes_and_acks_are_committed_together(self):
        done = self.queue()
        tag = self.get_unacked()
        self.channel.basic_publish("", done, b"result")
        self.channel.basic_ack(tag)
        self.channel.tx_rollback()
        self.channel.basic_publish("", done, b"result")
        self.channel.basic_ack(tag)
        self.channel.tx_commit()
        self.channel.close()
        self.channel = self.connection.channel()
        self.assertEqual(([b"result"], numbered(4)[1:]), (self.drain(done), self.drain(self.work)))


class Modes(BrokerCase):
    def test_select_twice_is_allowed_and_keeps_what_is_open(self):
        queue = self.queue()
        self.channel.tx_select()
        self.channel.basic_publish("", queue, b"x")
        self.channel.tx_select()
        self.channel.tx_commit()
        self.assertEqual(b"x", self.get(queue))

    def test_a_channel_is_not_transactional_until_it_says_so(self):
        for method in ["tx_commit", "tx_rollback"]:
            with self.channel_error(406, "PRECONDITION_FAILED - channel is not transactional"):
                getattr(self.channel, method)()

    def test_a_mode_is_chosen_once(self):
        self.channel.tx_select()
        with self.channel_error(406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode"):
            self.channel.confirm_delivery()
        self.channel.confirm_delivery()
        with self.channel_error(406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode"):
            self.channel.tx_select()


if __name__ == "__main__":
    unittest.main()
