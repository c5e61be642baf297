"""Each thing that check_kubernetes.py looks for is found where it is wrong.

usage: check_kubernetes_test.py FOLDER    with what `kubectl kustomize` has made of the overlays: NAME.yaml
"""

import copy
import sys
from pathlib import Path

import yaml

from check_kubernetes import problems
from kubernetes_nodes import REPO

MANIFESTS = REPO / "deploy/kubernetes"
OVERLAYS = {name: MANIFESTS / "overlays" / name for name in ("production", "local")} | {"single": MANIFESTS / "single"}


def pod(document: dict) -> dict:
    return document["spec"]["template"]["spec"]


def container(document: dict) -> dict:
    return pod(document)["containers"][0]


def put(path: str, value: object):
    """A change that sets what is at the path from the container, or takes it away with None."""
    *way, last = path.split("/")

    def change(document: dict) -> None:
        at = container(document)
        for step in way:
            at = at[step]
        if value is None:
            del at[last]
        else:
            at[last] = value

    return change


def grace(value: int):
    return lambda document: pod(document).update(terminationGracePeriodSeconds=value)


def env(name: str, value: str | None):
    def change(document: dict) -> None:
        rest = [one for one in container(document)["env"] if one["name"] != name]
        container(document)["env"] = rest + ([{"name": name, "value": value}] if value else [])

    return change


def spec(**values: object):
    return lambda document: document["spec"].update(values)


def data(before: str, after: str):
    def change(document: dict) -> None:
        changed = {name: text.replace(before, after) for name, text in document["data"].items()}
        assert changed != document["data"], f"{before} is not there"
        document["data"] = changed

    return change


def gone(document: dict) -> None:
    document.clear()


NOBODY = {"kind": "Deployment", "name": "nobody"}
ADMIN_FOR_ALL = {"ports": [{"protocol": "TCP", "port": "admin"}]}

# Overlay, kind, beginning of the name, what is changed, what must be said of it.
WRONG = [
    ("production", "Deployment", "forebay-edge", grace(35), "terminationGracePeriodSeconds 35 is not more than"),
    ("production", "StatefulSet", "forebay-delivery", grace(25), "terminationGracePeriodSeconds 25 is not more than"),
    ("single", "ConfigMap", "forebay-node", data("[server]", '[server]\ndrain_timeout = "60s"'), "drain_timeout 60 s"),
    ("production", "Deployment", "forebay-edge", put("lifecycle", None), "preStop must wait"),
    ("production", "Deployment", "forebay-edge", env("FOREBAY_MEMORY_BUDGET", "2GiB"), "limit of memory is 1792Mi"),
    ("single", "ConfigMap", "forebay-node", data("512MiB", "1GiB"), "limit of memory is 1Gi"),
    ("single", "ConfigMap", "forebay-node", data("max_connections = 8000", ""), "limit of memory is 1Gi"),
    ("local", "StatefulSet", "forebay-delivery", put("resources/limits", {}), "limit of memory is None"),
    ("single", "StatefulSet", "forebay", put("resources/requests/memory", "256Mi"), "not requested"),
    ("production", "ConfigMap", "forebay-node", data("0.0.0.0:8443", "0.0.0.0:8080"), "port clients is 8443"),
    ("production", "ConfigMap", "forebay-node", data("0.0.0.0:9090", "127.0.0.1:9090"), "nobody outside the pod"),
    ("local", "StatefulSet", "forebay-delivery", env("FOREBAY_ROLE", "edge"), "its roles are ['edge']"),
    ("local", "Deployment", "forebay-edge", env("FOREBAY_API_KEY", None), "asks for ${FOREBAY_API_KEY}"),
    ("local", "Deployment", "forebay-edge", env("FOREBAY_TOKEN_SECRET", None), "asks for ${FOREBAY_TOKEN_SECRET}"),
    ("local", "ConfigMap", "forebay-node", data("token_secret", "account"), "without [aws] token_secret"),
    ("production", "ConfigMap", "forebay-node", data("[aws]", "[other]"), "without [aws] token_secret"),
    ("local", "ConfigMap", "forebay-places", gone, "there is no ConfigMap forebay-places"),
    ("single", "StatefulSet", "forebay", put("livenessProbe/httpGet/path", "/readyz"), "livenessProbe must ask"),
    ("single", "StatefulSet", "forebay", put("readinessProbe/httpGet/port", "clients"), "readinessProbe must ask"),
    ("single", "StatefulSet", "forebay", put("startupProbe", None), "startupProbe must ask"),
    ("single", "StatefulSet", "forebay", put("securityContext/readOnlyRootFilesystem", False), "readOnlyRoot"),
    ("single", "StatefulSet", "forebay", put("securityContext/capabilities", {}), "capabilities drop ALL"),
    ("local", "Deployment", "forebay-edge", lambda it: pod(it).pop("securityContext"), "runAsNonRoot"),
    ("local", "Deployment", "forebay-edge", lambda it: pod(it).pop("enableServiceLinks"), "enableServiceLinks"),
    ("single", "StatefulSet", "forebay", lambda it: it["spec"].pop("volumeClaimTemplates"), "there is no volume state"),
    ("single", "StatefulSet", "forebay", spec(replicas=2), "a node with a log of its own"),
    ("single", "ConfigMap", "forebay-node", data("/var/lib/forebay", "/data"), "no volume at data_dir /data"),
    ("production", "Deployment", "forebay-edge", spec(replicas=3), "replicas of its own"),
    ("local", "Deployment", "forebay-edge", lambda it: it["spec"].pop("replicas"), "neither replicas nor"),
    ("production", "PodDisruptionBudget", "forebay-edge", gone, "0 PodDisruptionBudgets"),
    ("single", "PodDisruptionBudget", "forebay", spec(maxUnavailable=0), "would let no machine be emptied"),
    ("production", "HorizontalPodAutoscaler", "forebay-edge", spec(scaleTargetRef=NOBODY), "is about nothing"),
    ("production", "Service", "forebay", spec(selector={"app": "x"}), "selects no pod"),
    ("production", "Service", "forebay", spec(ports=[{"targetPort": "http"}]), "leads to port http"),
    ("local", "Service", "forebay-metrics", lambda it: it["spec"].pop("clusterIP"), "shows the admin port to clients"),
    ("production", "NetworkPolicy", "forebay-nothing-else", gone, "shuts Ingress by default"),
    ("production", "NetworkPolicy", "forebay-brokers", gone, "lets it out to port 9093"),
    ("local", "NetworkPolicy", "forebay-store", gone, "lets it out to port 8333"),
    ("production", "NetworkPolicy", "forebay-names", gone, "lets it out to port 53"),
    ("production", "NetworkPolicy", "forebay-metrics", gone, "lets anybody in to port admin"),
    ("single", "NetworkPolicy", "forebay-metrics", spec(ingress=[ADMIN_FOR_ALL]), "lets everybody in to"),
    ("single", "NetworkPolicy", "forebay-clients", spec(podSelector={"matchLabels": {"a": "b"}}), "is about no pod"),
    ("production", "ServiceMonitor", "forebay", spec(jobLabel="job"), "would not call the job forebay"),
    ("production", "ServiceMonitor", "forebay", spec(selector={"matchLabels": {"a": "b"}}), "selects 0 Services"),
    ("production", "ServiceMonitor", "forebay", spec(endpoints=[{"port": "http"}]), "scrapes port http"),
    ("production", "ServiceMonitor", "forebay", spec(endpoints=[{"port": "admin", "path": "/m"}]), "no route"),
    ("production", "ServiceMonitor", "forebay", spec(endpoint=[]), "unknown key endpoint"),
    ("local", "StatefulSet", "kafka", put("image", "apache/kafka:latest"), "has no version"),
    ("single", "StatefulSet", "forebay", put("image", "forebay:0.0.9"), "is not of this version"),
    ("local", "ConfigMap", "forebay-places", lambda it: it.update(kind="Secret"), "Secret forebay-places"),
    ("local", "ConfigMap", "forebay-pipelines", data("shards = 12", "shards = 16"), "12 partitions for 16 shards"),
]


def main() -> int:
    folder = Path(sys.argv[1])
    missed = []
    for overlay, kind, name, change, expected in WRONG:
        documents = list(yaml.safe_load_all((folder / f"{overlay}.yaml").read_text()))
        how_to = (OVERLAYS[overlay] / "kustomization.yaml").read_text()
        right = copy.deepcopy(documents)
        # Names of ConfigMaps end with a hash.
        named = [one for one in right if one["kind"] == kind and one["metadata"]["name"].startswith(name)]
        change(min(named, key=lambda one: len(one["metadata"]["name"])))
        said = problems(overlay, how_to, [one for one in right if one])
        if not any(expected in what for what in said):
            missed.append(f"{overlay}, {kind} {name}: nobody says “{expected}”, but {said}")
    documents = list(yaml.safe_load_all((folder / "single.yaml").read_text()))
    if not any("does not say how the Secret" in what for what in problems("single", "", documents)):
        missed.append("single: a Secret that nobody makes")
    print("\n".join(missed) or f"{len(WRONG) + 1} mistakes found")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
