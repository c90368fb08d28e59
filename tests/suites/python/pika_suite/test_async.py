"""What users of pika's event loops do, on each of them."""

import pika
from pika.exceptions import ChannelClosedByBroker, ChannelClosedByClient

MIB = 1 << 20


def declared(play, channel, **more):
    return play.call(channel.queue_declare, "", exclusive=True, **more)


def test_channels_open_close_and_open_again(play):
    def scenario(play):
        assert play.open_error is None
        first = yield play.channel()
        second = yield play.channel()
        assert (first.channel_number, second.channel_number) == (1, 2)
        closed = play.inbox()
        first.add_on_close_callback(closed.put)
        first.close(1234, "enough")
        channel, reason = yield closed.take()
        assert channel is first and isinstance(reason, ChannelClosedByClient)
        assert (reason.reply_code, reason.reply_text) == (1234, "enough")
        assert (yield play.channel()).is_open
        named = yield play.channel(channel_number=77)
        assert named.channel_number == 77 and named.is_open

    play(scenario)


def test_many_channels_at_once(play):
    def scenario(play):
        opened, closed = play.inbox(), play.inbox()
        for _ in range(200):
            play.connection.channel(on_open_callback=opened.put)
        channels = yield opened.take(200)
        assert sorted(channel.channel_number for channel in channels) == list(range(1, 201))
        for channel in channels:
            channel.add_on_close_callback(closed.put)
            channel.close()
        assert len((yield closed.take(200))) == 200

    play(scenario)


def test_calls_of_one_channel_wait_for_each_other_and_other_channels_do_not(play):
    def scenario(play):
        slow, fast = (yield play.channel()), (yield play.channel())
        order = play.inbox()
        for number in range(20):
            slow.queue_declare("", exclusive=True, callback=lambda _, number=number: order.put(("slow", number)))
        fast.queue_declare("", exclusive=True, callback=lambda _: order.put(("fast", 0)))
        ended = yield order.take(21)
        assert [it for it in ended if it[0] == "slow"] == [("slow", number) for number in range(20)]
        assert ended.index(("fast", 0)) < 20

    play(scenario)


def test_a_channel_that_closes_lets_the_call_before_it_end(play):
    def scenario(play):
        channel = yield play.channel()
        order = play.inbox()
        channel.add_on_close_callback(lambda *_: order.put("closed"))
        channel.queue_declare("", exclusive=True, callback=lambda _: order.put("declared"))
        channel.close()
        assert (yield order.take(2)) == ["declared", "closed"]

    play(scenario)


def test_a_channel_closed_by_the_broker_while_calls_wait_ends_once(play, name):
    """Both sides close: the calls behind the failed one never end, the channel does."""

    def scenario(play):
        channel = yield play.channel()
        closed = play.inbox()
        channel.add_on_close_callback(closed.put)
        channel.queue_declare(name(), passive=True, callback=lambda _: closed.put("never"))
        channel.queue_declare(name(), passive=True, callback=lambda _: closed.put("never"))
        channel.close()
        _, reason = yield closed.take()
        assert isinstance(reason, ChannelClosedByBroker) and reason.reply_code == 404
        assert (yield play.channel()).is_open
        assert len(closed) == 0

    play(scenario)


def test_queues_are_declared_filled_purged_and_deleted(play, name):
    def scenario(play):
        channel = yield play.channel()
        unnamed = (yield declared(play, channel)).method
        assert unnamed.queue.startswith("amq.gen-")
        assert (unnamed.message_count, unnamed.consumer_count) == (0, 0)
        queue = name()
        assert (yield play.call(channel.queue_declare, queue)).method.queue == queue
        # A count may be taken before what was published, until that is confirmed.
        confirmed = play.inbox()
        yield lambda: channel.confirm_delivery(confirmed.put, callback=play.take)
        for body in [b"1", b"2", b"3"]:
            channel.basic_publish("", queue, body)
            yield confirmed.take()
        assert (yield play.call(channel.queue_declare, queue)).method.message_count == 3
        assert (yield play.call(channel.queue_purge, queue)).method.message_count == 3
        channel.basic_publish("", queue, b"4")
        yield confirmed.take()
        assert (yield play.call(channel.queue_delete, queue)).method.message_count == 1
        # One that is not there is deleted too.
        assert (yield play.call(channel.queue_delete, queue)).method.message_count == 0

    play(scenario)


def test_exchanges_are_declared_bound_unbound_and_deleted(play, name):
    def scenario(play):
        channel = yield play.channel()
        queue = (yield declared(play, channel)).method.queue
        outer, inner = name("outer"), name("inner")
        for exchange, kind in [(outer, "topic"), (inner, "fanout")]:
            assert (yield play.call(channel.exchange_declare, exchange, kind)).method.NAME == "Exchange.DeclareOk"
            # The same again is no error, and passive finds it.
            yield play.call(channel.exchange_declare, exchange, kind)
            yield play.call(channel.exchange_declare, exchange, passive=True)
        bound = yield play.call(channel.exchange_bind, inner, outer, "a.#")
        assert bound.method.NAME == "Exchange.BindOk"
        assert (yield play.call(channel.queue_bind, queue, inner, "")).method.NAME == "Queue.BindOk"
        channel.basic_publish(outer, "a.b", b"through both")
        channel.basic_publish(outer, "b.a", b"no way")
        assert (yield play.get(channel, queue))[2] == b"through both"
        assert (yield play.get(channel, queue)) == (None, None, None)
        unbound = yield play.call(channel.exchange_unbind, inner, outer, "a.#")
        assert unbound.method.NAME == "Exchange.UnbindOk"
        channel.basic_publish(outer, "a.b", b"no way")
        assert (yield play.call(channel.queue_unbind, queue, inner, "")).method.NAME == "Queue.UnbindOk"
        channel.basic_publish(inner, "", b"no way")
        assert (yield play.get(channel, queue)) == (None, None, None)
        for exchange in [outer, inner]:
            assert (yield play.call(channel.exchange_delete, exchange)).method.NAME == "Exchange.DeleteOk"

    play(scenario)


def test_a_message_with_all_properties_is_published_and_got(play):
    properties = dict(
        content_type="application/json", content_encoding="utf-8", priority=7, delivery_mode=2,
        correlation_id="correlation", reply_to="reply", expiration="60000", message_id="id", timestamp=1234567890,
        type="type", user_id="guest", app_id="app", cluster_id="cluster",
        headers={"text": "ä", "number": 1 << 40, "negative": -5, "yes": True, "none": None, "bytes": b"\x00\xff",
                 "list": [1, "two", [3]], "table": {"inner": {"deep": 1}}},
    )  # fmt: skip

    def scenario(play):
        channel = yield play.channel()
        queue = (yield declared(play, channel)).method.queue
        channel.basic_publish("", queue, b"body", pika.BasicProperties(**properties))
        method, got, body = yield play.get(channel, queue, auto_ack=False)
        assert (method.delivery_tag, method.redelivered, method.exchange, method.routing_key) == (1, False, "", queue)
        assert {name: getattr(got, name) for name in properties} == properties
        assert body == b"body"
        channel.basic_ack(method.delivery_tag)
        assert (yield play.get(channel, queue)) == (None, None, None)

    play(scenario)


def test_bodies_of_any_size_come_back(play):
    def scenario(play):
        channel = yield play.channel()
        queue = (yield declared(play, channel)).method.queue
        most = play.connection.params.frame_max - 8
        for size in [0, 1, most - 1, most, most + 1, 3 * most, 5 * MIB]:
            body = bytes(range(251)) * (size // 251 + 1)
            channel.basic_publish("", queue, body[:size])
            assert (yield play.get(channel, queue))[2] == body[:size], size

    play(scenario)


def test_small_frames_are_cut_and_joined(play):
    def scenario(play):
        channel = yield play.channel()
        queue = (yield declared(play, channel)).method.queue
        messages = play.inbox()
        yield play.call(channel.basic_consume, queue, lambda *it: messages.put(it[3]), auto_ack=True)
        bodies = [bytes([number]) * 50_000 for number in range(20)]
        for body in bodies:
            channel.basic_publish("", queue, body)
        assert (yield messages.take(20)) == bodies

    play(scenario, frame_max=4096)


def test_a_consumer_gets_messages_in_order_until_it_is_cancelled(play):
    def scenario(play):
        channel = yield play.channel()
        queue = (yield declared(play, channel)).method.queue
        messages, consuming = play.inbox(), play.inbox()
        tag = channel.basic_consume(queue, messages.put, auto_ack=True, consumer_tag="mine", callback=consuming.put)
        assert (yield consuming.take()).method.consumer_tag == tag == "mine"
        bodies = [b"%d" % number for number in range(500)]
        for body in bodies:
            channel.basic_publish("", queue, body)
        got = yield messages.take(500)
        assert [body for *_, body in got] == bodies
        assert [method.delivery_tag for _, method, *_ in got] == list(range(1, 501))
        assert {method.consumer_tag for _, method, *_ in got} == {"mine"}
        assert (yield play.call(channel.basic_cancel, tag)).method.consumer_tag == tag
        channel.basic_publish("", queue, b"left")
        assert (yield play.get(channel, queue))[2] == b"left"
        assert len(messages) == 0 and channel.consumer_tags == []

    play(scenario)


def test_a_consumer_is_told_that_its_queue_is_gone(play, name):
    def scenario(play):
        channel, other = (yield play.channel()), (yield play.channel())
        queue = name()
        yield play.call(channel.queue_declare, queue)
        cancelled = play.inbox()
        channel.add_on_cancel_callback(cancelled.put)
        yield play.call(channel.basic_consume, queue, lambda *_: None, consumer_tag="mine")
        yield play.call(other.queue_delete, queue)
        assert (yield cancelled.take()).method.consumer_tag == "mine"
        assert channel.is_open and channel.consumer_tags == []

    play(scenario)


def test_who_deletes_a_queue_is_answered_before_its_own_consumer_is_told(play, name):
    def scenario(play):
        channel = yield play.channel()
        order = play.inbox()
        channel.add_on_cancel_callback(lambda cancel: order.put(cancel.method.NAME))
        for _ in range(20):
            queue = name()
            yield play.call(channel.queue_declare, queue)
            yield play.call(channel.basic_consume, queue, lambda *_: None)
            channel.queue_delete(queue, callback=lambda deleted: order.put(deleted.method.NAME))
            assert (yield order.take(2)) == ["Queue.DeleteOk", "Basic.Cancel"]

    play(scenario)


def test_a_prefetch_count_of_one_is_a_message_at_a_time(play):
    def scenario(play):
        channel = yield play.channel()
        queue = (yield declared(play, channel)).method.queue
        for number in range(30):
            channel.basic_publish("", queue, b"%d" % number)
        assert (yield play.call(channel.basic_qos, prefetch_count=1)).method.NAME == "Basic.QosOk"
        messages = play.inbox()
        yield play.call(channel.basic_consume, queue, messages.put)
        for number in range(30):
            _, method, _, body = yield messages.take()
            assert (body, method.delivery_tag) == (b"%d" % number, number + 1)
            assert len(messages) == 0
            channel.basic_ack(method.delivery_tag)

    play(scenario)


def test_what_is_given_back_comes_again_as_redelivered(play):
    def scenario(play):
        channel = yield play.channel()
        queue = (yield declared(play, channel)).method.queue
        for body in [b"rejected", b"nacked", b"dropped", b"recovered"]:
            channel.basic_publish("", queue, body)
        got = []
        for _ in range(4):
            got.append((yield play.get(channel, queue, auto_ack=False))[0].delivery_tag)
        channel.basic_reject(got[0], requeue=True)
        channel.basic_nack(got[1], requeue=True)
        channel.basic_reject(got[2], requeue=False)
        assert (yield play.call(channel.basic_recover, requeue=True)).method.NAME == "Basic.RecoverOk"
        for body in [b"rejected", b"nacked", b"recovered"]:
            method, _, again = yield play.get(channel, queue)
            assert (again, method.redelivered) == (body, True)
        assert (yield play.get(channel, queue)) == (None, None, None)

    play(scenario)


def test_a_transaction_is_committed_or_rolled_back(play):
    def scenario(play):
        channel, other = (yield play.channel()), (yield play.channel())
        queue = (yield declared(play, other)).method.queue
        assert (yield play.call(channel.tx_select)).method.NAME == "Tx.SelectOk"
        channel.basic_publish("", queue, b"rolled back")
        assert (yield play.call(channel.tx_rollback)).method.NAME == "Tx.RollbackOk"
        channel.basic_publish("", queue, b"committed")
        assert (yield play.get(other, queue)) == (None, None, None)
        assert (yield play.call(channel.tx_commit)).method.NAME == "Tx.CommitOk"
        assert (yield play.get(other, queue))[2] == b"committed"
        # An ack counts when it is committed.
        channel.basic_publish("", queue, b"acknowledged")
        yield play.call(channel.tx_commit)
        method, *_ = yield play.get(channel, queue, auto_ack=False)
        channel.basic_ack(method.delivery_tag)
        yield play.call(channel.tx_rollback)
        closed = play.inbox()
        channel.add_on_close_callback(closed.put)
        channel.close()
        yield closed.take()
        method, _, body = yield play.get(other, queue)
        assert (method.redelivered, body) == (True, b"acknowledged")

    play(scenario)


def test_every_publish_is_confirmed_and_what_had_no_route_returned_before(play):
    def scenario(play):
        channel = yield play.channel()
        queue = (yield declared(play, channel)).method.queue
        order = play.inbox()
        channel.add_on_return_callback(lambda _, method, properties, body: order.put(("return", method, body)))
        selected = yield lambda: channel.confirm_delivery(order.put, callback=play.take)
        assert selected.method.NAME == "Confirm.SelectOk"
        for number in range(300):
            channel.basic_publish("", queue, b"%d" % number, mandatory=True)
        seen = 0
        while seen < 300:
            method = (yield order.take()).method
            assert method.NAME == "Basic.Ack" and method.delivery_tag > seen
            assert method.multiple or method.delivery_tag == seen + 1
            seen = method.delivery_tag
        channel.basic_publish("amq.direct", "nowhere", b"lost", mandatory=True)
        (what, method, body), ack = yield order.take(2)
        assert (what, method.reply_code, method.reply_text) == ("return", 312, "NO_ROUTE")
        assert (method.exchange, method.routing_key, body) == ("amq.direct", "nowhere", b"lost")
        assert (ack.method.NAME, ack.method.delivery_tag) == ("Basic.Ack", 301)
        channel.basic_publish("amq.direct", "nowhere", b"dropped")
        assert (yield order.take()).method.delivery_tag == 302

    play(scenario)


def test_a_request_is_answered_directly(play):
    def scenario(play):
        client, server = (yield play.channel()), (yield play.channel())
        queue = (yield declared(play, server)).method.queue
        replies, requests = play.inbox(), play.inbox()
        yield play.call(client.basic_consume, "amq.rabbitmq.reply-to", replies.put, auto_ack=True)
        yield play.call(server.basic_consume, queue, requests.put, auto_ack=True)
        for number in range(10):
            asked = pika.BasicProperties(reply_to="amq.rabbitmq.reply-to", correlation_id=str(number))
            client.basic_publish("", queue, b"%d" % number, asked)
            _, _, properties, body = yield requests.take()
            assert properties.reply_to.startswith("amq.rabbitmq.reply-to.")
            answer = pika.BasicProperties(correlation_id=properties.correlation_id)
            server.basic_publish("", properties.reply_to, body * 2, answer)
            _, _, properties, body = yield replies.take()
            assert (properties.correlation_id, body) == (str(number), b"%d" % number * 2)

    play(scenario)
