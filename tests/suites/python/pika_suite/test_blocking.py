"""BlockingConnection's own ways: callbacks inside calls, generators, timers, threads, and how each of them ends."""

import functools
import threading
import time

import pika
import pytest
from pika.exceptions import (
    AMQPConnectionError,
    ChannelClosed,
    ChannelClosedByBroker,
    ChannelWrongStateError,
    ConnectionClosed,
    ConnectionWrongStateError,
    DuplicateConsumerTag,
    NackError,
    StreamLostError,
    UnroutableError,
)


@pytest.fixture
def serve(connection):
    """Serves the connection until something holds."""

    def serve(condition, seconds=10):
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            connection.process_data_events(0.05)
        assert condition()

    return serve


def test_the_first_address_that_answers_is_taken(parameters):
    with pika.BlockingConnection([parameters(port=1), parameters()]) as connection:
        assert connection.channel().is_open
    with pytest.raises(AMQPConnectionError):
        pika.BlockingConnection([parameters(port=1), parameters(port=1)])


def test_a_connection_is_closed_once(connect):
    with connect() as connection:
        channel = connection.channel()
    assert connection.is_closed and channel.is_closed
    for call in [connection.close, connection.channel]:
        with pytest.raises(ConnectionWrongStateError):
            call()


def test_a_channel_is_closed_once(channel):
    channel.close()
    for call in [channel.close, channel.basic_qos, functools.partial(channel.queue_declare, "")]:
        with pytest.raises(ChannelWrongStateError):
            call()


def test_what_is_agreed_is_the_lower_limit(connect):
    connection = connect(channel_max=3, frame_max=8192, heartbeat=17)
    agreed = connection._impl.params
    assert (agreed.channel_max, agreed.frame_max, agreed.heartbeat) == (3, 8192, 17)
    for _ in range(3):
        connection.channel()
    with pytest.raises(pika.exceptions.NoFreeChannels):
        connection.channel()


def test_server_capabilities_that_pika_asks_for_are_there(connection):
    assert connection.publisher_confirms_supported
    assert connection.exchange_exchange_bindings_supported
    assert connection.basic_nack_supported
    assert connection.consumer_cancel_notify_supported


def test_start_consuming_ends_when_a_callback_says_so(channel, queue, publish):
    publish(queue, *[b"%d" % number for number in range(5)])
    got = []

    def on_message(channel, method, _, body):
        got.append(body)
        channel.basic_ack(method.delivery_tag)
        if len(got) == 3:
            channel.stop_consuming()

    channel.basic_qos(prefetch_count=1)
    channel.basic_consume(queue, on_message)
    channel.start_consuming()
    assert got == [b"0", b"1", b"2"]
    assert channel.basic_get(queue, auto_ack=True)[2] == b"3"


def test_start_consuming_ends_when_its_queue_is_deleted(connect, channel, name, in_thread):
    queue = name()
    channel.queue_declare(queue)
    cancelled = []
    channel.add_on_cancel_callback(lambda method: cancelled.append(method.method.consumer_tag))
    tag = channel.basic_consume(queue, lambda *_: None)
    other = connect().channel()
    in_thread(lambda: (time.sleep(0.2), other.queue_delete(queue)))
    channel.start_consuming()
    assert cancelled == [tag] and channel.is_open and not channel.consumer_tags


@pytest.mark.parametrize("what", ["channel", "connection"])
def test_a_callback_may_close_what_it_runs_on(connection, channel, queue, publish, what):
    publish(queue, b"1", b"2")
    got = []

    def on_message(channel, *it):
        got.append(it[2])
        (channel if what == "channel" else channel.connection).close()

    channel.basic_consume(queue, on_message)
    channel.start_consuming()
    assert got == [b"1"] and channel.is_closed and connection.is_open == (what == "channel")


def test_start_consuming_raises_what_closed_its_channel(channel, queue, publish):
    publish(queue, b"1")
    channel.basic_consume(queue, lambda channel, *_: channel.basic_ack(12345))
    with pytest.raises(ChannelClosedByBroker) as closed:
        channel.start_consuming()
    assert (closed.value.reply_code, closed.value.reply_text) == (
        406,
        "PRECONDITION_FAILED - unknown delivery tag 12345",
    )


def test_a_callback_may_call_the_broker(channel, queue, publish, name):
    """A call inside a callback; messages that arrive meanwhile wait for their turn."""
    publish(queue, *[b"%d" % number for number in range(20)])
    got = []

    def on_message(channel, method, _, body):
        own = channel.queue_declare("", exclusive=True).method.queue
        channel.basic_publish("", own, body)
        got.append(channel.basic_get(own, auto_ack=True)[2])
        channel.queue_delete(own)
        if len(got) == 20:
            channel.stop_consuming()

    channel.basic_consume(queue, on_message, auto_ack=True)
    channel.start_consuming()
    assert got == [b"%d" % number for number in range(20)]


def test_two_consumers_on_one_channel_have_their_queues(channel, name, serve):
    got = {"a": [], "b": []}
    for letter in "ab":
        channel.queue_declare(queue := name(letter), exclusive=True)
        channel.basic_consume(queue, lambda *it, letter=letter: got[letter].append(it[3]), consumer_tag=letter)
        for number in range(10):
            channel.basic_publish("", queue, f"{letter}{number}".encode())
    serve(lambda: len(got["a"]) == len(got["b"]) == 10)
    for letter in "ab":
        assert got[letter] == [f"{letter}{number}".encode() for number in range(10)]
    with pytest.raises(DuplicateConsumerTag):
        channel.basic_consume(queue, print, consumer_tag="a")


def test_cancel_gives_back_what_no_callback_has_seen(connection, channel, queue, publish):
    publish(queue, *[b"%d" % number for number in range(10)])
    tag = channel.basic_consume(queue, lambda *_: pytest.fail("nobody serves it"))
    channel.basic_cancel(tag)
    assert channel.queue_purge(queue).method.message_count == 10


def test_cancel_answers_with_what_needed_no_ack(channel, queue, publish, connection):
    publish(queue, *[b"%d" % number for number in range(10)])
    tag = channel.basic_consume(queue, lambda *_: pytest.fail("nobody serves it"), auto_ack=True)
    # An answer of the broker comes behind the messages that it has sent.
    time.sleep(0.2)
    channel.basic_qos()
    messages = channel.basic_cancel(tag)
    assert [body for _, _, body in messages] == [b"%d" % number for number in range(10)]
    assert channel.basic_get(queue) == (None, None, None)


class TestGenerator:
    def test_yields_messages_until_it_is_left(self, channel, queue, publish):
        publish(queue, *[b"%d" % number for number in range(10)])
        got = []
        for method, _, body in channel.consume(queue):
            got.append(body)
            channel.basic_ack(method.delivery_tag)
            if len(got) == 4:
                break
        time.sleep(0.2)
        assert channel.cancel() <= 6
        rest = [channel.basic_get(queue, auto_ack=True)[2] for _ in range(6)]
        assert got + rest == [b"%d" % number for number in range(10)]

    def test_wakes_when_nothing_comes(self, channel, queue, publish):
        began = time.monotonic()
        assert next(channel.consume(queue, inactivity_timeout=0.3)) == (None, None, None)
        assert 0.25 <= time.monotonic() - began < 3
        publish(queue, b"late")
        for method, _, body in channel.consume(queue, inactivity_timeout=5):
            assert body == b"late"
            break
        with pytest.raises(ValueError):
            next(channel.consume(queue, auto_ack=True))
        channel.cancel()

    def test_ends_when_its_queue_is_deleted(self, connect, channel, name):
        queue = name()
        channel.queue_declare(queue)
        channel.basic_publish("", queue, b"last")
        other = connect().channel()
        got = []
        for method, _, body in channel.consume(queue, auto_ack=True):
            got.append(body)
            other.queue_delete(queue)
        assert got == [b"last"] and channel.is_open

    def test_ends_with_the_channel(self, channel, queue, publish):
        publish(queue, b"1", b"2")
        with pytest.raises(ChannelClosed):
            for method, *_ in channel.consume(queue):
                channel.basic_ack(method.delivery_tag)
                channel.basic_ack(method.delivery_tag)

    def test_has_no_more_unacknowledged_than_the_prefetch_count(self, connect, channel, queue, publish):
        publish(queue, *[b"%d" % number for number in range(10)])
        channel.basic_qos(prefetch_count=3)
        messages = channel.consume(queue)
        got = [next(messages)[2] for _ in range(3)]
        probe = channel.connection.channel()
        assert probe.queue_declare(queue, passive=True).method.message_count == 7
        channel.close()
        assert probe.queue_purge(queue).method.message_count == 10
        assert got == [b"0", b"1", b"2"]


def test_many_messages_without_confirms(channel, queue, serve):
    got = []
    channel.basic_consume(queue, lambda *it: got.append(it[3]), auto_ack=True)
    for number in range(5000):
        channel.basic_publish("", queue, b"%d" % number)
    serve(lambda: len(got) == 5000, seconds=30)
    assert got == [b"%d" % number for number in range(5000)]


def test_large_messages_between_small_ones(channel, queue, serve):
    bodies = [bytes([number]) * (1 if number % 2 else 2_000_000) for number in range(20)]
    got = []
    channel.basic_consume(queue, lambda *it: got.append(it[3]), auto_ack=True)
    for body in bodies:
        channel.basic_publish("", queue, body)
    serve(lambda: len(got) == 20, seconds=30)
    assert got == bodies


def test_a_confirmed_publish_raises_what_became_of_it(channel, queue, name):
    channel.confirm_delivery()
    channel.basic_publish("", queue, b"fine", mandatory=True)
    channel.basic_publish("amq.direct", "nowhere", b"lost unseen")
    with pytest.raises(UnroutableError) as unroutable:
        channel.basic_publish("amq.direct", "nowhere", b"lost", mandatory=True)
    assert [(it.method.reply_code, it.body) for it in unroutable.value.messages] == [(312, b"lost")]
    full = channel.queue_declare(
        "", exclusive=True, arguments={"x-max-length": 0, "x-overflow": "reject-publish"}
    ).method.queue
    with pytest.raises(NackError):
        channel.basic_publish("", full, b"refused")
    with pytest.raises(ChannelClosedByBroker) as closed:
        channel.basic_publish(name("absent"), "key", b"")
    assert closed.value.reply_code == 404


def test_what_has_no_route_goes_to_the_callback(channel, serve):
    returned = []
    channel.add_on_return_callback(lambda _, method, properties, body: returned.append((method, properties, body)))
    for number in range(3):
        properties = pika.BasicProperties(message_id=str(number))
        channel.basic_publish("amq.topic", "nowhere", b"%d" % number, properties, mandatory=True)
    serve(lambda: len(returned) == 3)
    assert [(m.reply_code, p.message_id, body) for m, p, body in returned] == [
        (312, str(number), b"%d" % number) for number in range(3)
    ]


def test_timers_run_while_the_connection_is_served(connection):
    ran = []
    began = time.monotonic()
    for delay in [0.3, 0.1, 0.2]:
        connection.call_later(delay, lambda delay=delay: ran.append(delay))
    never = connection.call_later(0.1, lambda: ran.append("never"))
    connection.remove_timeout(never)
    connection.sleep(0.6)
    assert ran == [0.1, 0.2, 0.3] and time.monotonic() - began >= 0.6


def test_threads_acknowledge_through_the_connection(connection, channel, queue, publish, in_thread):
    """Work in threads, with the acknowledgement handed back to the connection's own."""
    publish(queue, *[b"%d" % number for number in range(12)])
    done, acked, lock = [], [], threading.Lock()

    def acknowledge(tag):
        channel.basic_ack(tag)
        acked.append(tag)
        if len(acked) == 12:
            channel.stop_consuming()

    def work(tag, body):
        time.sleep(0.05)
        with lock:
            done.append(body)
        connection.add_callback_threadsafe(functools.partial(acknowledge, tag))

    channel.basic_qos(prefetch_count=4)
    channel.basic_consume(queue, lambda _, method, __, body: in_thread(work, method.delivery_tag, body))
    channel.start_consuming()
    assert sorted(done) == sorted(b"%d" % number for number in range(12))
    assert channel.queue_purge(queue).method.message_count == 0


def test_a_cut_connection_raises_and_a_new_one_finds_everything(connect, forwarder, name):
    queue = name()
    connection = connect(host="127.0.0.1", port=forwarder.port)
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare(queue, durable=True)
    for number in range(5):
        channel.basic_publish("", queue, b"%d" % number, pika.BasicProperties(delivery_mode=2))
    held = [channel.basic_get(queue)[2] for _ in range(2)]
    forwarder.cut()
    with pytest.raises(StreamLostError):
        channel.basic_qos()
    assert channel.is_closed and connection.is_closed
    with pytest.raises(ConnectionWrongStateError):
        connection.channel()
    again = connect(host="127.0.0.1", port=forwarder.port).channel()
    got = []
    for method, _, body in again.consume(queue, auto_ack=True, inactivity_timeout=5):
        got.append((body, method.redelivered))
        if len(got) == 5:
            break
    assert got == [(b"%d" % number, number < len(held)) for number in range(5)]
    again.cancel()
    again.queue_delete(queue)


def test_an_exclusive_queue_goes_with_its_connection(connect, name):
    queue = name()
    owner, other = connect(), connect()
    owner.channel().queue_declare(queue, exclusive=True)
    with pytest.raises(ChannelClosedByBroker) as closed:
        other.channel().queue_declare(queue, passive=True)
    assert closed.value.reply_code == 405
    assert closed.value.reply_text.startswith(
        f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{queue}' in vhost '/'"
    )
    owner.close()
    with pytest.raises(ChannelClosedByBroker) as closed:
        other.channel().queue_declare(queue, passive=True)
    assert closed.value.reply_code == 404


def test_what_was_held_returns_to_its_place_when_the_channel_closes(connection, queue, publish):
    publish(queue, *[b"%d" % number for number in range(6)])
    holding, other = connection.channel(), connection.channel()
    tags = [holding.basic_get(queue)[0].delivery_tag for _ in range(4)]
    holding.basic_ack(tags[1])
    holding.close()
    got = [other.basic_get(queue, auto_ack=True) for _ in range(5)]
    assert [(it[2], it[0].redelivered) for it in got] == [
        (b"0", True), (b"2", True), (b"3", True), (b"4", False), (b"5", False),
    ]  # fmt: skip


def test_quiet_connections_live_and_dead_ones_are_noticed(connect, parameters):
    connection = connect(heartbeat=1)
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    connection.sleep(3)
    assert channel.queue_declare(queue, passive=True).method.queue == queue
    # Nobody serves the connection: no heartbeats go out, and the broker gives it up.
    time.sleep(4)
    with pytest.raises((AMQPConnectionError, ConnectionClosed)):
        connection.process_data_events(0)
        channel.queue_declare(queue, passive=True)
