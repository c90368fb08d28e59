"""Publishes orders and takes them: confirms, acknowledgements by hand, and a queue for what nobody can take.

    python orders.py consume 100
    python orders.py publish 100

`pip install pika` before. AMQP_URI says where the broker is.
"""

import os
import sys
import time

import pika
from pika.exceptions import AMQPConnectionError

URI = os.environ.get("AMQP_URI", "amqp://guest:guest@127.0.0.1:5672")
QUEUE = "orders"
REJECTED = "orders.rejected"
PERSISTENT = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent)


def declare(channel):
    """Both sides declare: whoever comes first makes the queues, the other one finds the same."""
    channel.queue_declare(REJECTED, durable=True)
    channel.queue_declare(
        QUEUE,
        durable=True,
        arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": REJECTED},
    )


def publish(count):
    with pika.BlockingConnection(pika.URLParameters(URI)) as connection:
        channel = connection.channel()
        declare(channel)
        channel.confirm_delivery()
        for number in range(1, count + 1):
            order = f"order {number}: {number % 10} pieces"
            # Returns when the broker has it on disk, and raises if it refused it or knows no queue for it. If the connection is
            # lost meanwhile nobody knows whether the broker has it: publish it again, and let consumers expect it twice.
            channel.basic_publish("", QUEUE, order.encode(), PERSISTENT, mandatory=True)
            print("confirmed", order)


def consume(count):
    left = count
    while left > 0:
        try:
            with pika.BlockingConnection(pika.URLParameters(URI)) as connection:
                for _ in take(connection.channel(), left):
                    left -= 1
        except AMQPConnectionError as lost:
            # What was delivered and not acknowledged is in the queue again.
            print("connection lost:", repr(lost), file=sys.stderr)
            time.sleep(1)


def take(channel, count):
    """Yields for each order that is settled."""
    declare(channel)
    channel.basic_qos(prefetch_count=50)
    orders = channel.consume(QUEUE)
    print("waiting", flush=True)
    for _ in range(count):
        method, _, body = next(orders)
        order = body.decode()
        if order.endswith(": 0 pieces"):
            channel.basic_reject(method.delivery_tag, requeue=False)
            print("rejected", order)
        else:
            # Only when the work is done: whoever dies before gets it again.
            channel.basic_ack(method.delivery_tag)
            print("took", order)
        yield
    channel.cancel()


if __name__ == "__main__":
    {"publish": publish, "consume": consume}[sys.argv[1]](int(sys.argv[2]))
