"""Scenarios on pika's adapters that speak in callbacks.

A scenario is a generator: what it yields is a call that ends in a callback, and what comes back is what the callback was
given. So one text runs on each event loop, and each step of it is taken inside a callback, as pika's users take theirs.
"""

import asyncio
import collections
import functools

import tornado.ioloop
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.adapters.gevent_connection import GeventConnection
from pika.adapters.select_connection import SelectConnection
from pika.adapters.tornado_connection import TornadoConnection
from pika.spec import Basic

SECONDS_FOR_A_SCENARIO = 20


class Adapter:
    """How one of pika's event loops is made, run, stopped, and called from another thread."""

    def __init__(self, name, connection, loop=lambda: None, start="start", threadsafe="add_callback", close=True):
        self.name, self.connection, self.make_loop = name, connection, loop
        self.start_method, self.threadsafe_method, self.closes = start, threadsafe, close

    def call_from_thread(self, connection, callback):
        getattr(connection.ioloop, self.threadsafe_method)(callback)


ADAPTERS = [
    Adapter("select", SelectConnection, threadsafe="add_callback_threadsafe"),
    Adapter("asyncio", AsyncioConnection, asyncio.new_event_loop, start="run_forever", threadsafe="call_soon_threadsafe"),
    Adapter("tornado", TornadoConnection, lambda: tornado.ioloop.IOLoop(make_current=False)),
    # A hub belongs to its thread and is not closed.
    Adapter("gevent", GeventConnection, close=False),
]


class Play:
    """One scenario on one connection."""

    def __init__(self, adapter, parameters):
        self.adapter, self.parameters = adapter, parameters
        self.closed = Inbox(self)
        self.error = None
        self.begun = False
        self.ended = False
        # Whether the scenario takes what `closed` brings; else a connection that closes is an error.
        self.may_close = False

    def run(self, scenario):
        loop = self.adapter.make_loop()
        if isinstance(loop, asyncio.AbstractEventLoop):
            asyncio.set_event_loop(loop)
        self.steps = scenario(self)
        self.connection = self.adapter.connection(
            self.parameters,
            on_open_callback=lambda connection: self.take(None),
            on_open_error_callback=lambda connection, error: self.take(error),
            on_close_callback=self._on_close,
            custom_ioloop=loop,
        )
        self.connection._adapter_call_later(SECONDS_FOR_A_SCENARIO, self._on_timeout)
        try:
            getattr(self.connection.ioloop, self.adapter.start_method)()
        finally:
            if self.adapter.closes:
                self.connection.ioloop.close()
        if self.error:
            raise self.error

    # What a scenario yields.

    def channel(self, **more):
        return functools.partial(self.connection.channel, on_open_callback=self.take, **more)

    def call(self, function, *arguments, **more):
        """One of the methods that take a `callback`."""
        return functools.partial(function, *arguments, callback=self.take, **more)

    def sleep(self, seconds):
        return lambda: self.connection._adapter_call_later(seconds, lambda: self.take(None))

    def get(self, channel, queue, auto_ack=True):
        """Method, properties and body of a message; three times None if the queue is empty."""
        answered = []

        def answer(*got):
            if not answered:
                answered.append(True)
                self.take(got)

        def ask():
            channel.add_callback(lambda _: answer(None, None, None), [Basic.GetEmpty], one_shot=True)
            channel.basic_get(queue, lambda _, *got: answer(*got), auto_ack=auto_ack)

        return ask

    def inbox(self):
        return Inbox(self)

    # How it goes on.

    def take(self, value):
        """What the last call was waiting for is here: the scenario takes its next step."""
        if self.ended:
            return
        try:
            if self.begun:
                ask = self.steps.send(value)
            else:
                self.begun, self.open_error = True, value
                ask = next(self.steps)
            ask()
        except StopIteration:
            self._end()
        except BaseException as error:  # Told by the test, not to an event loop's own handler.
            self.error = error
            self._end()

    def _end(self):
        self.ended = True
        self.may_close = True
        if self.connection.is_open:
            self.connection.close()
        elif not self.connection.is_closing:
            self._stop()

    def _stop(self):
        if isinstance(self.connection.ioloop, asyncio.AbstractEventLoop):
            self.connection.ioloop.call_soon(self.connection.ioloop.stop)
        else:
            self.connection.ioloop.stop()

    def _on_close(self, connection, error):
        if self.ended:
            self._stop()
        elif self.may_close:
            self.closed.put(error)
        else:
            self.error = error
            self.ended = True
            self._stop()

    def _on_timeout(self):
        if not self.ended:
            self.error = AssertionError(f"a scenario of {SECONDS_FOR_A_SCENARIO} s is not over")
            self._end()


class Inbox:
    """What callbacks bring, for a scenario to take in order."""

    def __init__(self, play):
        self.play = play
        self.items = collections.deque()
        self.wanted = None

    def put(self, *item):
        self.items.append(item[0] if len(item) == 1 else item)
        self._serve()

    def __len__(self):
        return len(self.items)

    def take(self, count=None):
        """One of them, or a list of `count`."""

        def ask():
            self.wanted = count or 1, count is not None
            self.play.connection._adapter_call_later(0, self._serve)

        return ask

    def _serve(self):
        if self.wanted and len(self.items) >= self.wanted[0]:
            (count, several), self.wanted = self.wanted, None
            taken = [self.items.popleft() for _ in range(count)]
            self.play.take(taken if several else taken[0])
