#!/usr/bin/env python3
"""Puts builds of the broker side by side, in turns: whether a change costs anything. One run of `loadgen` each, with --shards 1.

    results/builds.py FOLDER SCENARIO,.. REPEATS SECONDS NAME=BINARY NAME=BINARY ..

Every report goes to FOLDER, and a table of medians to the standard output, with ratios to the first build. `loadgen` is that of target/release.
"""

import json
import os
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOADGEN = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release", "loadgen")


def main():
    folder, scenarios, repeats, seconds, *builds = sys.argv[1:]
    builds = dict(build.split("=", 1) for build in builds)
    os.makedirs(folder, exist_ok=True)
    for repeat in range(int(repeats)):
        for scenario in scenarios.split(","):
            for name, binary in builds.items():
                command = [LOADGEN, "run", "--haremq", binary, "--scenario", scenario, "-z", seconds, "--format", "quiet"]
                report = os.path.join(folder, f"{scenario}-{name}-{repeat}.json")
                subprocess.run([*command, "--json", report, "--broker-args", "--shards 1"], check=True)
    print("| scenario | build | deliveries/s | CPU us each | p50, p99 us | foreign cores | intact |\n|---|---|---|---|---|---|---|")
    for scenario in scenarios.split(","):
        first = None
        for name in builds:
            reports = [json.load(open(os.path.join(folder, f"{scenario}-{name}-{repeat}.json"))) for repeat in range(int(repeats))]
            rate = median(report["delivered_per_second"] for report in reports)
            cpu = median(report["cost"]["broker_cpu_us_per_deliver"] for report in reports)
            first = first or (rate, cpu)
            tails = ", ".join(f"{median(report['latency'][key] for report in reports):.0f}" for key in ("p50", "p99"))
            foreign = median(report["cost"]["foreign_cores"] for report in reports)
            print(f"| {scenario} | {name} | {rate:,.0f} ({rate / first[0]:.3f}) | {cpu:.4f} ({cpu / first[1]:.3f}) | {tails} | {foreign:.2f} | "
                  f"{all(report['intact'] for report in reports)} |")


def median(values):
    return statistics.median(values)


main()
