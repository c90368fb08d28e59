#!/usr/bin/env python3
"""Measures what `loadgen compare` does not, and writes a results folder: every run unedited in raw/, a table per section.

    cargo build --release --workspace && results/measure.py results/<date>-<machine> [section ...]

The generator shares the cores with the broker, so latency tails are partly the scheduler's. In fairness the trickle is
SCHED_FIFO beside the firehose; agreement runs under SCHED_RR, so that what else goes on does not fall on one side of it;
the rest runs as it comes.

Sections (all by default): acks, spread, fairness, mixed, paced, memory, idle, agreement, bindings_come_and_go, many_bindings, matching. Each
broker is started fresh for each
run; the runs of peers are interleaved. RabbitMQ is Debian's, started by tests/conformance/rabbitmq.sh.

agreement asks whether loadgen's rate is the one that an independent client sees: a C program on rabbitmq-c
(loadgen/tests/independent/client.c, needs cc and librabbitmq-dev). Both load RabbitMQ through a topic exchange with 10,000 bindings, since
there the broker is the limit by far and what a client costs hardly counts.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import bindings

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BIN = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release")
AMQP, HTTP, RABBIT = 7171, 7172, 7182
REPEATS, SECONDS = int(os.environ.get("REPEATS", 3)), os.environ.get("SECONDS_EACH", "5")
MIXED_SECONDS = os.environ.get("MIXED_SECONDS", "600")
OTHER_CORE = ["--threads", "1", "--cpus", "1"]


ROUND_ROBIN, FIRST = ["chrt", "-r", "10"], ["chrt", "-f", "20"]
scheduler = []


class under:
    """How what is started within is scheduled."""

    def __init__(self, prefix):
        self.prefix = prefix

    def __enter__(self):
        self.before = scheduler[:]
        scheduler[:] = self.prefix

    def __exit__(self, *_):
        scheduler[:] = self.before


class HareMQ:
    def __init__(self, *arguments):
        self.arguments = arguments

    def __enter__(self):
        self.data = tempfile.TemporaryDirectory()
        command = [*scheduler, f"{BIN}/haremq", "--amqp-listen", f"127.0.0.1:{AMQP}", "--http-listen", f"127.0.0.1:{HTTP}"]
        began = time.monotonic()
        self.process = subprocess.Popen(
            [*command, "--data-dir", self.data.name, *self.arguments],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        while "Server startup complete" not in self.process.stdout.readline():
            pass
        self.ready_ms = (time.monotonic() - began) * 1000
        self.uri, self.pid = f"amqp://guest:guest@127.0.0.1:{AMQP}/%2F", self.process.pid
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.data.cleanup()

    def shards(self):
        time.sleep(0.3)
        return json.load(urllib.request.urlopen(f"http://127.0.0.1:{HTTP}/debug/shards"))

    def rss_mb(self):
        with open(f"/proc/{self.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024

    def cpu_s(self):
        with open(f"/proc/{self.pid}/schedstat") as own:
            own.read()
        total = 0
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{task}/schedstat") as stat:
                total += int(stat.read().split()[0])
        return total / 1e9


class RabbitMQ:
    SCRIPT = os.path.join(ROOT, "tests/conformance/rabbitmq.sh")

    def __enter__(self):
        environment = {**os.environ, "RABBIT_PORT": str(RABBIT)}
        self.environment = environment
        subprocess.run([*scheduler, self.SCRIPT, "start"], env=environment, check=True, stdout=subprocess.DEVNULL)
        self.pid = int(subprocess.check_output([self.SCRIPT, "pid"], env=environment))
        self.uri = f"amqp://guest:guest@127.0.0.1:{RABBIT}/%2F"
        return self

    def __exit__(self, *_):
        subprocess.run([self.SCRIPT, "stop"], env=self.environment, check=True, stdout=subprocess.DEVNULL)


PEERS = {
    "rabbitmq": RabbitMQ,
    "haremq-1": lambda: HareMQ("--shards", "1"),
    "haremq-2": lambda: HareMQ("--shards", "2"),
}


def start(broker, name, *options):
    """A loadgen run in the background; its report goes to raw/NAME.json."""
    path = os.path.join(OUT, "raw", name + ".json")
    command = [*scheduler, f"{BIN}/loadgen", "run", "--uri", broker.uri, "--broker-pid", str(broker.pid), "--format", "quiet"]
    return subprocess.Popen([*command, "--json", path, *options]), path


def finish(run):
    process, path = run
    code = process.wait()
    with open(path) as report:
        report = json.load(report)
    report["exit"] = code
    return report


def load(broker, name, *options):
    return finish(start(broker, name, *options))


def median(values):
    return statistics.median(values)


def row(*cells):
    LINES.append("| " + " | ".join(str(cell) for cell in cells) + " |")


def table(title, *heads):
    LINES.extend(["", f"## {title}", ""])
    row(*heads)
    row(*["---"] * len(heads))


def us(report, key="p50"):
    return (report["latency"] or {}).get(key, 0.0)


def interleaved(scenarios, options, prefix=""):
    """Reports by (scenario, peer), all repeats, peers in turn."""
    reports = {}
    for repeat in range(REPEATS):
        for scenario in scenarios:
            for peer, make in PEERS.items():
                with make() as broker:
                    report = load(broker, f"{prefix}{scenario}-{peer}-{repeat}", "--scenario", scenario, *options)
                reports.setdefault((scenario, peer), []).append(report)
                print(scenario, peer, repeat, f"{report['delivered_per_second']:,.0f}/s", flush=True)
    return reports


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
        wires = [bindings.Wire(AMQP) for _ in range(2000)]
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
    with open(os.path.join(OUT, "raw", name + ".json"), "w") as file:
        file.write(report)
    return json.loads(report)


def versions():
    def said(*command):
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout.strip()
    cpu = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    return "\n".join([
        f"haremq {said('git', 'rev-parse', '--short', 'HEAD')}", said("rustc", "--version"),
        f"linux {platform.release()}, {cpu}, {os.cpu_count()} cores",
        f"rabbitmq-server {said('dpkg-query', '-W', '-f', '${Version}', 'rabbitmq-server')}, tuned as tests/conformance/rabbitmq.sh does",
        f"tcp congestion control: {open('/proc/sys/net/ipv4/tcp_congestion_control').read().strip()}", ""])


SECTIONS = [acks, spread, fairness, mixed, paced, memory, idle, agreement, bindings_come_and_go, many_bindings, matching]

if __name__ == "__main__":
    OUT, LINES = sys.argv[1], []
    wanted = sys.argv[2:] or [section.__name__ for section in SECTIONS]
    os.makedirs(os.path.join(OUT, "raw"), exist_ok=True)
    with open(os.path.join(OUT, "versions"), "w") as file:
        file.write(versions())
    with open(os.path.join(OUT, "command"), "w") as file:
        folder = os.path.relpath(os.path.abspath(OUT), ROOT)
        settings = "".join(f"{name}={os.environ[name]} " for name in ("REPEATS", "SECONDS_EACH", "MIXED_SECONDS") if name in os.environ)
        sections = "".join(f" {name}" for name in sys.argv[2:])
        file.write(f"cargo build --release --workspace && {settings}results/measure.py {folder}{sections}\n")
    for section in SECTIONS:
        if section.__name__ in wanted:
            section()
            with open(os.path.join(OUT, f"summary-{section.__name__}.md"), "w") as file:
                file.write("\n".join(LINES).strip() + "\n")
            print("\n".join(LINES), flush=True)
            LINES = []
