"""Errors, refusals and lost connections on each of pika's event loops, and what a thread may ask of one."""

import threading

import pika
import pytest
from pika.exceptions import (
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
    ConnectionClosedByClient,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
    StreamLostError,
)

# What to ask of a channel, and the code and text of the broker that closes it. {} is a name that does not exist, Q is a
# queue and X an exchange that do.
CHANNEL_ERRORS = {
    "a queue that is not there": (
        lambda ch, it: ch.queue_declare(it.absent, passive=True), 404, "NOT_FOUND - no queue '{}' in vhost '/'"),
    "an exchange that is not there": (
        lambda ch, it: ch.exchange_declare(it.absent, passive=True), 404, "NOT_FOUND - no exchange '{}' in vhost '/'"),
    "publish to no exchange": (
        lambda ch, it: ch.basic_publish(it.absent, "k", b""), 404, "NOT_FOUND - no exchange '{}' in vhost '/'"),
    "consume from no queue": (
        lambda ch, it: ch.basic_consume(it.absent, print), 404, "NOT_FOUND - no queue '{}' in vhost '/'"),
    "get from no queue": (
        lambda ch, it: ch.basic_get(it.absent, print), 404, "NOT_FOUND - no queue '{}' in vhost '/'"),
    "purge no queue": (
        lambda ch, it: ch.queue_purge(it.absent), 404, "NOT_FOUND - no queue '{}' in vhost '/'"),
    "bind no queue": (
        lambda ch, it: ch.queue_bind(it.absent, "amq.direct", "k"), 404, "NOT_FOUND - no queue '{}' in vhost '/'"),
    "bind to no exchange": (
        lambda ch, it: ch.queue_bind(it.queue, it.absent, "k"), 404, "NOT_FOUND - no exchange '{}' in vhost '/'"),
    "a queue declared otherwise": (
        lambda ch, it: ch.queue_declare(it.queue, auto_delete=True, exclusive=True), 406,
        "PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue 'Q' in vhost '/': received 'true' but current "
        "is 'false'"),
    "an exchange declared otherwise": (
        lambda ch, it: ch.exchange_declare(it.exchange, "topic"), 406,
        "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'X' in vhost '/': received 'topic' but current is "
        "'direct'"),
    "a reserved name": (
        lambda ch, it: ch.queue_declare("amq.mine"), 403,
        "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'"),
    "the default exchange deleted": (
        lambda ch, it: ch.exchange_delete(""), 403,
        "ACCESS_REFUSED - operation not permitted on the default exchange"),
    "a queue in use deleted": (
        lambda ch, it: ch.queue_delete(it.queue, if_empty=True), 406, "PRECONDITION_FAILED - queue 'Q' in vhost '/' not empty"),
    "an unknown delivery tag": (
        lambda ch, it: ch.basic_ack(99), 406, "PRECONDITION_FAILED - unknown delivery tag 99"),
    "commit without a transaction": (
        lambda ch, it: ch.tx_commit(lambda _: None), 406, "PRECONDITION_FAILED - channel is not transactional"),
    "roll back without a transaction": (
        lambda ch, it: ch.tx_rollback(lambda _: None), 406, "PRECONDITION_FAILED - channel is not transactional"),
    "an exclusive consumer beside another": (
        lambda ch, it: ch.basic_consume(it.busy, print, exclusive=True), 403,
        "ACCESS_REFUSED - queue 'B' in vhost '/' in exclusive use"),
}  # fmt: skip


class Names:
    def __init__(self, name):
        self.absent, self.queue, self.exchange, self.busy = name("absent"), name("q"), name("x"), name("busy")

    def in_text(self, text):
        for short, long in [("{}", self.absent), ("'Q'", self.queue), ("'X'", self.exchange), ("'B'", self.busy)]:
            text = text.replace(short, long if short == "{}" else f"'{long}'")
        return text


@pytest.mark.parametrize("what", CHANNEL_ERRORS)
def test_an_error_closes_its_channel_and_no_other(play, name, what):
    ask, code, text = CHANNEL_ERRORS[what]
    it = Names(name)

    def scenario(play):
        channel, other = (yield play.channel()), (yield play.channel())
        yield play.call(other.queue_declare, it.queue, exclusive=True)
        yield play.call(other.queue_declare, it.busy, exclusive=True)
        yield play.call(other.exchange_declare, it.exchange, "direct")
        yield play.call(other.basic_consume, it.busy, print)
        other.basic_publish("", it.queue, b"one")
        yield play.call(other.queue_declare, it.queue, passive=True)
        closed = play.inbox()
        channel.add_on_close_callback(closed.put)
        ask(channel, it)
        _, reason = yield closed.take()
        assert isinstance(reason, ChannelClosedByBroker)
        assert (reason.reply_code, reason.reply_text) == (code, it.in_text(text))
        assert (yield play.get(other, it.queue))[2] == b"one"
        yield play.call(other.exchange_delete, it.exchange)
        assert (yield play.channel()).is_open

    play(scenario)


CONNECTION_ERRORS = {
    "a consumer tag twice": (
        lambda ch: [ch._send_method(method) for method in [
            pika.spec.Queue.Declare(queue="twice", exclusive=True, nowait=True),
            *[pika.spec.Basic.Consume(queue="twice", consumer_tag="same", nowait=True)] * 2]], 530,
        "NOT_ALLOWED - attempt to reuse consumer tag 'same'"),
    "flow control by a client": (
        lambda ch: ch.flow(False), 540, "NOT_IMPLEMENTED - active=false"),
    "immediate": (
        lambda ch: ch._send_method(pika.spec.Basic.Publish(exchange="", routing_key="q", immediate=True),
                                   (pika.BasicProperties(), b"")), 540, "NOT_IMPLEMENTED - immediate=true"),
}  # fmt: skip


@pytest.mark.parametrize("what", CONNECTION_ERRORS)
def test_an_error_of_the_connection_closes_it(play, what):
    ask, code, text = CONNECTION_ERRORS[what]

    def scenario(play):
        channel = yield play.channel()
        closed = play.inbox()
        channel.add_on_close_callback(closed.put)
        play.may_close = True
        ask(channel)
        reason = yield play.closed.take()
        assert isinstance(reason, ConnectionClosedByBroker)
        assert (reason.reply_code, reason.reply_text) == (code, text)
        assert (yield closed.take())[1] is reason

    play(scenario)


def test_flow_may_be_switched_on(play):
    def scenario(play):
        channel = yield play.channel()
        assert (yield play.call(channel.flow, True)) is True

    play(scenario)


def test_a_new_secret_is_accepted(play):
    def scenario(play):
        yield play.call(play.connection.update_secret, "guest", "it is time")
        assert (yield play.channel()).is_open

    play(scenario)


@pytest.mark.parametrize(
    "overrides, error",
    [
        ({"credentials": pika.PlainCredentials("guest", "wrong")}, ProbableAuthenticationError),
        ({"credentials": pika.PlainCredentials("nobody", "guest")}, ProbableAuthenticationError),
        ({"virtual_host": "no such vhost"}, ProbableAccessDeniedError),
    ],
)
def test_who_may_not_come_in_is_told(play, overrides, error):
    def scenario(play):
        reasons = [play.open_error, *getattr(play.open_error, "exceptions", [])]
        assert any(isinstance(reason, error) for reason in reasons), repr(play.open_error)
        assert not play.connection.is_open
        return
        yield

    play(scenario, **overrides)


def test_a_connection_that_is_cut_ends_all_its_channels(play, forwarder):
    def scenario(play):
        channels = [(yield play.channel()), (yield play.channel())]
        queue = (yield play.call(channels[0].queue_declare, "", exclusive=True)).method.queue
        yield play.call(channels[0].basic_consume, queue, print)
        closed = play.inbox()
        for channel in channels:
            channel.add_on_close_callback(closed.put)
        play.may_close = True
        forwarder.cut()
        reason = yield play.closed.take()
        assert isinstance(reason, StreamLostError)
        assert {reason for _, reason in (yield closed.take(2))} == {reason}
        assert play.connection.is_closed

    play(scenario, host="127.0.0.1", port=forwarder.port)


def test_what_a_cut_connection_held_is_there_for_the_next(play, forwarder, name, connect):
    queue = name()
    with connect().channel() as channel:
        channel.queue_declare(queue)
        for number in range(10):
            channel.basic_publish("", queue, b"%d" % number)

    def holds(play):
        channel = yield play.channel()
        messages = play.inbox()
        yield play.call(channel.basic_consume, queue, messages.put)
        yield messages.take(10)
        channel.basic_ack(4, multiple=True)
        yield play.call(channel.basic_qos)
        play.may_close = True
        forwarder.cut()
        yield play.closed.take()

    def finds(play):
        channel = yield play.channel()
        messages = play.inbox()
        yield play.call(channel.basic_consume, queue, messages.put, auto_ack=True)
        got = yield messages.take(6)
        assert [(body, method.redelivered) for _, method, _, body in got] == [(b"%d" % n, True) for n in range(4, 10)]
        yield play.call(channel.queue_delete, queue)

    play(holds, host="127.0.0.1", port=forwarder.port)
    play(finds)


def test_heartbeats_keep_a_quiet_connection(play):
    def scenario(play):
        assert play.connection.params.heartbeat == 1
        yield play.sleep(3.5)
        assert (yield play.channel()).is_open

    play(scenario, heartbeat=1)


def test_who_closes_says_why(play):
    def scenario(play):
        play.may_close = True
        play.connection.close(321, "going home")
        reason = yield play.closed.take()
        assert isinstance(reason, ConnectionClosedByClient)
        assert (reason.reply_code, reason.reply_text) == (321, "going home")

    play(scenario)


def test_threads_publish_through_the_loop(play, in_thread):
    def scenario(play):
        channel = yield play.channel()
        queue = (yield play.call(channel.queue_declare, "", exclusive=True)).method.queue
        messages = play.inbox()
        yield play.call(channel.basic_consume, queue, messages.put, auto_ack=True)

        def work(thread):
            for number in range(50):
                body = b"%d %d" % (thread, number)
                play.adapter.call_from_thread(play.connection, lambda body=body: channel.basic_publish("", queue, body))

        for thread in range(4):
            in_thread(work, thread)
        bodies = [body for *_, body in (yield messages.take(200))]
        for thread in range(4):
            mine = [body for body in bodies if body.startswith(b"%d " % thread)]
            assert mine == [b"%d %d" % (thread, number) for number in range(50)]

    play(scenario)


def test_the_first_of_several_addresses_that_answers_is_taken(parameters):
    """By the workflow that pika has for it, on the loop it was written for."""
    from pika.adapters.select_connection import IOLoop, SelectConnection

    loop, done = IOLoop(), []
    closed_port = parameters(port=1, connection_attempts=1)

    def on_done(result):
        done.append(result)
        if isinstance(result, BaseException):
            return loop.stop()
        result.add_on_close_callback(lambda *_: loop.stop())
        result.close()

    SelectConnection.create_connection([closed_port, parameters()], on_done, loop)
    timer = threading.Timer(20, lambda: loop.add_callback_threadsafe(loop.stop))
    timer.start()
    loop.start()
    timer.cancel()
    assert [type(it).__name__ for it in done] == ["SelectConnection"]
    assert done[0].params.port == parameters().port
