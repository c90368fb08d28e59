"""amqpstorm's tests know port 5672 alone and clean up through the management API; here both go over AMQP at AMQP_PORT."""

import functools
import os

import amqpstorm
from amqpstorm.tests.functional import utility

open_connection = amqpstorm.Connection.__init__


@functools.wraps(open_connection)
def open_connection_at_port(self, *arguments, **more):
    host_name_password_port = 4
    if len(arguments) < host_name_password_port:
        more.setdefault("port", int(os.environ["AMQP_PORT"]))
    open_connection(self, *arguments, **more)


def clean(names, queue=False, exchange=False):
    with amqpstorm.Connection(utility.HOST, utility.USERNAME, utility.PASSWORD) as connection:
        with connection.channel() as channel:
            for name in names:
                if queue:
                    channel.queue.delete(name)
                if exchange:
                    channel.exchange.delete(name)


amqpstorm.Connection.__init__ = open_connection_at_port
utility.clean = clean
