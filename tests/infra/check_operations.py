"""Keeps docs/operations.md, deploy/ and the program in step. Prints every difference and exits 1 if there is one."""

import re
import sys
import tomllib
from pathlib import Path

from kubernetes_nodes import memory_of, size

REPO = Path(__file__).resolve().parents[2]
DOC = REPO / "docs/operations.md"
ALERTS = REPO / "deploy/alerts.yml"
SOURCE = REPO / "src/telemetry"

DRAIN_SECONDS = 25
HISTOGRAM_SUFFIX = re.compile(r"_(bucket|sum|count)$")


def anchors(markdown: str) -> set[str]:
    """The anchors that the usual renderers give to headings."""
    headings = re.findall(r"^#+ (.+)$", markdown, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def documented_metrics(markdown: str) -> set[str]:
    """The names in the first column of the metric tables."""
    return set(re.findall(r"^\| `((?:forebay|process)_\w+)", markdown, re.MULTILINE))


def problems() -> list[str]:
    doc, alerts = DOC.read_text(), ALERTS.read_text()
    documented = documented_metrics(doc)
    found = []

    known = anchors(doc)
    for runbook in re.findall(r"runbook: docs/operations\.md#(\S+)", alerts):
        if runbook not in known:
            found.append(f"deploy/alerts.yml: docs/operations.md has no section #{runbook}")
    for alert in re.findall(r"- alert: (\w+)", alerts):
        if f"`{alert}`" not in doc:
            found.append(f"docs/operations.md: the alert {alert} is not mentioned")

    for metric in sorted(set(re.findall(r"\bforebay_\w+", alerts))):
        if HISTOGRAM_SUFFIX.sub("", metric) not in documented:
            found.append(f"deploy/alerts.yml: {metric} is not in the metric tables of docs/operations.md")

    # The program keeps its names as whole literals, so that they can be found here and by a reader's search.
    text = "".join(path.read_text() for path in sorted(SOURCE.rglob("*.rs")))
    exported = set(re.findall(r'"((?:forebay|process)_[a-z0-9_]*[a-z0-9])"', text))
    if exported:
        for metric in sorted(exported - documented):
            found.append(f"docs/operations.md: the metric tables lack {metric}")
        for metric in sorted(documented - exported):
            found.append(f"docs/operations.md: {metric} is not in {SOURCE.relative_to(REPO)}")

    waits = {
        "deploy/compose.yaml": r"stop_grace_period: (\d+)s",
        "deploy/compose.fleet.yaml": r"stop_grace_period: (\d+)s",
        "deploy/forebay.service": r"TimeoutStopSec=(\d+)s",
    }
    for name, pattern in waits.items():
        wait = re.search(pattern, (REPO / name).read_text())
        if wait is None or int(wait[1]) <= DRAIN_SECONDS:
            found.append(f"{name}: a stop must be given more than the {DRAIN_SECONDS} s of drain_timeout")
    return found + fleet_problems()


def fleet_problems() -> list[str]:
    """What compose.fleet.yaml and the files of deploy/fleet say of each other."""
    compose = (REPO / "deploy/compose.fleet.yaml").read_text()
    files = {file: file.read_text() for file in sorted((REPO / "deploy/fleet").rglob("*.toml"))}
    found = []
    for file, text in files.items():
        for name in sorted(set(re.findall(r"\$\{(\w+)\}", text))):
            if not re.search(rf"^ +{name}: ", compose, re.MULTILINE):
                found.append(f"deploy/compose.fleet.yaml: does not set {name}, which {file.relative_to(REPO)} asks for")
    server = tomllib.loads(files[REPO / "deploy/fleet/forebay.toml"])["server"]
    budget = size(re.search(r"FOREBAY_MEMORY_BUDGET: (\S+)", compose)[1])
    limit = size(re.search(r"max_connections\.\n +mem_limit: (\d+m)", compose)[1].replace("m", "Mi"))
    needs = memory_of(budget, server)
    if limit < needs:
        found.append(f"deploy/compose.fleet.yaml: mem_limit must be {needs / (1 << 20):.0f}m at least")
    shards = re.search(r"^shards = (\d+)", files[REPO / "deploy/fleet/pipelines/events.toml"], re.MULTILINE)
    if f"--partitions={shards[1]}\n" not in compose:
        found.append(f"deploy/compose.fleet.yaml: the topic must have {shards[1]} partitions, as the stream has shards")
    return found


differences = problems()
print("\n".join(differences) or "in step")
sys.exit(bool(differences))
