"""Keeps the manifests of deploy/kubernetes in step with each other, with their configuration, and with the program.

usage: check_kubernetes.py [--forebay PROGRAM] OVERLAY=RENDERED...

OVERLAY is a folder with a kustomization.yaml, RENDERED the file that `kubectl kustomize` has made of it. With --forebay
each node's files are also read by `forebay check`, in the places and with the environment that its container would
have.
Prints every problem and exits 1 if there is one.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import yaml

from kubernetes_nodes import REPO, Cluster, Node, admin_routes, matches


def check_services(cluster: Cluster) -> None:
    for service in cluster.kind("Service"):
        name, spec = f"Service {service['metadata']['name']}", service["spec"]
        pods = [pod for pod in cluster.pods() if matches(spec["selector"], pod["metadata"]["labels"])]
        if not pods:
            cluster.say(f"{name} selects no pod")
        for port in spec["ports"]:
            for pod in pods:
                names = {own["name"] for one in pod["spec"]["containers"] for own in one.get("ports", [])}
                if port["targetPort"] not in names:
                    cluster.say(f"{name} leads to port {port['targetPort']}, which a pod that it selects does not have")
            if port["targetPort"] == "admin" and spec.get("clusterIP") != "None":
                cluster.say(f"{name} shows the admin port to clients")


def check_budgets(cluster: Cluster) -> None:
    nodes = cluster.nodes()
    for node in nodes:
        mine = [one for one in cluster.kind("PodDisruptionBudget") if matches(one["spec"]["selector"], node.labels)]
        if len(mine) != 1:
            node.say(f"{len(mine)} PodDisruptionBudgets are about it")
        scalers = [
            one
            for one in cluster.kind("HorizontalPodAutoscaler")
            if one["spec"]["scaleTargetRef"]["name"] == node.workload["metadata"]["name"]
            and one["spec"]["scaleTargetRef"]["kind"] == node.workload["kind"]
        ]
        replicas = node.workload["spec"].get("replicas")
        if scalers and replicas is not None:
            node.say("has replicas of its own, which each apply would set against the autoscaler")
        if not scalers and replicas is None:
            node.say("has neither replicas nor an autoscaler")
        for budget in mine:
            if budget["spec"].get("maxUnavailable") in (None, 0, "0%"):
                node.say("its PodDisruptionBudget would let no machine be emptied")
    names = {(node.workload["kind"], node.workload["metadata"]["name"]) for node in nodes}
    for scaler in cluster.kind("HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        if (target["kind"], target["name"]) not in names:
            cluster.say(f"HorizontalPodAutoscaler {scaler['metadata']['name']} is about nothing")


def check_network(cluster: Cluster) -> None:
    policies = cluster.kind("NetworkPolicy")
    for policy in policies:
        name, spec = f"NetworkPolicy {policy['metadata']['name']}", policy["spec"]
        mine = [node for node in cluster.nodes() if matches(spec["podSelector"], node.labels)]
        if not mine:
            cluster.say(f"{name} is about no pod")
        for port in (port for rule in spec.get("ingress", []) for port in rule["ports"]):
            for node in mine:
                if port["port"] not in node.ports():
                    cluster.say(f"{name} opens port {port['port']}, which {node.name} does not have")
    for node in cluster.nodes():
        mine = [policy["spec"] for policy in policies if matches(policy["spec"]["podSelector"], node.labels)]
        for way in ("Ingress", "Egress"):
            if not any(way in spec["policyTypes"] and way.lower() not in spec for spec in mine):
                node.say(f"no NetworkPolicy shuts {way} by default")
        outward = [rule for spec in mine for rule in spec.get("egress", [])]
        inward = [rule for spec in mine for rule in spec.get("ingress", [])]
        places = [broker for one in node.config.get("kafka", []) for broker in one["brokers"]]
        places += [node.env.get("AWS_ENDPOINT_URL", "the store of the cloud:443"), "names:53"]
        needed = {int(port) for place in places for port in re.findall(r":(\d+)$", place)}
        for port in needed - {port["port"] for rule in outward for port in rule["ports"]}:
            node.say(f"no NetworkPolicy lets it out to port {port}")
        for port in node.ports().keys() - {port["port"] for rule in inward for port in rule["ports"]}:
            node.say(f"no NetworkPolicy lets anybody in to port {port}")
        if any("admin" in [port["port"] for port in rule["ports"]] and "from" not in rule for rule in inward):
            node.say("a NetworkPolicy lets everybody in to the admin port")


def check_monitors(cluster: Cluster) -> None:
    """The shape of ServiceMonitors, for which there is no schema at hand, and whether they find anything."""
    required = {"apiVersion", "kind", "metadata", "spec"}
    known = {"jobLabel", "selector", "endpoints", "podTargetLabels", "targetLabels", "namespaceSelector"}
    of_endpoint = {"port", "path", "interval", "scrapeTimeout", "scheme", "tlsConfig", "relabelings"}
    for monitor in cluster.kind("ServiceMonitor"):
        name, spec = f"ServiceMonitor {monitor['metadata']['name']}", monitor.get("spec", {})
        if monitor.keys() != required or monitor["apiVersion"] != "monitoring.coreos.com/v1":
            cluster.say(f"{name} is not monitoring.coreos.com/v1")
        for key in spec.keys() - known:
            cluster.say(f"{name} has an unknown key {key}")
        services = [
            one for one in cluster.kind("Service") if matches(spec["selector"], one["metadata"].get("labels", {}))
        ]
        if len(services) != 1:
            cluster.say(f"{name} selects {len(services)} Services")
        for service in services:
            # The rules of deploy/alerts.yml ask for it.
            if service["metadata"]["labels"].get(spec.get("jobLabel")) != "forebay":
                cluster.say(f"{name} would not call the job forebay")
            ports = {port["name"] for port in service["spec"]["ports"]}
            for endpoint in spec["endpoints"]:
                for key in endpoint.keys() - of_endpoint:
                    cluster.say(f"{name} has an unknown key {key}")
                if endpoint.get("port") not in ports:
                    cluster.say(f"{name} scrapes port {endpoint.get('port')}, which the Service does not have")
                if endpoint.get("path", "/metrics") not in admin_routes():
                    cluster.say(f"{name} scrapes {endpoint['path']}, which is no route of the program")


def check_everything_else(cluster: Cluster) -> None:
    version = tomllib.loads((REPO / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    for pod in cluster.pods():
        for container in pod["spec"]["containers"]:
            if not re.fullmatch(r".+:v?\d+\.\d+(\.\d+)?[\w.-]*", container["image"]):
                cluster.say(f"image {container['image']} has no version")
        own = Node.container_of(pod)
        if own and own["image"].rsplit(":", 1)[1] != version:
            cluster.say(f"image {own['image']} is not of this version, {version}")
    for secret in cluster.kind("Secret"):
        cluster.say(f"Secret {secret['metadata']['name']} is in the manifests")
    check_topics(cluster)


def check_topics(cluster: Cluster) -> None:
    """Where the overlay makes the topic, it has a partition for each shard."""
    commands = [container.get("command", []) for pod in cluster.pods() for container in pod["spec"]["containers"]]
    for command in (command for command in commands if "--create" in command):
        said = dict(word.lstrip("-").split("=", 1) for word in command if "=" in word)
        for data in (one["data"] for one in cluster.kind("ConfigMap")):
            for text in (text for name, text in data.items() if name.endswith(".toml")):
                stream = tomllib.loads(text).get("stream", {})
                if stream.get("log", {}).get("topic") == said["topic"] and stream["shards"] != int(said["partitions"]):
                    cluster.say(f"the topic has {said['partitions']} partitions for {stream['shards']} shards")


def check_with_program(cluster: Cluster, program: Path) -> None:
    for node in cluster.nodes():
        with tempfile.TemporaryDirectory() as folder:
            for path, text in node.files().items():
                file = Path(folder + path)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text)
            certify(Path(folder))
            args = [folder + arg if arg.startswith("/") else arg for arg in node.container["args"]]
            args[args.index("serve")] = "check"
            env = {"PATH": os.environ["PATH"]} | node.env
            ran = subprocess.run([program, *args], env=env, capture_output=True, text=True, check=False)
            if ran.returncode != 0:
                node.say(f"forebay check:\n{ran.stdout}{ran.stderr}".replace(folder, "").rstrip())


def certify(folder: Path) -> None:
    """Puts a certificate, its key and its authority where some are mounted."""
    for place in {file.parent for name in ("tls.crt", "ca.crt") for file in folder.rglob(name)}:
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=check"
        files = ["-keyout", place / "tls.key", "-out", place / "tls.crt"]
        subprocess.run([*command.split(), *files], check=True, capture_output=True)
        if (place / "ca.crt").exists():
            (place / "ca.crt").write_text((place / "tls.crt").read_text())


def problems(name: str, how_to: str, documents: list[dict], program: Path | None = None) -> list[str]:
    cluster = Cluster(name, how_to, documents)
    nodes = cluster.nodes()
    if not nodes:
        cluster.say("no pod runs Forebay")
    for node in nodes:
        node.check()
    for check in (check_services, check_budgets, check_network, check_monitors, check_everything_else):
        check(cluster)
    if program:
        check_with_program(cluster, program)
    # What is read twice is told once.
    return list(dict.fromkeys(cluster.found))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--forebay", type=Path)
    parser.add_argument("overlays", nargs="+", metavar="OVERLAY=RENDERED")
    args = parser.parse_args()
    found = []
    for overlay, rendered in (pair.split("=", 1) for pair in args.overlays):
        how_to = (Path(overlay) / "kustomization.yaml").read_text()
        documents = list(yaml.safe_load_all(Path(rendered).read_text()))
        found += problems(overlay, how_to, documents, args.forebay)
    print("\n".join(found) or "in step")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
