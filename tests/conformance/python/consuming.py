"""Consuming: get, acknowledgement, requeue, prefetch, cancel, and what is refused."""

import unittest

from pika.spec import Basic

from support import BrokerCase, Consumer, numbered


class Get(BrokerCase):
    def test_messages_come_one_by_one_with_what_remains(self):
        queue = self.queue()
        self.publish(queue, *numbered(3))
        remaining = []
        while (got := self.channel.basic_get(queue, auto_ack=True))[0]:
            remaining.append((got[0].message_count, got[0].redelivered, got[0].routing_key, got[2]))
        self.assertEqual([(2 - n, False, queue, body) for n, body in enumerate(numbered(3))], remaining)

    def test_an_empty_queue_says_so(self):
        self.assertEqual((None, None, None), self.channel.basic_get(self.queue()))

    def test_what_was_not_acknowledged_returns_when_its_channel_closes(self):
        queue = self.queue()
        self.publish(queue, *numbered(3))
        other = self.connection.channel()
        for _ in range(2):
            other.basic_get(queue)
        self.assertEqual(1, self.depth(queue))
        other.close()
        first = self.channel.basic_get(queue, auto_ack=True)
        self.assertEqual((True, numbered(3)[0]), (first[0].redelivered, first[2]))
        self.assertEqual(numbered(3)[1:], self.drain(queue))


class Settling(BrokerCase):
    def setUp(self):
        super().setUp()
        self.line = self.queue()
        self.publish(self.line, *numbered(5))

    def take(self, count):
        return [self.channel.basic_get(self.line)[0].delivery_tag for _ in range(count)]

    def rest(self):
        got = []
        while (it := self.channel.basic_get(self.line, auto_ack=True))[0]:
            got.append((it[2], it[0].redelivered))
        return got

    def rows(self, *numbers, redelivered=()):
        return [(numbered(5)[n], n in redelivered) for n in numbers]

    def test_a_rejected_message_returns_to_its_old_place(self):
        tags = self.take(3)
        self.channel.basic_reject(tags[1], requeue=True)
        self.assertEqual(self.rows(1, 3, 4, redelivered=[1]), self.rest())

    def test_messages_given_back_out_of_order_return_to_their_old_places(self):
        tags = self.take(4)
        for tag in [tags[2], tags[0], tags[3], tags[1]]:
            self.channel.basic_nack(tag, requeue=True)
        self.assertEqual(self.rows(0, 1, 2, 3, 4, redelivered=[0, 1, 2, 3]), self.rest())

    def test_nack_of_several_gives_back_all_up_to_it(self):
        tags = self.take(4)
        self.channel.basic_nack(tags[2], multiple=True, requeue=True)
        self.assertEqual(self.rows(0, 1, 2, 4, redelivered=[0, 1, 2]), self.rest())

    def test_a_message_rejected_without_requeue_is_gone(self):
        tags = self.take(2)
        self.channel.basic_reject(tags[0], requeue=False)
        self.channel.basic_nack(tags[1], requeue=False)
        self.assertEqual(self.rows(2, 3, 4), self.rest())

    def test_ack_of_several_settles_all_up_to_it(self):
        tags = self.take(4)
        self.channel.basic_ack(tags[2], multiple=True)
        self.channel.close()
        self.channel = self.connection.channel()
        self.assertEqual(self.rows(3, 4, redelivered=[3]), self.rest())

    def test_ack_of_several_with_tag_zero_settles_all(self):
        self.take(4)
        self.channel.basic_ack(0, multiple=True)
        self.channel.close()
        self.channel = self.connection.channel()
        self.assertEqual(self.rows(4), self.rest())

    def test_ack_of_several_with_tag_zero_may_find_nothing(self):
        self.channel.basic_ack(0, multiple=True)
        self.assertEqual(self.rows(0, 1, 2, 3, 4), self.rest())

    def test_an_unknown_delivery_tag_closes_the_channel_and_its_messages_return(self):
        self.take(1)
        with self.channel_error(406, "PRECONDITION_FAILED - unknown delivery tag 42"):
            self.channel.basic_ack(42)
            self.channel.basic_get(self.line)
        self.assertEqual(self.rows(0, 1, 2, 3, 4, redelivered=[0]), self.rest())

    def test_a_message_is_settled_once(self):
        for settle in [self.channel.basic_ack, self.channel.basic_reject, self.channel.basic_nack]:
            with self.subTest(settle=settle.__name__):
                (tag,) = self.take(1)
                self.channel.basic_ack(tag)
                with self.channel_error(406, f"PRECONDITION_FAILED - unknown delivery tag {tag}"):
                    getattr(self.channel, settle.__name__)(tag)
                    self.channel.basic_get(self.line)

    def test_what_needs_no_ack_cannot_be_acknowledged(self):
        tag = self.channel.basic_get(self.line, auto_ack=True)[0].delivery_tag
        with self.channel_error(406, f"PRECONDITION_FAILED - unknown delivery tag {tag}"):
            self.channel.basic_ack(tag)
            self.channel.basic_get(self.line)

    def test_a_message_requeued_by_a_consumer_comes_again_as_redelivered(self):
        consumer = Consumer(self.channel, self.line)
        self.wait_until(lambda: len(consumer.messages) == 5)
        self.channel.basic_nack(consumer.tags[0], requeue=True)
        self.wait_until(lambda: len(consumer.messages) == 6)
        method, _, body = consumer.messages[-1]
        self.assertEqual((6, True, numbered(5)[0]), (method.delivery_tag, method.redelivered, body))


class Prefetch(BrokerCase):
    def test_no_more_than_the_prefetch_count_is_unacknowledged(self):
        queue = self.queue()
        self.publish(queue, *numbered(20))
        self.channel.basic_qos(prefetch_count=3)
        consumer = Consumer(self.channel, queue)
        for acknowledged in range(5):
            self.wait_until(lambda: len(consumer.messages) == 3 + acknowledged)
            self.serve(0.05)
            self.assertEqual(3 + acknowledged, len(consumer.messages))
            consumer.ack(acknowledged)
        self.wait_until(lambda: len(consumer.messages) == 8)
        consumer.ack(7, multiple=True)
        self.wait_until(lambda: len(consumer.messages) == 11)
        self.assertEqual(numbered(20)[:11], consumer.bodies)

    def test_each_consumer_has_its_own_count(self):
        queue = self.queue()
        self.publish(queue, *numbered(20))
        self.channel.basic_qos(prefetch_count=2)
        two = Consumer(self.channel, queue)
        self.channel.basic_qos(prefetch_count=5)
        five = Consumer(self.channel, queue)
        self.wait_until(lambda: len(two.messages) == 2 and len(five.messages) == 5)
        self.serve(0.1)
        self.assertEqual((2, 5), (len(two.messages), len(five.messages)))

    def test_zero_is_no_limit(self):
        queue = self.queue()
        self.publish(queue, *numbered(500))
        self.channel.basic_qos(prefetch_count=1)
        self.channel.basic_qos(prefetch_count=0)
        consumer = Consumer(self.channel, queue)
        self.wait_until(lambda: len(consumer.messages) == 500)

    def test_no_limit_holds_for_messages_that_need_no_ack(self):
        queue = self.queue()
        self.publish(queue, *numbered(100))
        self.channel.basic_qos(prefetch_count=1)
        consumer = Consumer(self.channel, queue, auto_ack=True)
        self.wait_until(lambda: len(consumer.messages) == 100)

    def test_a_message_given_back_frees_its_place(self):
        queue = self.queue()
        self.publish(queue, *numbered(3))
        self.channel.basic_qos(prefetch_count=1)
        consumer = Consumer(self.channel, queue)
        self.wait_until(lambda: consumer.messages)
        self.channel.basic_reject(consumer.tags[0], requeue=False)
        self.wait_until(lambda: len(consumer.messages) == 2)
        self.assertEqual(numbered(3)[:2], consumer.bodies)

    def test_a_size_is_refused(self):
        with self.connection_error(540, "NOT_IMPLEMENTED - prefetch_size!=0 (10)"):
            self.channel.basic_qos(prefetch_size=10)


class Consumers(BrokerCase):
    def test_messages_go_round_the_consumers(self):
        queue = self.queue()
        consumers = [Consumer(self.connection.channel(), queue, auto_ack=True) for _ in range(4)]
        self.publish(queue, *numbered(40))
        self.wait_until(lambda: sum(len(consumer.messages) for consumer in consumers) == 40)
        self.assertEqual([10] * 4, [len(consumer.messages) for consumer in consumers])

    def test_a_cancelled_consumer_gets_nothing_more_and_keeps_what_it_has(self):
        queue = self.queue()
        self.publish(queue, *numbered(3))
        self.channel.basic_qos(prefetch_count=2)
        consumer = Consumer(self.channel, queue)
        self.wait_until(lambda: len(consumer.messages) == 2)
        self.channel.basic_cancel(consumer.tag)
        self.publish(queue, b"later")
        self.serve(0.1)
        self.assertEqual(2, len(consumer.messages))
        other = self.connection.channel()
        self.assertEqual(2, other.queue_declare(queue, passive=True).method.message_count)
        consumer.ack(1, multiple=True)
        self.channel.close()
        self.channel = other
        self.assertEqual([numbered(3)[2], b"later"], self.drain(queue))

    def test_cancel_of_an_unknown_consumer_is_answered(self):
        answered = []
        self.channel._impl._rpc(Basic.Cancel(consumer_tag="nobody"), answered.append, [Basic.CancelOk])
        self.wait_until(lambda: answered)

    def test_the_server_names_consumers(self):
        answered = []
        request = Basic.Consume(queue=self.queue(), consumer_tag="")
        self.channel._impl._rpc(request, answered.append, [Basic.ConsumeOk])
        self.wait_until(lambda: answered)
        self.assertTrue(answered[0].method.consumer_tag.startswith("amq.ctag-"))

    def test_a_consumer_hears_that_its_queue_is_gone(self):
        queue = self.shared_queue()
        cancelled = []
        self.channel.add_on_cancel_callback(cancelled.append)
        consumer = Consumer(self.channel, queue)
        self.connect().channel().queue_delete(queue)
        self.wait_until(lambda: cancelled)
        self.assertEqual([consumer.tag], [frame.method.consumer_tag for frame in cancelled])

    def test_an_exclusive_consumer_is_alone(self):
        queue = self.shared_queue()
        text = f"ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use"
        first = self.connect().channel()
        alone = Consumer(first, queue, exclusive=True)
        with self.channel_error(403, text):
            Consumer(self.channel, queue)
        first.basic_cancel(alone.tag)
        Consumer(first, queue)
        with self.channel_error(403, text):
            Consumer(self.channel, queue, exclusive=True)

    def test_consuming_from_a_missing_queue_is_refused(self):
        with self.channel_error(404, "NOT_FOUND - no queue 'no such queue' in vhost '/'"):
            Consumer(self.channel, "no such queue")
        with self.channel_error(404, "NOT_FOUND - no queue 'no such queue' in vhost '/'"):
            self.channel.basic_get("no such queue")

    def test_an_empty_name_means_the_queue_declared_last(self):
        with self.channel_error(404, "NOT_FOUND - no previously declared queue"):
            self.channel.basic_get("")
        queue = self.queue()
        self.publish(queue, b"x")
        self.assertEqual(b"x", self.get(""))


if __name__ == "__main__":
    unittest.main()
