"""How long a start takes after kill -9: sections of measure.py, which run only when they are named.

recover_spread    10 GiB of persistent messages of 1 KB over 8 queues
recover_deep      the same in one queue
recover_topology  100,000 durable queues with 500,000 bindings of a topic exchange

Each is made once for each number of shards; then the broker is killed and started REPEATS times, with nothing of its folder in the page
cache. A start is over when it says so, and when a queue is declared passively. Afterwards every queue is asked how many messages it has; of
bindings, each gets a message. RECOVERY_GIB and RECOVERY_QUEUES make it smaller, and then there are no bars.
Needs twice the GiB on the disk and in memory.
"""

import os
import shutil
import threading
import time

from bench import AMQP, PEERS, REPEATS, HareMQ, bar, keep, load, median, row, table
from wire import DECLARE_OK, DURABLE, QUEUE_BIND_OK, Wire, bind, declare, publish

GIB, QUEUES = float(os.environ.get("RECOVERY_GIB", 10)), int(os.environ.get("RECOVERY_QUEUES", 100_000))
FULL = (GIB, QUEUES) == (10, 100_000)
BODY_BYTES, PRODUCERS, BINDINGS_EACH, WIRES = 1024, 8, 5, 8
PEERS_HERE = [peer for peer in PEERS if peer.startswith("haremq") and peer in os.environ.get("PEERS", ",".join(PEERS)).split(",")]
MEMORY = ["--memory-high", "0.95"]


def recover_spread():
    messages("recover-spread", [f"recover-{number}" for number in range(1, 9)], most=15.0)


def recover_deep():
    messages("recover-deep", ["recover-1"], most=None)


def messages(name, queues, most):
    each = int(GIB * 2**30 / BODY_BYTES / PRODUCERS)
    title = f"{GIB:g} GiB of persistent messages of {BODY_BYTES} B in {len(queues)} queue{'s' * (len(queues) > 1)}, after kill -9"
    heads(title)
    for peer in PEERS_HERE:
        with of(peer) as broker:
            assert shutil.disk_usage(broker.data.name).free > 1.5 * GIB * 2**30, "too little room on the disk"
            Wire(AMQP).declare_pipelined(queues, {}, DURABLE)
            began = time.monotonic()
            report = load(broker, f"{name}-{peer}-fill", "-p", "-x", str(PRODUCERS), "-y", "0", "-s", str(BODY_BYTES), "-f", "persistent",
                          "-c", "1000", "-C", str(each), "--queue-pattern", "recover-%d", "--queue-pattern-to", str(len(queues)))
            made_s = time.monotonic() - began
            assert report["confirmed"] == each * PRODUCERS, report["violations"]
            expected = [each * PRODUCERS // len(queues)] * len(queues)
            starts(f"{name}-{peer}", peer, broker, made_s, queues[0], lambda wire: wire.counts(queues) == expected, title, most)


def recover_topology():
    title = f"{QUEUES:,} durable queues with {QUEUES * BINDINGS_EACH:,} bindings, after kill -9"
    heads(title)
    shares = [range(first, QUEUES, WIRES) for first in range(WIRES)]
    for peer in PEERS_HERE:
        with of(peer) as broker:
            Wire(AMQP).exchange("recover", "topic", DURABLE)
            began = time.monotonic()
            on_all_wires(make_share, shares)
            made_s = time.monotonic() - began
            starts(f"recover-topology-{peer}", peer, broker, made_s, queue(0), lambda _: routes_all(shares), title, 10.0)


def make_share(wire, numbers):
    wire.pipelined([declare(queue(number), {}, DURABLE) for number in numbers], DECLARE_OK)
    wire.pipelined([bind(queue(number), "recover", key + ".*") for number in numbers for key in keys(number)], QUEUE_BIND_OK)


def routes_all(shares):
    """Whether each queue gets a message by each of its bindings, and no other. Transient: it is gone with the next kill."""
    outcomes = on_all_wires(route_share, shares)
    return outcomes == [True] * len(shares)


def route_share(wire, numbers):
    wire.socket.sendall(b"".join(publish("recover", key + ".created") for number in numbers for key in keys(number)))
    return set(wire.counts([queue(number) for number in numbers])) == {BINDINGS_EACH}


def queue(number):
    return f"recover-{number}"


def keys(number):
    return [f"orders.{number}.{part}" for part in range(BINDINGS_EACH)]


def on_all_wires(work, shares):
    """What it answers for each share; None where it failed."""
    outcomes = [None] * len(shares)

    def one(at):
        outcomes[at] = work(Wire(AMQP), shares[at])

    threads = [threading.Thread(target=one, args=(at,)) for at in range(len(shares))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def of(peer):
    return HareMQ("--shards", peer.rsplit("-", 1)[1], *MEMORY)


def heads(title):
    table(title, "peer", "start", "made in s", "folder MB", "complete after s", "queue declared after s", "CPU s", "RSS MB", "peak MB", "all there")


def starts(name, peer, broker, made_s, asked, is_all_there, title, most):
    figures = []
    for repeat in range(REPEATS):
        broker.kill()
        forget(broker.data.name)
        folder_mb = size(broker.data.name) / 1e6
        broker.start()
        Wire(AMQP).count(asked)
        declared_s, cpu_s = time.monotonic() - broker.began, broker.cpu_of_all_s()
        rss_mb, peak_mb = broker.rss_mb(), broker.peak() / 2**20
        all_there = is_all_there(Wire(AMQP))
        figures.append({"complete_s": broker.ready_ms / 1000, "declared_s": declared_s, "cpu_s": cpu_s, "folder_mb": folder_mb, "made_s": made_s,
                        "rss_mb": rss_mb, "peak_mb": peak_mb, "all_there": all_there})
        row(peer, repeat + 1, f"{made_s:.1f}", f"{folder_mb:,.0f}", f"{broker.ready_ms / 1000:.2f}",
            f"{declared_s:.2f}", f"{cpu_s:.2f}", f"{rss_mb:,.0f}", f"{peak_mb:,.0f}", "yes" if all_there else "**NO**")
    keep(name, figures)
    if FULL:
        bar(peer, f"{title}: s to a declared queue, median", median(figure["declared_s"] for figure in figures), most=most)
        bar(peer, f"{title}: starts after which something was missing", sum(not figure["all_there"] for figure in figures), most=0)


def forget(folder):
    """Takes what lies in it out of the page cache."""
    for path in files(folder):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def size(folder):
    """Bytes on the disk."""
    return sum(os.stat(path).st_blocks * 512 for path in files(folder))


def files(folder):
    return [os.path.join(at, name) for at, _, names in os.walk(folder) for name in names]


SECTIONS = [recover_spread, recover_deep, recover_topology]
