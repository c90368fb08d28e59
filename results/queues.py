#!/usr/bin/env python3
"""What the rules of queues cost: sections of measure.py.

expiry          100,000 messages with a TTL of their own, 50 to 1000 ms: how late each is dead-lettered, and the broker's CPU beside that
                of the same messages moved on, or consumed, after half a second
priorities      255 levels beside a plain queue: consumers that keep up; 200,000 messages in, then out
queue_memory    what an empty queue holds, a plain one and one with 255 levels
nack_loop       a consumer that nacks all it gets back to its queue: the latency that is left to another queue. Half a foreign core multiplies
                the p99 of both sides and hides the ratio: look at p90 and the turns then
million_unacked one million unacked messages, and the end of their socket: memory, order, time

Foreign load shall weigh little: expiry, which leaves the cores idle mostly, runs under SCHED_RR, the rest with the highest share of the
cores; in nack_loop, who takes the latency is SCHED_FIFO. By hand over a socket (wire.py) where a generator's own time would blur the broker's.
"""

import contextlib
import os
import random
import struct
import subprocess
import sys
import threading
import time

import bench
from bench import FIRST, OTHER_CORE, PEERS, REPEATS, ROUND_ROBIN, SECONDS, bar, finish, keep, load, median, row, start, table, under, us
from wire import Delivery, Wire, cancel, consume, publish

NICE = ["nice", "-n", "-20"]
MESSAGES, PACE, WAIT = 100_000, ["-r", "400000", "--burst", "1000"], 0.5
# A broker that does not do what is asked shall not hold the rest up, seconds.
PATIENCE = "60"
DEEP = 200_000
PEERS_HERE = [peer for peer in PEERS if peer in os.environ.get("PEERS", ",".join(PEERS)).split(",")]


def span(values, digits=0):
    return f"{median(values):,.{digits}f} ({min(values):,.{digits}f}-{max(values):,.{digits}f})"


@contextlib.contextmanager
def favoured(peer, scheduling=NICE):
    """A broker that foreign load takes little from."""
    bench.ahead()
    with under(scheduling), PEERS[peer]() as broker:
        bench.ahead(broker.pid)
        yield broker


def expiry():
    """The work queue and the queue of its dead letters are declared one after the other, so two shards have one each."""
    ways = {"expire": expire, "rejected": reject, "consumed": take}
    runs = {}
    for repeat in range(REPEATS):
        for peer in PEERS_HERE:
            for way, run in ways.items():
                with favoured(peer, ROUND_ROBIN) as broker:
                    wire = Wire(broker.port)
                    wire.declare("dead")
                    wire.declare("work", {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"})
                    foreign, before = bench.Foreign(broker), broker.cpu_s()
                    reports = run(broker, f"expiry-{way}-{peer}-{repeat}")
                    figures = {"cpu_s": broker.cpu_s() - before, "foreign": foreign.cores(), "reports": reports}
                keep(f"expiry-{way}-{peer}-{repeat}-cpu", {key: figures[key] for key in ("cpu_s", "foreign")})
                runs.setdefault((peer, way), []).append(figures)
    lateness({peer: runs[peer, "expire"] for peer in PEERS_HERE})
    cost_of_expiry(runs, ways)


def lateness(runs):
    table(f"{MESSAGES:,} messages with a TTL of 50 to 1000 ms each, published a thousand each 2.5 ms: how late they reach the consumer of the "
          f"dead letters, ms (median of {REPEATS} runs, min-max)", "peer", "p50", "p99", "p99.9", "max", "early", "lost", "publisher's lag p99.9",
          "foreign cores")
    for peer in PEERS_HERE:
        expired = [figures["reports"][0] for figures in runs[peer]]
        of = lambda key: [(report["lateness"] or {}).get(key, float("inf")) / 1000 for report in expired]
        late = lambda key: span(of(key), 2)
        row(peer, *map(late, ("p50", "p99", "p999", "max")), *(sum(r["violations"][key] for r in expired) for key in ("early", "lost")),
            span([r["lag"]["p999"] / 1000 for r in expired], 2),
            f"{median(figures['foreign'] for figures in runs[peer]):.2f}")
        bar(peer, "p99.9 of the lateness of dead letters, ms", median(of("p999")), most=10.0)
        bar(peer, "dead letters before their time", sum(r["violations"]["early"] for r in expired), most=0)


def cost_of_expiry(runs, ways):
    table("The broker's CPU for these, ms, beside the same messages without a TTL, which wait 0.5 s", "peer", "expired",
          "rejected one by one to the same dead letters", "expired / rejected", "consumed with automatic acks", "expired / consumed", "intact")
    for peer in PEERS_HERE:
        cpu = {way: [figures["cpu_s"] * 1000 for figures in runs[peer, way]] for way in ways}
        times = lambda way: median(own / other for own, other in zip(cpu["expire"], cpu[way]))
        bar(peer, "CPU with TTL / the same, rejected to the same dead letters", times("rejected"), most=2.0)
        bar(peer, "CPU with TTL / the same, consumed", times("consumed"), most=2.0)
        intact = all(report["intact"] for way in ways for figures in runs[peer, way] for report in figures["reports"])
        row(peer, span(cpu["expire"]), span(cpu["rejected"]), f"{times('rejected'):.2f}", span(cpu["consumed"]), f"{times('consumed'):.2f}", intact)


def expire(broker, name):
    return [load(broker, name, "-p", "-u", "work", "--dead-letter-queue", "dead", "-mp", "expiration=50-1000", "-a", "-C", str(MESSAGES),
                 *PACE, "--drain-timeout", "10")]


def reject(broker, name):
    sink = start(broker, name + "-dead", "-p", "-x", "0", "-u", "dead", "-a", "-D", str(MESSAGES), "-z", PATIENCE)
    filled = fill(broker, name)
    rejecter = load(broker, name + "-rejecter", "-p", "-x", "0", "-u", "work", "-na", "-re", "false", "-D", str(MESSAGES),
                    "-z", PATIENCE)
    return [filled, rejecter, finish(sink)]


def take(broker, name):
    return [fill(broker, name), load(broker, name + "-consumer", "-p", "-x", "0", "-u", "work", "-a", "-D", str(MESSAGES), "-z", PATIENCE)]


def fill(broker, name):
    report = load(broker, name + "-publisher", "-p", "-y", "0", "-u", "work", "-C", str(MESSAGES), *PACE)
    time.sleep(WAIT)
    return report


def priorities():
    kinds = {"plain": [], "255 levels": ["-qa", "x-max-priority=255"]}
    runs = {}
    for repeat in range(REPEATS):
        for peer in PEERS_HERE:
            for kind, arguments in kinds.items():
                with favoured(peer) as broker:
                    name = f"priorities-{kind.replace(' ', '-')}-{peer}-{repeat}"
                    keeping_up = load(broker, name, "-a", "--in-flight", "1000", "-mp", "priority=0-255", "-z", SECONDS, *arguments)
                    declared = {"x-max-priority": 255} if arguments else {}
                    rounds = [fill_and_drain(broker, deep_of(peer), declared) for _ in range(rounds_of(peer))]
                    deep = {key: median(round[key] for round in rounds) for key in rounds[0]}
                    deep["in_order"] = all(round["in_order"] for round in rounds)
                    keep(name + "-deep", rounds)
                runs.setdefault((peer, kind), []).append((keeping_up, deep))
    keeping_up_with_priorities(runs, kinds)
    deep_with_priorities(runs, kinds)


def keeping_up_with_priorities(runs, kinds):
    table(f"Priorities 0 to 255 at random, 16 B, automatic acks, at most 1,000 in flight (median of {REPEATS} interleaved runs, min-max)", "peer",
          "plain/s", "255 levels/s", "ratio", "plain, broker CPU us/delivery", "255 levels", "plain / levels", "intact")
    for peer in PEERS_HERE:
        rates = {kind: [run["delivered_per_second"] for run, _ in runs[peer, kind]] for kind in kinds}
        cpu = {kind: [run["cost"]["broker_cpu_us_per_deliver"] for run, _ in runs[peer, kind]] for kind in kinds}
        ratio = median(levels / plain for plain, levels in zip(rates["plain"], rates["255 levels"]))
        intact = all(run["intact"] for kind in kinds for run, _ in runs[peer, kind])
        bar(peer, "255 levels / plain, consumers keep up: rate", ratio, least=0.8)
        row(peer, span(rates["plain"]), span(rates["255 levels"]), f"{ratio:.2f}", span(cpu["plain"], 3), span(cpu["255 levels"], 3),
            f"{median(plain / levels for plain, levels in zip(cpu['plain'], cpu['255 levels'])):.2f}", intact)


def deep_with_priorities(runs, kinds):
    table("Messages of 16 B with priorities at random published to a queue, then consumed: seconds, and the broker's CPU", "peer", "way",
          "plain s", "255 levels s", "plain / levels", "plain CPU s", "255 levels CPU s", "plain / levels", "in order")
    for peer in PEERS_HERE:
        for way in ("in", "out", "both"):
            cells = []
            for what in ("s", "cpu_s"):
                of = lambda deep: sum(deep[f"{half}_{what}"] for half in (("in", "out") if way == "both" else (way,)))
                plain, levels = ([of(deep) for _, deep in runs[peer, kind]] for kind in ("plain", "255 levels"))
                ratio = median(p / l for p, l in zip(plain, levels))
                cells += [span(plain, 3), span(levels, 3), f"{ratio:.2f}"]
                if (way, what) == ("both", "s"):
                    bar(peer, f"255 levels / plain, {deep_of(peer):,} in, then out: rate", ratio, least=0.8)
            row(f"{peer}, {deep_of(peer):,}", way, *cells, all(deep["in_order"] for kind in kinds for _, deep in runs[peer, kind]))


def deep_of(peer):
    """RabbitMQ takes minutes for 200,000 on 255 levels."""
    return DEEP // 10 if peer == "rabbitmq" else DEEP


def rounds_of(peer):
    """Each half takes HareMQ some 30 ms, and the first time is when the pages of memory come."""
    return 1 if peer == "rabbitmq" else 7


def fill_and_drain(broker, count, arguments):
    """Seconds and the broker's CPU for each half, by a client that only sends what it made before and counts octets."""
    draw, wire = random.Random(1), Wire(broker.port)
    levels = [draw.randrange(256) for _ in range(count)]
    messages = b"".join(publish("", "deep", struct.pack(">QQ", 0, sequence), level) for sequence, level in enumerate(levels))
    assert wire.declare("deep", arguments) == 0
    cpu, began = broker.cpu_s(), time.perf_counter()
    wire.socket.sendall(messages)
    wire.await_count("deep", count)
    figures = {"in_s": time.perf_counter() - began, "in_cpu_s": broker.cpu_s() - cpu}
    record = Delivery("c", "deep", 16, priority=True)
    cpu, began = broker.cpu_s(), time.perf_counter()
    wire.consume("deep")
    (data,) = wire.records(record.size, count, piece=count * record.size)
    figures |= {"out_s": time.perf_counter() - began, "out_cpu_s": broker.cpu_s() - cpu}
    rest = record.size - record.body - 16
    arrived = [sequence for _, sequence in struct.iter_unpack(f">{record.body}xQQ{rest}x", data)]
    by_level = sorted(range(count), key=lambda sequence: (-levels[sequence], sequence))
    figures["in_order"] = arrived == (by_level if arguments else list(range(count)))
    wire.close()
    return figures


def queue_memory():
    table("Memory of empty queues: growth of the resident set, KiB a queue", "peer", "queues", "declared", "each used and emptied", "foreign cores")
    for peer in PEERS_HERE:
        # RabbitMQ has a process a queue, and in it a queue a level.
        plain, levels = (100_000, 10_000) if peer != "rabbitmq" else (10_000, 200)
        for name, count, arguments in [("plain", plain, {}), ("255 levels", levels, {"x-max-priority": 255})]:
            with favoured(peer) as broker:
                foreign, wire = bench.Foreign(broker), Wire(broker.port)
                wire.declare("warm", arguments)
                use(wire, ["warm"])
                names = [f"q{number:06}" for number in range(count)]
                before = settled(broker)
                wire.declare_pipelined(names, arguments)
                declared = settled(broker) - before
                used = None
                if arguments:
                    for at in range(0, count, 100):
                        use(wire, names[at:at + 100])
                    assert all(wire.count(queue) == 0 for queue in names[::97])
                    used = settled(broker) - before
                keep(f"queue-memory-{name.replace(' ', '-')}-{peer}", {"queues": count, "declared_bytes": declared, "used_bytes": used})
                each = lambda growth: "" if growth is None else f"{growth / 1024 / count:.2f}"
                states = [("declared", declared), ("used and emptied", used)]
                for state, growth in [(state, growth) for state, growth in states if growth is not None]:
                    what = f"KiB of each of {count:,} empty queues, {name}, {state}"
                    bar(peer, what, growth / 1024 / count, most=8.0 if arguments else 2.0)
                row(peer, f"{count:,} {name}", each(declared), each(used), f"{foreign.cores():.2f}")


def use(wire, queues):
    """A message of each level through each of the queues."""
    for queue in queues:
        wire.socket.sendall(b"".join(publish("", queue, struct.pack(">QQ", 0, level), level) for level in range(256)))
    for queue in queues:
        wire.send(1, consume(queue, queue, True, nowait=True))
    for queue in queues:
        for _ in wire.records(Delivery(queue, queue, 16, priority=True).size, 256):
            pass
    for queue in queues:
        wire.send(1, cancel(queue))


def settled(broker):
    """The resident set once it stays as it is."""
    last = broker.rss()
    for _ in range(20):
        time.sleep(0.25)
        now = broker.rss()
        if abs(now - last) < 1 << 16:
            return now
        last = now
    return last


def nack_loop():
    """On one shard, that has core 0 and both generators core 1, the paced one first. On two shards the second has core 1 too."""
    table(f"A consumer that nacks everything back, beside 20,000/s paced to another queue (median of {REPEATS} pairs, min-max)", "peer", "the queues",
          "nacked messages", "nacks/s", "p50 us alone", "beside it", "p90 us alone", "beside it", "p99 us alone", "beside it",
          "p99 beside / alone", "p99.9 us alone", "beside it", "turn p99 us", "longest", "foreign cores", "intact")
    cases = [("rabbitmq", None), ("haremq-1", "same shard"), ("haremq-2", "same shard"), ("haremq-2", "other shard")]
    for peer, where in [case for case in cases if case[0] in PEERS_HERE]:
        for ready in (1, 1000):
            pairs = [nack_pair(peer, where, ready, repeat) for repeat in range(REPEATS)]
            cells = []
            for key in ("p50", "p90", "p99", "p999"):
                alone, beside = ([us(pair[which], key) for pair in pairs] for which in ("alone", "beside"))
                cells += [span(alone), span(beside)]
                if key == "p99":
                    ratio = median(b / a for a, b in zip(alone, beside))
                    cells.append(f"{ratio:.2f}")
                    bar(peer, f"p99 beside nacks of {ready:,} / alone, {where or 'another queue'}", ratio, most=2.0)
            row(peer, where or "", f"{ready:,}", span([pair["nacks"] for pair in pairs]), *cells,
                *(span([pair["turns"][key] for pair in pairs]) if where else "" for key in ("p99_us", "max_us")),
                f"{median(pair['alone']['cost']['foreign_cores'] for pair in pairs):.2f}", all(pair["intact"] for pair in pairs))


def nack_pair(peer, where, ready, repeat):
    with favoured(peer) as broker:
        wire = Wire(broker.port)
        nacked, paced = two_queues(broker, wire, where) if where else ("n0", "n1")
        if not where:
            for queue in (nacked, paced):
                wire.declare(queue)
        wire.socket.sendall(b"".join(publish("", nacked, struct.pack(">QQ", sequence, 0)) for sequence in range(ready)))
        wire.await_count(nacked, ready)
        name = f"nack-{peer}-{(where or '').replace(' ', '-')}-{ready}-{repeat}"
        trickle = lambda which: load(broker, f"{name}-{which}", "-p", "-u", paced, "-a", "-r", "20000", "-z", SECONDS, *OTHER_CORE)
        with under(FIRST):
            alone = trickle("alone")
        with under([]):
            loop = start(broker, f"{name}-loop", "-p", "-x", "0", "-u", nacked, "-na", "-z", str(float(SECONDS) + 2.5), *OTHER_CORE)
        time.sleep(0.5)
        with under(FIRST):
            beside = trickle("beside")
        loop = finish(loop)
        turns = max((shard["turns"] for shard in broker.shards()), key=lambda turns: turns["p99_us"]) if where else None
        wire.close()
    intact = alone["intact"] and beside["intact"] and loop["intact"]
    return {"alone": alone, "beside": beside, "nacks": loop["delivered_per_second"], "turns": turns, "intact": intact}


def two_queues(broker, wire, where):
    """Two queues on the same shard or on two, by the shards' own count of what is queued."""
    home = {}
    for number in range(6):
        before = broker.shards()
        queue = f"n{number}"
        wire.declare(queue)
        wire.socket.sendall(publish("", queue))
        wire.await_count(queue, 1)
        grown = [now["counters"]["queued"] - then["counters"]["queued"] for then, now in zip(before, broker.shards())]
        wire.purge(queue)
        home.setdefault(grown.index(1), []).append(queue)
    first = home.get(0) or home[1]
    if where == "same shard":
        return first[0], first[1]
    return home[0][0], home[1][0]


def million_unacked():
    table("One million unacked messages of one channel, when its socket ends", "peer", "body B", "end", "resident MB",
          "peak growth until all are ready, MB", "%", "ready after s", "peak growth while redelivered, MB", "%",
          "redelivered, all marked, in order", "foreign cores")
    for peer in PEERS_HERE:
        rabbit = peer == "rabbitmq"
        for body, end in [(16, "RST"), (16, "kill"), (100, "RST"), (100, "kill"), (1024, "RST"), (1024, "kill")]:
            if rabbit and end == "kill":
                continue
            with favoured(peer) as broker:
                foreign = bench.Foreign(broker)
                figures = end_of_a_holder(broker, body, end, 100_000 if rabbit else 1_000_000)
                figures["foreign"] = foreign.cores()
            keep(f"unacked-{peer}-{body}-{end}", figures)
            growth = 100 * figures["growth_later"] / figures["resident"]
            held = "100,000" if rabbit else "1,000,000"
            bar(peer, f"growth when {held} unacked of {body} B end by {end}, % of before", growth, most=10.0)
            bar(peer, f"these come again marked and in order ({body} B, {end})", int(figures["in_order"]), least=1)
            share = lambda key: (f"{figures[key] / 1e6:.1f}", f"{100 * figures[key] / figures['resident']:.1f}")
            row(f"{peer}{', 100,000' if rabbit else ''}", body, end, f"{figures['resident'] / 1e6:.0f}", *share("growth"),
                f"{figures['ready_s']:.3f}", *share("growth_later"), figures["in_order"], f"{figures['foreign']:.2f}")


def end_of_a_holder(broker, body, end, count):
    wire = Wire(broker.port)
    wire.declare("held")
    content = lambda sequence: struct.pack(">QQ", 0, sequence).ljust(body, b"x")
    for first in range(0, count, 10_000):
        wire.socket.sendall(b"".join(publish("", "held", content(sequence)) for sequence in range(first, first + 10_000)))
    wire.await_count("held", count, pause=0.05)
    hold = [sys.executable, os.path.abspath(__file__), "hold", str(broker.port), "held", str(body), str(count), end]
    holder = subprocess.Popen(hold, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "holding\n"
    assert wire.count("held") == 0
    resident = settled(broker)
    broker.forget_peak()
    with Sampler(broker) as sampler:
        began = time.perf_counter()
        holder.kill() if end == "kill" else print("end", file=holder.stdin, flush=True)
        wire.await_count("held", count)
        ready_s = time.perf_counter() - began
        growth = max(sampler.most, broker.peak()) - resident
        in_order = redelivered_in_order(broker, body, count)
        later = max(sampler.most, broker.peak()) - resident
    holder.wait()
    wire.close()
    return {"resident": resident, "growth": growth, "growth_later": later, "ready_s": ready_s, "in_order": in_order, "samples": sampler.count}


def redelivered_in_order(broker, body, count):
    record, wire = Delivery("c", "held", body), Wire(broker.port)
    wire.consume("held")
    expected, good = 0, True
    shape = f">{record.redelivered}xB{record.body - record.redelivered - 1}xQQ{record.size - record.body - 16}x"
    for data in wire.records(record.size, count):
        for redelivered, _, sequence in struct.iter_unpack(shape, data):
            good &= redelivered == 1 and sequence == expected
            expected += 1
    wire.close()
    return good


class Sampler:
    """Looks at the resident set each 5 ms."""

    def __init__(self, broker):
        self.broker, self.most, self.count, self.stop = broker, 0, 0, threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self.look)
        self.thread.start()
        return self

    def look(self):
        while not self.stop.wait(0.005):
            self.most = max(self.most, self.broker.rss())
            self.count += 1

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


def hold(port, queue, body, count, end):
    """Takes `count` messages, acknowledges none, and waits for its end."""
    wire, record = Wire(int(port)), Delivery("c", queue, int(body))
    wire.consume(queue, no_ack=False)
    for _ in wire.records(record.size, int(count)):
        pass
    print("holding", flush=True)
    sys.stdin.readline()
    assert end == "RST"
    wire.reset()


SECTIONS = [expiry, priorities, queue_memory, nack_loop, million_unacked]

if __name__ == "__main__" and sys.argv[1] == "hold":
    hold(*sys.argv[2:])
