#!/usr/bin/env python3
"""What the management API costs: the section of measure.py that runs only when it is named.

management      10,000 queues and 1,000 connections: how long a page of queues and /metrics take, and what it costs the shards that they and
                the overview, connections, channels and exchanges are asked for each second
"""

import http.client
import os
import time

from bench import HTTP, HareMQ, bar, keep, median, row, table
from wire import Wire

QUEUES, CONNECTIONS, ASKED, SECONDS = 10_000, 1_000, 500, 30
PAGE, METRICS = "/api/queues?page=1&page_size=100", "/metrics"
POLLED = [PAGE, METRICS, "/api/overview", "/api/connections?page=1&page_size=100", "/api/channels?page=1&page_size=100",
          "/api/exchanges", "/api/nodes"]


def management():
    table(f"{QUEUES:,} queues, {CONNECTIONS:,} connections: an answer, ms; cost to a shard, % of a core", "shards", "path", "p50", "p99", "max",
          "bytes", "cost while polled each second")
    for shards in ("1", "2"):
        with HareMQ("--shards", shards) as broker:
            wires = [Wire(broker.port) for _ in range(CONNECTIONS)]
            wires[0].declare_pipelined([f"queue-{number:05}" for number in range(QUEUES)], {})
            # The first sample of all of them.
            time.sleep(6)
            client, figures = Client(), {}
            for path in POLLED:
                figures[path] = [client.get(path) for _ in range(ASKED if path in (PAGE, METRICS) else 50)]
            idle = shard_share(broker, lambda: None)
            polled = shard_share(broker, lambda: [client.get(path) for path in POLLED])
            keep(f"management-{shards}", {"ms_and_bytes": figures, "idle_share": idle, "polled_share": polled})
        cost = (polled - idle) * 100 / int(shards)
        for path, answers in figures.items():
            times = sorted(ms for ms, _ in answers)
            p99 = times[len(times) * 99 // 100]
            row(shards, path, f"{median(times):.2f}", f"{p99:.2f}", f"{times[-1]:.2f}", answers[-1][1],
                f"{cost:.2f}" if path == PAGE else "")
            if path in (PAGE, METRICS):
                bar(f"haremq-{shards}", f"{path} p99, ms", p99, most=20)
        bar(f"haremq-{shards}", "cost of polling, % of a shard", cost, most=1)


class Client:
    def __init__(self):
        self.connection = http.client.HTTPConnection("127.0.0.1", HTTP)

    def get(self, path):
        """Milliseconds, and bytes of the body."""
        began = time.perf_counter()
        self.connection.request("GET", path, headers={"Authorization": "Basic Z3Vlc3Q6Z3Vlc3Q="})
        answer = self.connection.getresponse()
        body = answer.read()
        assert answer.status == 200, (path, answer.status, body)
        return (time.perf_counter() - began) * 1000, len(body)


def shard_share(broker, each_second):
    """Cores that all shards were busy with meanwhile."""
    before, began = shards_s(broker), time.monotonic()
    for second in range(SECONDS):
        each_second()
        time.sleep(max(0, began + second + 1 - time.monotonic()))
    return (shards_s(broker) - before) / (time.monotonic() - began)


def shards_s(broker):
    """Seconds of processor that the threads of all shards have had."""
    total = 0
    for task in os.listdir(f"/proc/{broker.pid}/task"):
        with open(f"/proc/{broker.pid}/task/{task}/comm") as name, open(f"/proc/{broker.pid}/task/{task}/schedstat") as stat:
            total += int(stat.read().split()[0]) if name.read().startswith("shard") else 0
    return total / 1e9
