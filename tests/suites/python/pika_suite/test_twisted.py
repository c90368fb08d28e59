"""pika on Twisted: deferreds in place of callbacks, queues of messages in place of consumers' functions."""

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker, ConsumerCancelled, NackError, UnroutableError
from twisted.internet.defer import DeferredQueue, gatherResults

from twisted_reactor import connect, sleep


@pytest.fixture
def on_reactor(reactor, parameters):
    """Runs a coroutine that is given a connection, and closes that in the end."""

    async def connected(test, overrides):
        connection = await connect(parameters(**overrides))
        try:
            await test(connection)
        finally:
            if connection.is_open:
                await connection.close()

    return lambda test, **overrides: reactor.run(connected, test, overrides)


async def exclusive(channel, **more):
    return (await channel.queue_declare("", exclusive=True, **more)).method.queue


def test_messages_are_published_and_got(on_reactor):
    async def test(connection):
        channel = await connection.channel()
        queue = await exclusive(channel)
        for size in [0, 1, 131_064, 131_065, 1_000_000]:
            await channel.basic_publish("", queue, b"x" * size, pika.BasicProperties(message_id=str(size)))
            _, method, properties, body = await channel.basic_get(queue, auto_ack=True)
            assert (len(body), properties.message_id, method.routing_key) == (size, str(size), queue)
        assert await channel.basic_get(queue, auto_ack=True) is None

    on_reactor(test)


def test_a_consumer_is_a_queue_of_messages(on_reactor):
    async def test(connection):
        channel = await connection.channel()
        queue = await exclusive(channel)
        await channel.basic_qos(prefetch_count=10)
        messages, tag = await channel.basic_consume(queue)
        for number in range(200):
            await channel.basic_publish("", queue, b"%d" % number)
        for number in range(200):
            _, method, _, body = await messages.get()
            assert body == b"%d" % number
            channel.basic_ack(method.delivery_tag)
        await channel.basic_cancel(tag)
        with pytest.raises(ConsumerCancelled):
            await messages.get()

    on_reactor(test)


def test_two_consumers_share_a_queue(on_reactor):
    async def test(connection):
        first, second = await gatherResults([connection.channel(), connection.channel()])
        queue = await exclusive(first)
        (one, _), (two, _) = [await channel.basic_consume(queue, auto_ack=True) for channel in [first, second]]
        for number in range(10):
            await first.basic_publish("", queue, b"%d" % number)
        assert [(await one.get())[3] for _ in range(5)] == [b"0", b"2", b"4", b"6", b"8"]
        assert [(await two.get())[3] for _ in range(5)] == [b"1", b"3", b"5", b"7", b"9"]

    on_reactor(test)


def test_a_deleted_queue_ends_its_consumer(on_reactor, name):
    async def test(connection):
        channel, other = await connection.channel(), await connection.channel()
        queue = name()
        await channel.queue_declare(queue)
        messages, _ = await channel.basic_consume(queue)
        await other.queue_delete(queue)
        with pytest.raises(ConsumerCancelled):
            await messages.get()
        assert channel.is_open

    on_reactor(test)


def test_a_publish_waits_for_its_confirm(on_reactor):
    async def test(connection):
        channel = await connection.channel()
        queue = await exclusive(channel, arguments={"x-max-length": 20, "x-overflow": "reject-publish"})
        await channel.confirm_delivery()
        confirms = [channel.basic_publish("", queue, b"%d" % number, mandatory=True) for number in range(20)]
        assert [(await it).NAME for it in confirms] == ["Basic.Ack"] * 20
        with pytest.raises(NackError):
            await channel.basic_publish("", queue, b"too many")
        with pytest.raises(UnroutableError) as unroutable:
            await channel.basic_publish("amq.topic", "nowhere", b"lost", mandatory=True)
        (returned,) = unroutable.value.messages
        assert (returned.method.reply_code, returned.body) == (312, b"lost")

    on_reactor(test)


def test_what_has_no_route_is_returned(on_reactor):
    async def test(connection):
        channel = await connection.channel()
        returned = DeferredQueue()
        channel.add_on_return_callback(returned.put)
        await channel.basic_publish("amq.direct", "nowhere", b"lost", mandatory=True)
        it = await returned.get()
        assert (it.method.reply_code, it.method.reply_text, it.body) == (312, "NO_ROUTE", b"lost")

    on_reactor(test)


def test_an_error_fails_the_deferreds_of_its_channel(on_reactor, name):
    async def test(connection):
        channel, other = await connection.channel(), await connection.channel()
        with pytest.raises(ChannelClosedByBroker) as closed:
            await channel.queue_declare(name(), passive=True)
        assert closed.value.reply_code == 404
        with pytest.raises(ChannelClosedByBroker):
            await channel.basic_qos(prefetch_count=1)
        assert channel.is_closed and other.is_open

    on_reactor(test)


def test_a_transaction_is_committed_or_rolled_back(on_reactor):
    async def test(connection):
        channel = await connection.channel()
        queue = await exclusive(channel)
        await channel.tx_select()
        await channel.basic_publish("", queue, b"rolled back")
        await channel.tx_rollback()
        await channel.basic_publish("", queue, b"committed")
        await channel.tx_commit()
        assert (await channel.basic_get(queue, auto_ack=True))[3] == b"committed"
        assert await channel.basic_get(queue, auto_ack=True) is None

    on_reactor(test)


def test_exchanges_and_bindings(on_reactor, name):
    async def test(connection):
        channel = await connection.channel()
        queue = await exclusive(channel)
        outer, inner = name("outer"), name("inner")
        await channel.exchange_declare(outer, "headers")
        await channel.exchange_declare(inner, "direct")
        await channel.exchange_bind(inner, outer, arguments={"x-match": "all", "a": 1})
        await channel.queue_bind(queue, inner, "key")
        for headers in [{"a": 1}, {"a": 2}, {"a": 1, "b": 2}]:
            await channel.basic_publish(outer, "key", str(headers).encode(), pika.BasicProperties(headers=headers))
        got = [await channel.basic_get(queue, auto_ack=True) for _ in range(3)]
        assert [it and it[3] for it in got] == [b"{'a': 1}", b"{'a': 1, 'b': 2}", None]
        await channel.queue_unbind(queue, inner, "key")
        await channel.exchange_unbind(inner, outer, arguments={"x-match": "all", "a": 1})
        for exchange in [outer, inner]:
            await channel.exchange_delete(exchange, if_unused=True)

    on_reactor(test)


def test_what_is_rejected_or_recovered_comes_again(on_reactor):
    async def test(connection):
        channel = await connection.channel()
        queue = await exclusive(channel)
        await channel.basic_publish("", queue, b"1")
        await channel.basic_publish("", queue, b"2")
        first, second = await channel.basic_get(queue), await channel.basic_get(queue)
        channel.basic_reject(first[1].delivery_tag, requeue=True)
        channel.basic_nack(second[1].delivery_tag, requeue=True)
        got = [await channel.basic_get(queue) for _ in range(2)]
        assert [(it[3], it[1].redelivered) for it in got] == [(b"1", True), (b"2", True)]
        await channel.basic_recover(requeue=True)
        assert (await channel.queue_purge(queue)).method.message_count == 2

    on_reactor(test)


def test_heartbeats_keep_a_quiet_connection(on_reactor):
    async def test(connection):
        await sleep(3.5)
        assert (await connection.channel()).is_open

    on_reactor(test, heartbeat=1)
