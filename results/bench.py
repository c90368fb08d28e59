"""What the sections of measure.py share: brokers, runs of loadgen, tables, and where all of it is written."""

import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BIN = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release")
AMQP = int(os.environ.get("HAREMQ_PORT", 7171))
HTTP, RABBIT = AMQP + 1, int(os.environ.get("RABBIT_PORT", 7182))
REPEATS, SECONDS = int(os.environ.get("REPEATS", 3)), os.environ.get("SECONDS_EACH", "5")
OTHER_CORE = ["--threads", "1", "--cpus", "1"]


ROUND_ROBIN, FIRST = ["chrt", "-r", "10"], ["chrt", "-f", "20"]
scheduler = []
# Set by measure.py: the results folder, and the lines of the section under way.
OUT, LINES = "", []
# What was to be reached, what was, and whether it is enough.
BARS = []


class under:
    """How what is started within is scheduled."""

    def __init__(self, prefix):
        self.prefix = prefix

    def __enter__(self):
        self.before = scheduler[:]
        scheduler[:] = self.prefix

    def __exit__(self, *_):
        scheduler[:] = self.before


def ahead(pid="self"):
    """The highest share of the cores for the session of a process, where the kernel shares them by session before it looks at niceness."""
    path = f"/proc/{pid}/autogroup"
    if os.path.exists(path):
        with open(path, "w") as file:
            file.write("-20")


class Process:
    """A broker's, by its pid, and its port."""

    def rss(self):
        """Bytes."""
        with open(f"/proc/{self.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def rss_mb(self):
        return self.rss() / 2**20

    def forget_peak(self):
        with open(f"/proc/{self.pid}/clear_refs", "w") as file:
            file.write("5")

    def peak(self):
        """The most that was resident since forget_peak, by the kernel's own count, in bytes."""
        with open(f"/proc/{self.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024

    def cpu_s(self):
        total = 0
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{task}/schedstat") as stat:
                total += int(stat.read().split()[0])
        return total / 1e9

    def cpu_of_all_s(self):
        """Also of threads that have ended; in ticks of 10 ms."""
        with open(f"/proc/{self.pid}/stat") as stat:
            return sum(map(int, stat.read().rsplit(")", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK")


def scratch():
    """A folder for a broker, fresh and on a disk: to keep messages in memory would cost it nothing."""
    folder = tempfile.TemporaryDirectory()
    kind = subprocess.check_output(["stat", "-f", "-c", "%T", folder.name], text=True).strip()
    if kind in ("tmpfs", "ramfs"):
        raise SystemExit(f"{folder.name} lies in memory; let TMPDIR name a folder on a disk")
    return folder


class HareMQ(Process):
    def __init__(self, *arguments):
        self.arguments = arguments

    def __enter__(self):
        self.data = scratch()
        self.start()
        return self

    def start(self):
        command = [*scheduler, f"{BIN}/haremq", "--amqp-listen", f"127.0.0.1:{AMQP}", "--http-listen", f"127.0.0.1:{HTTP}"]
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [*command, "--data-dir", os.path.join(self.data.name, "data"), *self.arguments],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = " "
        while "Server startup complete" not in line:
            line = self.process.stdout.readline()
            assert line, f"haremq ended before it was ready: {self.process.wait()}"
        self.ready_ms = (time.monotonic() - self.began) * 1000
        self.uri, self.pid, self.port = f"amqp://guest:guest@127.0.0.1:{AMQP}/%2F", self.process.pid, AMQP

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.data.cleanup()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def shards(self):
        time.sleep(0.3)
        return json.load(urllib.request.urlopen(f"http://127.0.0.1:{HTTP}/debug/shards"))


class RabbitMQ(Process):
    SCRIPT = os.path.join(ROOT, "tests/conformance/rabbitmq.sh")

    def __enter__(self):
        self.data = scratch()
        environment = {**os.environ, "RABBIT_PORT": str(RABBIT), "RABBIT_DIR": self.data.name}
        self.environment = environment
        subprocess.run([*scheduler, self.SCRIPT, "start"], env=environment, check=True, stdout=subprocess.DEVNULL)
        self.pid = int(subprocess.check_output([self.SCRIPT, "pid"], env=environment))
        self.uri, self.port = f"amqp://guest:guest@127.0.0.1:{RABBIT}/%2F", RABBIT
        return self

    def __exit__(self, *_):
        subprocess.run([self.SCRIPT, "stop"], env=self.environment, check=True, stdout=subprocess.DEVNULL)
        self.data.cleanup()


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


def keep(name, figures):
    """What was measured without loadgen, beside its reports."""
    with open(os.path.join(OUT, "raw", name + ".json"), "w") as file:
        json.dump(figures, file, indent=1)


class Foreign:
    """Cores that were busy with neither the broker nor what we started and waited for."""

    def __init__(self, broker):
        self.broker, self.began = broker, time.monotonic()
        self.before = self.busy_s()

    def busy_s(self):
        with open("/proc/stat") as stat:
            user, nice, system, _, _, irq, softirq = map(int, stat.readline().split()[1:8])
        ours = os.times()
        machine = (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
        return machine - self.broker.cpu_s() - sum(ours[:4])

    def cores(self):
        return max(0.0, (self.busy_s() - self.before) / (time.monotonic() - self.began))


def median(values):
    return statistics.median(values)


def row(*cells):
    LINES.append("| " + " | ".join(str(cell) for cell in cells) + " |")


def bar(peer, what, value, most=None, least=None):
    """One of HareMQ's; RabbitMQ stands beside it in the tables. Without a limit, only the value is kept."""
    if not peer.startswith("haremq"):
        return
    enough = (most is None or value <= most) and (least is None or value >= least)
    wanted = "-" if most is least else f"at most {most}" if least is None else f"at least {least}"
    BARS.append((what, peer, wanted, f"{value:.2f}" if isinstance(value, float) else value, "yes" if enough else "NO"))


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


def versions():
    def said(*command):
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout.strip()
    cpu = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name"))
    return "\n".join([
        f"haremq {said('git', 'rev-parse', '--short', 'HEAD')}", said("rustc", "--version"),
        f"linux {platform.release()}, {cpu}, {os.cpu_count()} cores",
        f"rabbitmq-server {said('dpkg-query', '-W', '-f', '${Version}', 'rabbitmq-server')}, tuned as tests/conformance/rabbitmq.sh does",
        f"tcp congestion control: {open('/proc/sys/net/ipv4/tcp_congestion_control').read().strip()}", ""])
