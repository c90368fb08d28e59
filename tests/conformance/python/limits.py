"""What a channel may hold: the limit of all its consumers together (basic.qos global), and how it gives everything back."""

import unittest

from pika.spec import Basic

from support import BrokerCase, Consumer, numbered


class ChannelLimit(BrokerCase):
    def limit(self, count, channel=None):
        (channel or self.channel).basic_qos(prefetch_count=count, global_qos=True)

    def settled(self, *consumers):
        """How much each has been sent, when nothing more comes."""
        self.serve(0.15)
        return [len(consumer.messages) for consumer in consumers]

    def full_queue(self, count=20):
        queue = self.queue()
        self.publish(queue, *numbered(count))
        return queue

    def test_it_holds_for_all_consumers_together(self):
        self.limit(5)
        first, second = (Consumer(self.channel, self.full_queue()) for _ in range(2))
        self.assertEqual(5, sum(self.settled(first, second)))
        consumer = first if first.messages else second
        consumer.ack(0)
        self.assertEqual(6, sum(self.settled(first, second)))

    def test_it_holds_beside_the_count_of_each_consumer(self):
        queue = self.full_queue()
        self.channel.basic_qos(prefetch_count=3)
        self.limit(5)
        consumers = [Consumer(self.channel, queue) for _ in range(2)]
        self.assertEqual([2, 3], sorted(self.settled(*consumers)))

    def test_other_channels_have_their_own(self):
        queue = self.full_queue()
        self.limit(1)
        other = self.connection.channel()
        limited, free = Consumer(self.channel, queue), Consumer(other, queue)
        self.assertEqual([1, 19], self.settled(limited, free))

    def test_a_raised_limit_resumes_at_once(self):
        self.limit(2)
        consumer = Consumer(self.channel, self.full_queue())
        self.assertEqual([2], self.settled(consumer))
        self.limit(5)
        self.assertEqual([5], self.settled(consumer))

    def test_a_lowered_limit_holds_until_enough_is_settled(self):
        self.limit(5)
        consumer = Consumer(self.channel, self.full_queue())
        self.assertEqual([5], self.settled(consumer))
        self.limit(2)
        for index in range(3):
            consumer.ack(index)
        self.assertEqual([5], self.settled(consumer))
        consumer.ack(3)
        self.assertEqual([6], self.settled(consumer))

    def test_zero_lifts_it(self):
        self.limit(2)
        consumer = Consumer(self.channel, self.full_queue())
        self.assertEqual([2], self.settled(consumer))
        self.limit(0)
        self.assertEqual([20], self.settled(consumer))

    def test_a_count_for_each_consumer_to_come_lifts_it(self):
        queue = self.full_queue()
        self.limit(2)
        self.channel.basic_qos(prefetch_count=3)
        consumers = [Consumer(self.channel, queue) for _ in range(2)]
        self.assertEqual([3, 3], self.settled(*consumers))

    def test_what_was_sent_before_counts(self):
        self.channel.basic_qos(prefetch_count=4)
        consumer = Consumer(self.channel, self.full_queue())
        self.assertEqual([4], self.settled(consumer))
        self.limit(2)
        consumer.ack(1, multiple=True)
        self.assertEqual([4], self.settled(consumer))
        consumer.ack(2)
        self.assertEqual([5], self.settled(consumer))

    def test_what_was_fetched_does_not_count(self):
        queue = self.full_queue()
        self.limit(2)
        for _ in range(3):
            self.channel.basic_get(queue)
        consumer = Consumer(self.channel, queue)
        self.assertEqual([2], self.settled(consumer))
        self.assertIsNotNone(self.channel.basic_get(queue)[0])

    def test_what_a_cancelled_consumer_holds_counts(self):
        queue = self.full_queue()
        self.limit(2)
        cancelled = Consumer(self.channel, queue)
        self.assertEqual([2], self.settled(cancelled))
        self.channel.basic_cancel(cancelled.tag)
        consumer = Consumer(self.channel, queue)
        self.assertEqual([0], self.settled(consumer))
        cancelled.ack(0)
        self.assertEqual([1], self.settled(consumer))

    def test_what_is_held_of_a_deleted_queue_counts(self):
        self.limit(2)
        gone = self.full_queue()
        holder = Consumer(self.channel, gone)
        self.assertEqual([2], self.settled(holder))
        self.channel.queue_delete(gone)
        consumer = Consumer(self.channel, self.full_queue())
        self.assertEqual([0], self.settled(consumer))
        holder.ack(1, multiple=True)
        self.assertEqual([2], self.settled(consumer))

    def test_an_idle_queue_keeps_nothing_from_the_others(self):
        self.limit(1)
        queues = [self.queue() for _ in range(6)]
        consumers = [Consumer(self.channel, queue) for queue in queues]
        for number in range(30):
            at = number * 5 % 6
            self.publish(queues[at], b"x")
            arrived = number // 6 + 1
            self.wait_until(lambda: len(consumers[at].messages) == arrived)
            consumers[at].ack()

    def test_busy_queues_share_it(self):
        self.limit(3)
        queues = [self.full_queue(50) for _ in range(4)]
        held = []
        for queue in queues:
            self.channel.basic_consume(queue, lambda _c, method, _p, body: held.append(method.delivery_tag))
        settled = 0
        while settled < 200:
            self.wait_until(lambda: held)
            self.assertLessEqual(len(held), 3)
            self.channel.basic_ack(held.pop(0))
            settled += 1
        self.assertEqual([0] * 4, [self.depth(queue) for queue in queues])

    def test_a_message_given_back_frees_its_place(self):
        self.limit(1)
        consumer = Consumer(self.channel, self.full_queue(2))
        self.wait_until(lambda: len(consumer.messages) == 1)
        self.channel.basic_reject(consumer.tags[0], requeue=False)
        self.wait_until(lambda: len(consumer.messages) == 2)
        self.channel.basic_reject(consumer.tags[1], requeue=True)
        self.wait_until(lambda: len(consumer.messages) == 3)
        self.assertEqual([numbered(2)[0], numbered(2)[1], numbered(2)[1]], consumer.bodies)


class Recover(BrokerCase):
    def recover(self, channel=None):
        answered = []
        request = Basic.Recover(requeue=True)
        (channel or self.channel)._impl._rpc(request, answered.append, [Basic.RecoverOk])
        self.wait_until(lambda: answered)

    def test_messages_return_to_their_old_places(self):
        queue = self.queue()
        self.publish(queue, *numbered(5))
        for _ in range(3):
            self.channel.basic_get(queue)
        self.recover()
        got = [self.channel.basic_get(queue, auto_ack=True) for _ in range(5)]
        self.assertEqual(numbered(5), [body for _, _, body in got])
        self.assertEqual([True] * 3 + [False] * 2, [method.redelivered for method, _, _ in got])
        self.assertEqual([4, 5, 6, 7, 8], [method.delivery_tag for method, _, _ in got])

    def test_a_consumer_is_sent_its_messages_again_behind_the_answer(self):
        queue = self.queue()
        self.publish(queue, *numbered(4))
        self.channel.basic_qos(prefetch_count=2)
        consumer = Consumer(self.channel, queue)
        self.wait_until(lambda: len(consumer.messages) == 2)
        self.recover()
        self.wait_until(lambda: len(consumer.messages) == 4)
        self.assertEqual(numbered(2) * 2, consumer.bodies)
        self.assertEqual([False, False, True, True], [m.redelivered for m, _, _ in consumer.messages])
        with self.channel_error(406, f"PRECONDITION_FAILED - unknown delivery tag {consumer.tags[0]}"):
            consumer.ack(0)
            self.channel.basic_get(queue)

    def test_it_frees_the_limit_of_the_channel(self):
        queue = self.queue()
        self.publish(queue, *numbered(4))
        self.channel.basic_qos(prefetch_count=2, global_qos=True)
        consumer = Consumer(self.channel, queue)
        self.wait_until(lambda: len(consumer.messages) == 2)
        self.channel._impl._send_method(Basic.RecoverAsync(requeue=True))
        self.wait_until(lambda: len(consumer.messages) == 4)
        self.serve(0.1)
        # RabbitMQ's queue may hear of the free limit before it hears what has come back.
        allowed = [numbered(2) * 2] if self.is_haremq() else [numbered(2) * 2, numbered(4)]
        self.assertIn(consumer.bodies, allowed)

    def test_many_messages_of_several_queues_return_in_order(self):
        queues = [self.queue() for _ in range(3)]
        bodies = numbered(7_000)
        for queue in queues:
            for body in bodies:
                self.channel.basic_publish("", queue, body)
        holding = self.connection.channel()
        consumers = [Consumer(holding, queue) for queue in queues]
        self.wait_until(lambda: all(len(consumer.messages) == 7_000 for consumer in consumers))
        for consumer in consumers:
            holding.basic_cancel(consumer.tag)
        self.recover(holding)
        for queue in queues:
            self.assertEqual(7_000, self.depth(queue))
            again = Consumer(self.channel, queue, auto_ack=True)
            self.wait_until(lambda: len(again.messages) == 7_000)
            self.assertEqual(bodies, again.bodies)

    def test_without_requeue_it_is_refused(self):
        for method in [Basic.Recover(requeue=False), Basic.RecoverAsync(requeue=False)]:
            connection = self.connect()
            channel = connection.channel()
            with self.connection_error(540, "NOT_IMPLEMENTED - requeue=false"):
                channel._impl._send_method(method)
                self.serve(5, connection)


if __name__ == "__main__":
    unittest.main()
