#!/usr/bin/env python3
"""Measures what `loadgen compare` does not, and writes a results folder: every run unedited in raw/, a table per section.

    cargo build --release --workspace && results/measure.py results/<date>-<machine> [section ...]

The generator shares the cores with the broker, so latency tails are partly the scheduler's. In fairness the trickle is
SCHED_FIFO beside the firehose; agreement runs under SCHED_RR, so that what else goes on does not fall on one side of it;
the rest runs as it comes.

Sections (all by default): acks, spread, fairness, mixed, paced, memory, idle, agreement, bindings_come_and_go, many_bindings, matching, and
the group `queues` (queues.py): expiry, priorities, queue_memory, nack_loop, million_unacked, whose bars are in summary-bars.md.
The section management (management.py) and the group `recovery` (recovery.py), which fills disk and memory, run only when they are named:
recover_spread, recover_deep, recover_topology.
Each broker is started fresh for each run, with a folder of its own on a disk; the runs of peers are interleaved. RabbitMQ is Debian's, started by
tests/conformance/rabbitmq.sh. PEERS=haremq-1,haremq-2 leaves some out in the groups; REPEATS and SECONDS_EACH are what they say.

agreement asks whether loadgen's rate is the one that an independent client sees: a C program on rabbitmq-c
(loadgen/tests/independent/client.c, needs cc and librabbitmq-dev). Both load RabbitMQ through a topic exchange with 10,000 bindings, since
there the broker is the limit by far and what a client costs hardly counts.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

import bench
import bindings
import management
import queues
import recovery
from bench import (AMQP, BIN, FIRST, LINES, OTHER_CORE, PEERS, RABBIT, REPEATS, ROOT, ROUND_ROBIN, SECONDS, HareMQ, RabbitMQ, finish,
                   interleaved, load, median, row, scheduler, start, table, under, us)
from wire import Wire

MIXED_SECONDS = os.environ.get("MIXED_SECONDS", "600")

def acks():
    table("Manual ack of 100 at once, prefetch 1000, 16 B, 20,000 in flight, --shards 1", "run", "deliveries/s", "broker CPU us/delivery", "intact")
    for repeat in range(REPEATS):
        with HareMQ("--shards", "1") as broker:
            report = load(broker, f"acks-{repeat}", "-A", "100", "-q", "1000", "--in-flight", "20000", "-z", SECONDS)
        row(repeat, f"{report['delivered_per_second']:,.0f}", f"{report['cost']['broker_cpu_us_per_deliver']:.4f}", report["intact"])


def spread():
    table("8 producers, 8 consumers, 8 queues, 16 B, auto-ack", "shards", "run", "deliveries/s", "share of messages per shard",
          "commands crossed", "intact")
    for repeat in range(REPEATS):
        for shards in ("1", "2"):
            with HareMQ("--shards", shards) as broker:
                report = load(broker, f"spread-{shards}-{repeat}", "-x", "8", "-y", "8", "-a", "--queue-pattern", "q%d",
                              "--queue-pattern-from", "1", "--queue-pattern-to", "8", "-z", SECONDS)
                counters = [shard["counters"] for shard in broker.shards()]
            queued = [c["queued"] for c in counters]
            row(shards, repeat, f"{report['delivered_per_second']:,.0f}",
                " ".join(f"{q / sum(queued):.2f}" for q in queued), sum(c["commands_sent"] for c in counters), report["intact"])


def fairness():
    """The shard has core 0, both generators core 1."""
    table("A trickle of 100/s beside a firehose on one shard (generators on the other core)", "run", "firehose/s", "trickle p50 us", "p99 us", "max us",
          "turn p99.9 us", "turn max us", "intact")
    for repeat in range(REPEATS):
        with HareMQ("--shards", "1") as broker:
            firehose = start(broker, f"firehose-{repeat}", "-a", "-z", "12", "--id", "firehose", "-u", "firehose", *OTHER_CORE)
            time.sleep(1)
            with under(FIRST):
                trickle = load(broker, f"trickle-{repeat}", "-a", "-r", "100", "-z", "9", "--id", "trickle", "-u", "trickle", *OTHER_CORE)
            hose = finish(firehose)
            turns = broker.shards()[0]["turns"]
        row(repeat, f"{hose['delivered_per_second']:,.0f}", f"{us(trickle):.0f}", f"{us(trickle, 'p99'):.0f}",
            f"{us(trickle, 'max'):.0f}", f"{turns['p99_9_us']:.0f}", f"{turns['max_us']:.0f}", hose["intact"] and trickle["intact"])


def mixed():
    """Several loads at once; a stall is what the paced ones see, and the longest turn."""
    table(f"Mixed load for {MIXED_SECONDS} s on two shards", "load", "deliveries/s", "p50 us", "p99 us", "p99.9 us", "max us", "intact")
    loads = {
        "trickle 100/s": ["-a", "-r", "100", "-u", "m1"],
        "paced 5,000/s, 1 KB, confirms, ack each": ["-r", "5000", "-s", "1024", "-c", "100", "-q", "100", "-u", "m2"],
        "fanout to 5, 2,000/s": ["-a", "-r", "2000", "-e", "mixed", "-t", "fanout", "-y", "5", "--queue-pattern", "m3-%d",
                                 "--queue-pattern-from", "1", "--queue-pattern-to", "5"],
        "in flight 1,000, ack of 100": ["-A", "100", "-q", "500", "--in-flight", "1000", "-r", "50000", "-u", "m4"],
    }
    with HareMQ("--shards", "2") as broker:
        runs = {name: start(broker, f"mixed-{at}", *options, "-z", MIXED_SECONDS, "--threads", "1", "--id", f"mixed-{at}")
                for at, (name, options) in enumerate(loads.items())}
        for name, run in runs.items():
            report = finish(run)
            row(name, f"{report['delivered_per_second']:,.0f}", *(f"{us(report, key):.0f}" for key in ("p50", "p99", "p999", "max")),
                report["intact"])
        for shard in broker.shards():
            turns = shard["turns"]
            row(f"turns of shard {shard['shard']}", turns["count"], f"{turns['p50_us']:.0f}", f"{turns['p99_us']:.0f}",
                f"{turns['p99_9_us']:.0f}", f"{turns['max_us']:.0f}", "")


def paced():
    reports = interleaved(["9"], ["-z", SECONDS], prefix="paced-")
    table(f"20,000/s paced, 16 B: medians of {REPEATS} interleaved runs (min-max)", "peer", "p50 us", "p99 us", "p99.9 us",
          "max us", "broker CPU us/msg", "foreign cores")
    for peer in PEERS:
        runs = reports["9", peer]
        cells = []
        for key in ("p50", "p99", "p999", "max"):
            values = [us(run, key) for run in runs]
            cells.append(f"{median(values):.0f} ({min(values):.0f}-{max(values):.0f})")
        row(peer, *cells, f"{median(r['cost']['broker_cpu_us_per_deliver'] for r in runs):.1f}",
            f"{median(r['cost']['foreign_cores'] for r in runs):.2f}")


def memory():
    table("Memory", "what", "MB", "per unit")
    with HareMQ("--shards", "2") as broker:
        time.sleep(1)
        idle = broker.rss_mb()
        row("idle, 2 shards", f"{idle:.1f}", "")
        wires = [Wire(AMQP) for _ in range(2000)]
        time.sleep(2)
        grown = broker.rss_mb() - idle
        row("2,000 idle connections, a channel each", f"+{grown:.1f}", f"{grown * 1024 / 2000:.1f} KiB")
        for wire in wires:
            wire.close()
    with HareMQ("--shards", "2") as broker:
        time.sleep(1)
        idle = broker.rss_mb()
        report = load(broker, "million", "-y", "0", "-C", "1000000", "-z", "60")
        grown = report["cost"]["broker_peak_bytes"] / 2**20 - idle
        row("one million ready messages of 16 B", f"+{grown:.0f}", f"{grown * 2**20 / 1e6:.0f} B")
    limit = 200_000_000
    with HareMQ("--shards", "2", "--memory-high", str(limit)) as broker:
        report = load(broker, "slow-consumer", "-a", "-R", "100", "-s", "1024", "-z", "10", "--drain-timeout", "1")
        row(f"a consumer of 100/s, a publisher at full speed, --memory-high {limit / 1e6:.0f} MB",
            f"{report['cost']['broker_peak_bytes'] / 1e6:.0f}", f"{report['published_per_second']:,.0f} published/s")


def idle():
    table("Idle", "what", "value")
    with HareMQ("--shards", "2") as broker:
        row("ready after", f"{broker.ready_ms:.0f} ms")
        time.sleep(2)
        before, began = broker.cpu_s(), time.monotonic()
        time.sleep(20)
        row("CPU of 2 idle shards", f"{(broker.cpu_s() - before) / (time.monotonic() - began) * 100:.2f} % of a core")


def agreement():
    table("The rate that loadgen and a client on rabbitmq-c see of the same RabbitMQ: one producer, one consumer, a topic exchange with "
          "10,000 bindings, 20,000 in flight, all under SCHED_RR", "run", "loadgen/s", "rabbitmq-c/s", "loadgen / rabbitmq-c", "loadgen cores", "rabbitmq-c cores", "intact")
    pairs = []
    for repeat in range(REPEATS):
        with under(ROUND_ROBIN), RabbitMQ() as broker:
            ours = load(broker, f"agreement-loadgen-{repeat}", "-t", "topic", "-k", "bench.%d.event", "--bindings", "10000", "-a",
                        "--in-flight", "20000", "-z", SECONDS)
        with under(ROUND_ROBIN), RabbitMQ():
            theirs = independent(f"agreement-rabbitmq-c-{repeat}")
        pairs.append((ours["delivered_per_second"], theirs["delivered_per_second"]))
        row(repeat, f"{pairs[-1][0]:,.0f}", f"{pairs[-1][1]:,.0f}", f"{pairs[-1][0] / pairs[-1][1]:.2f}",
            f"{ours['cost']['loadgen_cores']:.2f}", f"{theirs['client_cores']:.2f}", ours["intact"])
    own, other = (median(rates) for rates in zip(*pairs))
    row("median", f"{own:,.0f}", f"{other:,.0f}", f"{own / other:.2f}", "", "", "")


def bindings_come_and_go():
    """With the broker and the client under SCHED_RR, as what is asked is the broker's time."""
    table("10,000 binds on one channel, seconds (median of %d)" % REPEATS, "shards", "exchange", "how", "bindings before", "s")
    deletions = []
    with under(ROUND_ROBIN):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(10))
        for shards in ("1", "2"):
            runs = []
            for _ in range(REPEATS):
                with HareMQ("--shards", shards):
                    runs.append(bindings.measure(AMQP))
            for kind, how, before in runs[0]:
                row(shards, kind, how, f"{before:,}", f"{median(run[kind, how, before] for run in runs):.3f}")
            with HareMQ("--shards", shards):
                deletions.append((shards, *bindings.delete_beside_a_publisher(AMQP)))
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    table("20 queues with 10,000 topic bindings deleted beside a publisher to the same exchange: its round trips, ms", "shards",
          "a deletion, median", "trips during deletions", "their p50", "p99", "max", "p99 of all trips")
    for shards, each, during, everything in deletions:
        at = lambda them, share: f"{them[int((len(them) - 1) * share)]:.2f}"
        row(shards, at(each, 0.5), len(during), at(during, 0.5), at(during, 0.99), at(during, 1), at(everything, 0.99))


def matching():
    """The benches of routing, on the last core. Those of throughput are first in line; the tails are not, as the kernel takes the core
    from who never sleeps for a twentieth of each second."""
    core = ["taskset", "-c", str(os.cpu_count() - 1)]
    for bench, how in [("route", ["chrt", "-f", "20"]), ("topic_tail", ["nice", "-n", "-20"])]:
        command = [*how, *core, "cargo", "bench", "--bench", bench]
        said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        LINES.extend(["", f"## cargo bench --bench {bench}", "", "```text", said.strip(), "```"])


def many_bindings():
    """Whether routing costs the same with a hundred bindings as with ten thousand."""
    table("Topic (5) and direct (7) exchange, --shards 1: medians of %d interleaved runs of %s s" % (REPEATS, SECONDS), "scenario", "bindings",
          "deliveries/s (min-max)", "broker CPU us/delivery", "intact")
    runs = {}
    for repeat in range(REPEATS):
        for scenario in ("5", "7"):
            for count in ("100", "10000"):
                with HareMQ("--shards", "1") as broker:
                    report = load(broker, f"bindings-{scenario}-{count}-{repeat}", "--scenario", scenario, "--bindings", count, "-z", SECONDS)
                runs.setdefault((scenario, count), []).append(report)
    for (scenario, count), them in runs.items():
        rates = [run["delivered_per_second"] for run in them]
        row(scenario, count, f"{median(rates):,.0f} ({min(rates):,.0f}-{max(rates):,.0f})",
            f"{median(run['cost']['broker_cpu_us_per_deliver'] for run in them):.3f}", all(run["intact"] for run in them))


def independent(name):
    """A run of the C client; it exits 1 if a message is lost, doubled or out of order."""
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "client")
        source = os.path.join(ROOT, "loadgen/tests/independent/client.c")
        subprocess.run(["cc", "-O2", source, "-o", program, "-pthread", "-lrabbitmq"], check=True)
        report = subprocess.check_output([*scheduler, program, "127.0.0.1", str(RABBIT), "10000", "20000", "1", SECONDS, "0"], text=True)
    with open(os.path.join(bench.OUT, "raw", name + ".json"), "w") as file:
        file.write(report)
    return json.loads(report)


BY_DEFAULT = [acks, spread, fairness, mixed, paced, memory, idle, agreement, bindings_come_and_go, many_bindings, matching, *queues.SECTIONS]
SECTIONS = [*BY_DEFAULT, management.management, *recovery.SECTIONS]
GROUPS = {name: [section.__name__ for section in group.SECTIONS] for name, group in [("queues", queues), ("recovery", recovery)]}

if __name__ == "__main__":
    OUT = bench.OUT = sys.argv[1]
    wanted = [name for word in sys.argv[2:] for name in GROUPS.get(word, [word])] or [section.__name__ for section in BY_DEFAULT]
    os.makedirs(os.path.join(OUT, "raw"), exist_ok=True)
    with open(os.path.join(OUT, "versions"), "w") as file:
        file.write(bench.versions())
    with open(os.path.join(OUT, "command"), "w") as file:
        folder = os.path.relpath(os.path.abspath(OUT), ROOT)
        settings = "".join(f"{name}={os.environ[name]} " for name in ("PEERS", "REPEATS", "SECONDS_EACH", "MIXED_SECONDS", "RECOVERY_GIB", "RECOVERY_QUEUES") if name in os.environ)
        sections = "".join(f" {name}" for name in sys.argv[2:])
        file.write(f"cargo build --release --workspace && {settings}results/measure.py {folder}{sections}\n")
    for section in SECTIONS:
        if section.__name__ in wanted:
            section()
            with open(os.path.join(OUT, f"summary-{section.__name__}.md"), "w") as file:
                file.write("\n".join(LINES).strip() + "\n")
            print("\n".join(LINES), flush=True)
            LINES.clear()
    if bench.BARS:
        table("Bars", "what", "peer", "wanted", "reached", "enough")
        for reached in bench.BARS:
            row(*reached)
        with open(os.path.join(OUT, "summary-bars.md"), "w") as file:
            file.write("\n".join(LINES).strip() + "\n")
        print("\n".join(LINES), flush=True)
