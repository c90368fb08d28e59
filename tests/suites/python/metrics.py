"""What Prometheus would make of metrics: the files on the command line, read by its own client's parser and looked through as
`promtool check metrics` does. Prints what is wrong with each, and ends with 1 if anything is."""

import collections
import re
import sys

from prometheus_client import parser

# A counter that RabbitMQ names otherwise, or what is no counter and has a counter's name there.
RABBITMQS = re.compile(r"rabbitmq(_detailed)?_(queue_index_(read|write)_ops|channel_process_reductions)(_total)?")
PARTS = ("_bucket", "_count", "_sum")


def problems(text):
    yield from of_lines(text)
    families = list(parser.text_string_to_metric_families(text))
    names = collections.Counter(family.name for family in families)
    yield from (f"{name}: twice" for name, count in names.items() if count > 1)
    series = collections.Counter(
        (sample.name, *sorted(sample.labels.items())) for family in families for sample in family.samples
    )
    yield from (f"{each}: a series {count} times" for each, count in series.items() if count > 1)
    for family in families:
        yield from of_family(family)


def of_lines(text):
    """The parser takes samples without a family, and forgets the names that counters have."""
    told = {"HELP": set(), "TYPE": {}}
    done, current = set(), None
    for line in text.split("\n"):
        if not line:
            continue
        if line.startswith("# "):
            _, what, name, rest = line.split(" ", 3)
            if not rest.strip():
                yield f"{name}: an empty {what}"
            if name in told[what]:
                yield f"{name}: a second {what}"
            told["TYPE"].update({name: rest}) if what == "TYPE" else told["HELP"].add(name)
            continue
        sample = re.match("[a-zA-Z_:][a-zA-Z0-9_:]*", line)[0]
        name = next((name for name in (sample, *stems(sample)) if name in told["TYPE"]), None)
        if name is None or name not in told["HELP"]:
            yield f"{sample}: a sample before its HELP and TYPE"
            continue
        if name != current:
            if name in done:
                yield f"{name}: its samples do not stand together"
            done.add(name)
            current = name
    for name, kind in told["TYPE"].items():
        if (kind == "counter") != name.endswith("_total") and not RABBITMQS.fullmatch(name):
            yield f"{name}: a {kind}, by its name something else"
        if kind != "histogram" and name.endswith(PARTS):
            yield f"{name}: a {kind} with the name of a histogram's part"


def stems(sample):
    return (sample.removesuffix(part) for part in PARTS if sample.endswith(part))


def of_family(family):
    for sample in family.samples:
        if family.type == "counter" and sample.value < 0:
            yield f"{sample.name}: a counter below zero"
        if family.type != "histogram" and "le" in sample.labels:
            yield f"{sample.name}: a label of histograms"
    if family.type == "histogram":
        of_labels = collections.defaultdict(list)
        for sample in family.samples:
            labels = sorted((name, value) for name, value in sample.labels.items() if name != "le")
            of_labels[tuple(labels)].append(sample)
        for labels, samples in of_labels.items():
            yield from (f"{family.name}{labels}: {problem}" for problem in of_histogram(samples))


def of_histogram(samples):
    buckets = [sample for sample in samples if sample.name.endswith("_bucket")]
    counts = [sample.value for sample in samples if sample.name.endswith("_count")]
    bounds = [float(bucket.labels["le"]) for bucket in buckets]
    values = [bucket.value for bucket in buckets]
    if not bounds or bounds != sorted(set(bounds)) or bounds[-1] != float("inf"):
        yield f"bounds {bounds}"
    if values != sorted(values) or counts != values[-1:]:
        yield f"counts {values}, in all {counts}"
    if sum(sample.name.endswith("_sum") for sample in samples) != 1:
        yield "no sum"


found = False
for file in sys.argv[1:]:
    with open(file, encoding="utf-8", newline="") as read:
        text = read.read()
    wrong = list(problems(text))
    samples = sum(len(family.samples) for family in parser.text_string_to_metric_families(text))
    print(f"{file}: {samples} samples, {len(wrong)} problems", *wrong, sep="\n")
    found = found or bool(wrong) or samples == 0
sys.exit(found)
