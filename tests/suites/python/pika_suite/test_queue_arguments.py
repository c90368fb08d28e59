"""Queues with arguments, as pika's users declare them: time to live, limits, priorities, dead letters, who consumes."""

import time

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker, NackError

SECONDS_TO_ARRIVE = 10


def eventually(condition):
    """What it answers once that is true."""
    end = time.monotonic() + SECONDS_TO_ARRIVE
    while not (answer := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    assert answer
    return answer


@pytest.fixture
def declare(channel, name):
    """Declares a queue with arguments that goes with the test's connection; answers its name."""

    def declare(**arguments):
        them = {"x-" + key.replace("_", "-"): value for key, value in arguments.items()}
        return channel.queue_declare(name("queue"), exclusive=True, arguments=them).method.queue

    return declare


@pytest.fixture
def got(channel):
    """Method, properties and body of a queue's next message."""
    return lambda queue: channel.basic_get(queue, auto_ack=True)


@pytest.fixture
def bodies(got):
    """The bodies of all that is ready in a queue."""

    def bodies(queue):
        them = []
        while (body := got(queue)[2]) is not None:
            them.append(body)
        return them

    return bodies


def depth(channel, queue):
    return channel.queue_declare(queue, passive=True).method.message_count


def dead_letters_to(queue, **more):
    return {"dead_letter_exchange": "", "dead_letter_routing_key": queue, **more}


def test_messages_of_a_queue_expire_after_its_time_to_live(channel, declare, publish, bodies):
    queue = declare(message_ttl=300)
    publish(queue, b"1", b"2")
    assert depth(channel, queue) == 2
    eventually(lambda: depth(channel, queue) == 0)
    publish(queue, b"3")
    assert bodies(queue) == [b"3"]


def test_a_message_expires_after_its_own_time_to_live(channel, declare, publish, bodies):
    queue = declare()
    publish(queue, b"short", expiration="200")
    publish(queue, b"long", expiration="60000")
    eventually(lambda: depth(channel, queue) == 1)
    assert bodies(queue) == [b"long"]


def test_of_two_times_to_live_the_shorter_counts(channel, declare, publish):
    queue = declare(message_ttl=200)
    publish(queue, b"long", expiration="60000")
    eventually(lambda: depth(channel, queue) == 0)
    queue = declare(message_ttl=60000)
    publish(queue, b"short", expiration="200")
    eventually(lambda: depth(channel, queue) == 0)


def test_a_time_to_live_of_zero_is_for_whom_waits(channel, declare, publish, connection):
    queue = declare(message_ttl=0)
    publish(queue, b"nobody waits")
    assert depth(channel, queue) == 0
    messages = []
    channel.basic_consume(queue, lambda *it: messages.append(it[3]), auto_ack=True)
    publish(queue, b"taken")
    eventually(lambda: connection.process_data_events(0.05) or messages)
    assert messages == [b"taken"]


@pytest.mark.parametrize("expiration", ["soon", "-1", "1.5", ""])
def test_an_expiration_that_is_no_number_closes_the_channel(channel, declare, expiration):
    queue = declare()
    channel.confirm_delivery()
    with pytest.raises(ChannelClosedByBroker) as closed:
        channel.basic_publish("", queue, b"", pika.BasicProperties(expiration=expiration))
    assert closed.value.reply_code == 406
    assert closed.value.reply_text.startswith("PRECONDITION_FAILED - invalid expiration '")


def test_a_queue_that_nobody_uses_expires(connection, channel, name):
    queue = name()
    channel.queue_declare(queue, arguments={"x-expires": 400})
    # Whoever consumes uses it.
    tag = channel.basic_consume(queue, lambda *_: None)
    connection.sleep(0.8)
    channel.queue_declare(queue, passive=True)
    channel.basic_cancel(tag)

    def gone():
        time.sleep(0.6)  # A declare is a use of it too.
        probe = connection.channel()
        try:
            probe.queue_declare(queue, passive=True)
        except ChannelClosedByBroker as closed:
            return closed.reply_code == 404
        probe.close()

    eventually(gone)


def test_a_full_queue_drops_its_oldest(declare, publish, bodies):
    queue = declare(max_length=3)
    publish(queue, *[b"%d" % number for number in range(10)])
    assert bodies(queue) == [b"7", b"8", b"9"]


def test_a_queue_full_of_bytes_drops_its_oldest(declare, publish, bodies):
    queue = declare(max_length_bytes=30)
    publish(queue, *[b"%010d" % number for number in range(10)])
    assert bodies(queue) == [b"%010d" % number for number in range(7, 10)]


def test_a_full_queue_refuses_what_is_new(channel, declare, bodies):
    queue = declare(max_length=2, overflow="reject-publish")
    channel.confirm_delivery()
    channel.basic_publish("", queue, b"1")
    channel.basic_publish("", queue, b"2")
    with pytest.raises(NackError):
        channel.basic_publish("", queue, b"3")
    assert bodies(queue) == [b"1", b"2"]
    channel.basic_publish("", queue, b"4")
    assert bodies(queue) == [b"4"]


def test_a_queue_gives_what_has_priority_first(declare, publish, bodies):
    queue = declare(max_priority=5)
    for priority in [0, 3, 1, 5, 3, 9, None]:
        publish(queue, f"{priority}".encode(), priority=priority)
    assert bodies(queue) == [b"5", b"9", b"3", b"3", b"1", b"0", b"None"]


def death(properties):
    (first, *rest) = properties.headers["x-death"]
    return first, rest


@pytest.mark.parametrize("how", ["rejected", "expired", "maxlen"])
def test_a_dead_letter_says_why(channel, declare, publish, got, how):
    dead = declare()
    queue = declare(**dead_letters_to(dead), **{"maxlen": {"max_length": 1}, "expired": {"message_ttl": 100}}.get(how, {}))
    publish(queue, b"it", correlation_id="kept", headers={"mine": 1}, expiration="60000")
    if how == "rejected":
        channel.basic_nack(channel.basic_get(queue)[0].delivery_tag, requeue=False)
    if how == "maxlen":
        publish(queue, b"another")
    eventually(lambda: depth(channel, dead) == 1)
    method, properties, body = got(dead)
    assert (body, method.exchange, method.routing_key, method.redelivered) == (b"it", "", dead, False)
    assert (properties.correlation_id, properties.expiration, properties.headers["mine"]) == ("kept", None, 1)
    entry, rest = death(properties)
    assert rest == []
    assert (entry["reason"], entry["queue"], entry["exchange"], entry["routing-keys"]) == (how, queue, "", [queue])
    assert (entry["count"], entry["original-expiration"]) == (1, "60000")
    headers = properties.headers
    assert headers["x-first-death-reason"] == how
    assert (headers["x-first-death-queue"], headers["x-first-death-exchange"]) == (queue, "")


def test_a_message_that_dies_again_counts_its_deaths(channel, declare, publish, name):
    """The usual way to try again later: a queue to wait in, whose dead letters go back."""
    work, wait = name("work"), name("wait")
    channel.queue_declare(work, exclusive=True, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": wait})
    channel.queue_declare(
        wait,
        exclusive=True,
        arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": work, "x-message-ttl": 50},
    )
    publish(work, b"again")
    for tries in range(4):
        method, properties, body = eventually(lambda: (got := channel.basic_get(work))[0] and got)
        assert body == b"again"
        counts = {entry["reason"]: entry["count"] for entry in (properties.headers or {}).get("x-death", [])}
        assert counts == ({"rejected": tries, "expired": tries} if tries else {})
        channel.basic_reject(method.delivery_tag, requeue=False)


def test_dead_letters_in_an_endless_circle_are_dropped(channel, declare, publish, name):
    queue = name("circle")
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": queue, "x-message-ttl": 50}
    channel.queue_declare(queue, exclusive=True, arguments=arguments)
    publish(queue, b"round and round")
    eventually(lambda: depth(channel, queue) == 0)
    time.sleep(0.2)
    assert depth(channel, queue) == 0


def test_a_consumer_with_priority_is_served_first(connection, channel, declare, publish):
    queue = declare()
    taken = []
    channel.basic_qos(prefetch_count=2)
    for priority in [1, 10, 5]:
        channel.basic_consume(
            queue, lambda *_, priority=priority: taken.append(priority), arguments={"x-priority": priority}
        )
    publish(queue, *[b"%d" % number for number in range(5)])
    eventually(lambda: connection.process_data_events(0.05) or len(taken) == 5)
    assert sorted(taken) == [1, 5, 5, 10, 10]


def test_one_consumer_is_active_until_it_goes(connection, channel, declare, publish):
    queue = declare(single_active_consumer=True)
    taken = []
    tags = [
        channel.basic_consume(queue, lambda *it, who=who: taken.append((who, it[3])), auto_ack=True) for who in "ab"
    ]
    publish(queue, b"1", b"2", b"3")
    eventually(lambda: connection.process_data_events(0.05) or len(taken) == 3)
    channel.basic_cancel(tags[0])
    publish(queue, b"4")
    eventually(lambda: connection.process_data_events(0.05) or len(taken) == 4)
    assert taken == [("a", b"1"), ("a", b"2"), ("a", b"3"), ("b", b"4")]


def test_what_an_exchange_cannot_route_goes_to_its_alternate(channel, name, queue, got):
    alternate, exchange = name("alternate"), name("exchange")
    channel.exchange_declare(alternate, "fanout", auto_delete=True)
    channel.queue_bind(queue, alternate)
    channel.exchange_declare(exchange, "direct", arguments={"alternate-exchange": alternate})
    channel.confirm_delivery()
    channel.basic_publish(exchange, "nowhere", b"not lost", mandatory=True)
    method, _, body = got(queue)
    assert (method.exchange, method.routing_key, body) == (exchange, "nowhere", b"not lost")
    channel.exchange_delete(exchange)


INVALID = {
    "x-message-ttl": (-1, "invalid arg"),
    "x-expires": (0, "invalid arg"),
    "x-max-length": ("many", "invalid arg"),
    "x-max-priority": (256, "invalid arg"),
    "x-overflow": ("burst", "invalid arg"),
    "x-dead-letter-exchange": (1, "invalid type 'signedint' for arg"),
    "x-single-active-consumer": ("yes", "invalid arg"),
    "x-queue-mode": ("busy", "invalid arg"),
}


@pytest.mark.parametrize("argument", INVALID)
def test_an_argument_that_makes_no_sense_is_refused(channel, name, argument):
    value, what = INVALID[argument]
    with pytest.raises(ChannelClosedByBroker) as closed:
        channel.queue_declare(name(), exclusive=True, arguments={argument: value})
    assert closed.value.reply_code == 406
    assert closed.value.reply_text.startswith(f"PRECONDITION_FAILED - {what} '{argument}' ")


@pytest.mark.parametrize("first, second, received, current", [
    ({"x-message-ttl": 1000}, {"x-message-ttl": 2000}, "'2000'", "'1000'"),
    ({}, {"x-max-length": 5}, "the value '5' of type 'signedint'", "none"),
    ({"x-max-priority": 5}, {}, "none", "the value '5' of type 'signedint'"),
])  # fmt: skip
def test_other_arguments_are_another_queue(connection, channel, name, first, second, received, current):
    queue = name()
    channel.queue_declare(queue, exclusive=True, arguments=first)
    channel.queue_declare(queue, exclusive=True, arguments=first)
    with pytest.raises(ChannelClosedByBroker) as closed:
        channel.queue_declare(queue, exclusive=True, arguments=second)
    (argument,) = {**first, **second}
    assert (closed.value.reply_code, closed.value.reply_text) == (
        406,
        f"PRECONDITION_FAILED - inequivalent arg '{argument}' for queue '{queue}' in vhost '/': "
        f"received {received} but current is {current}",
    )
