"""Twisted's reactor in a thread of its own, and a connection on it."""

import threading

from pika.adapters.twisted_connection import TwistedProtocolConnection
from twisted.internet import protocol, reactor, threads

SECONDS_FOR_A_TEST = 20


class Reactor:
    def __init__(self):
        self.thread = threading.Thread(target=reactor.run, kwargs={"installSignalHandlers": False}, daemon=True)
        self.thread.start()

    def stop(self):
        reactor.callFromThread(reactor.stop)
        self.thread.join(5)

    def run(self, coroutine, *arguments):
        """Runs it on the reactor; answers what it returns or raises what it raises."""
        from twisted.internet.defer import ensureDeferred

        def start():
            return ensureDeferred(coroutine(*arguments)).addTimeout(SECONDS_FOR_A_TEST, reactor)

        return threads.blockingCallFromThread(reactor, start)


def sleep(seconds):
    from twisted.internet.task import deferLater

    return deferLater(reactor, seconds, lambda: None)


async def connect(parameters):
    """A connection that is ready."""
    creator = protocol.ClientCreator(reactor, TwistedProtocolConnection, parameters)
    connection = await creator.connectTCP(parameters.host, parameters.port)
    return await connection.ready
