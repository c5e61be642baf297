"""What check_kubernetes.py knows of the manifests: clusters, the nodes in them, and what must hold for a node alone."""

import re
import tomllib
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]

# docs/operations.md#sizing-memory: the budget with what an allocator leaves unused of it and the buffers of librdkafka,
# the code and all that is not counted, and a connection that has sent a request.
BUDGET_FACTOR = 1.25
UNCOUNTED_BYTES = 150_000_000
CONNECTION_BYTES = 25 << 10
CONNECTIONS_DEFAULT = 20_000

UNITS = {"": 1, "B": 1, "K": 10**3, "M": 10**6, "G": 10**9, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}
SAMPLE_OF_A_SECRET = "only-for-this-check-0123456789"


def size(text: str) -> int:
    """Bytes of `512Mi` as Kubernetes writes it, or `512MiB` as Forebay does."""
    number, unit = re.fullmatch(r"(\d+)\s*([KMG]?i?)B?", text).groups()
    return int(number) * UNITS[unit]


def seconds(text: str) -> float:
    """Seconds of a duration of Forebay."""
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", text).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]


def drain_default() -> float:
    """`drain_timeout` where a file does not have it, as the program has it."""
    source = (REPO / "src/config/check_node.rs").read_text()
    return float(re.search(r'time_out\("drain_timeout", .*, (\d+)\);', source)[1])


def admin_routes() -> set[str]:
    """The routes of the admin port that answer a GET, as the program has them."""
    source = (REPO / "src/telemetry/admin.rs").read_text()
    return set(re.findall(r'^ +"(/\w+)" =>', source, re.MULTILINE))


def memory_of(budget: int, server: dict) -> float:
    """Bytes that a process needs beside its budget as well. `server` is that table of its file."""
    connections = server.get("max_connections", CONNECTIONS_DEFAULT)
    return BUDGET_FACTOR * budget + UNCOUNTED_BYTES + CONNECTION_BYTES * connections


def matches(selector: dict, labels: dict) -> bool:
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", selector).items())


class Cluster:
    """What one overlay makes."""

    def __init__(self, name: str, how_to: str, documents: list[dict]):
        self.name = name
        # Commands of more than one line as one.
        self.how_to = how_to.replace("\\\n#", "")
        self.documents = documents
        self.found: list[str] = []

    def kind(self, *kinds: str) -> list[dict]:
        return [document for document in self.documents if document["kind"] in kinds]

    def named(self, kind: str, name: str) -> dict | None:
        return next((one for one in self.kind(kind) if one["metadata"]["name"] == name), None)

    def nodes(self) -> list["Node"]:
        workloads = self.kind("Deployment", "StatefulSet")
        pods = [(workload, workload["spec"]["template"]) for workload in workloads]
        return [Node(self, workload, pod) for workload, pod in pods if Node.container_of(pod)]

    def pods(self) -> list[dict]:
        workloads = self.kind("Deployment", "StatefulSet", "Job")
        return [workload["spec"]["template"] for workload in workloads]

    def say(self, what: str) -> None:
        self.found.append(f"{self.name}: {what}")


class Node:
    """A workload whose pods run Forebay."""

    def __init__(self, cluster: Cluster, workload: dict, pod: dict):
        self.cluster, self.workload = cluster, workload
        self.spec, self.labels = pod["spec"], pod["metadata"]["labels"]
        self.container = Node.container_of(pod)
        self.name = f"{workload['kind']} {workload['metadata']['name']}"
        self.env = self.environment()
        self.config = self.node_file()

    @staticmethod
    def container_of(pod: dict) -> dict | None:
        image = re.compile(r"(.*/)?forebay(:.*)?")
        return next((one for one in pod["spec"]["containers"] if image.fullmatch(one["image"])), None)

    def say(self, what: str) -> None:
        self.cluster.say(f"{self.name}: {what}")

    def environment(self) -> dict[str, str]:
        env = {}
        for source in self.container.get("envFrom", []):
            of = self.cluster.named("ConfigMap", source["configMapRef"]["name"])
            if of is None:
                self.say(f"there is no ConfigMap {source['configMapRef']['name']}")
            else:
                env |= of["data"]
        for variable in self.container.get("env", []):
            source = variable.get("valueFrom", {})
            if "secretKeyRef" in source:
                self.expect_secret(source["secretKeyRef"]["name"], source["secretKeyRef"]["key"])
                env[variable["name"]] = SAMPLE_OF_A_SECRET
            else:
                env[variable["name"]] = variable.get("value", "from-the-pod")
        return env

    def expect_secret(self, name: str, key: str) -> None:
        """The overlay must say how the secret is made, since it does not make it."""
        told = re.search(rf"create secret (generic|tls) {re.escape(name)} (.*)", self.cluster.how_to)
        if told is None:
            self.say(f"kustomization.yaml does not say how the Secret {name} is made")
        elif told[1] == "generic" and f"={key}=" not in told[2]:
            self.say(f"kustomization.yaml makes the Secret {name} without {key}")

    def files(self) -> dict[str, str]:
        """Path in the container → content, of all that is mounted from ConfigMaps and Secrets."""
        volumes = {volume["name"]: volume for volume in self.spec.get("volumes", [])}
        claims = self.workload["spec"].get("volumeClaimTemplates", [])
        files = {}
        for mount in self.container["volumeMounts"]:
            volume = volumes.get(mount["name"])
            if volume is None:
                if all(claim["metadata"]["name"] != mount["name"] for claim in claims):
                    self.say(f"there is no volume {mount['name']}")
            elif "configMap" in volume:
                of = self.cluster.named("ConfigMap", volume["configMap"]["name"])
                if of is None:
                    self.say(f"there is no ConfigMap {volume['configMap']['name']}")
                else:
                    files |= {f"{mount['mountPath']}/{name}": text for name, text in of["data"].items()}
            elif "secret" in volume:
                secret = volume["secret"]
                default = [{"key": name, "path": name} for name in ("tls.crt", "tls.key")]
                for item in secret.get("items", default):
                    self.expect_secret(secret["secretName"], item["key"])
                    files[f"{mount['mountPath']}/{item['path']}"] = SAMPLE_OF_A_SECRET
        return files

    def node_file(self) -> dict:
        args = self.container["args"]
        path = args[args.index("--config") + 1]
        text = self.files().get(path)
        if text is None:
            self.say(f"--config names {path}, which is not mounted")
            return {}
        return tomllib.loads(self.filled(text))

    def filled(self, text: str) -> str:
        """The text of a configuration with its variables."""
        # Of what is no comment.
        lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
        for name in set(re.findall(r"(?<!\$)\$\{(\w+)\}", lines)) - self.env.keys():
            self.say(f"the configuration asks for ${{{name}}}, which the container does not have")
        return re.sub(r"(?<!\$)\$\{(\w+)\}", lambda found: self.env.get(found[1], ""), lines)

    def roles(self) -> set[str]:
        return set(self.config.get("cluster", {}).get("roles", ["edge", "delivery"]))

    def check(self) -> None:
        if self.config:
            self.check_ports()
            self.check_stop()
            self.check_memory()
            self.check_state()
            self.check_tokens()
        self.check_probes()
        self.check_privileges()
        self.check_role()

    def ports(self) -> dict[str, int]:
        return {port["name"]: port["containerPort"] for port in self.container["ports"]}

    def check_ports(self) -> None:
        server = self.config["server"]
        wanted = {"admin": server["admin"]}
        if "edge" in self.roles():
            wanted["clients"] = server["listen"]
        for name, address in wanted.items():
            host, port = address.rsplit(":", 1)
            if self.ports().get(name) != int(port):
                self.say(f"port {name} is {self.ports().get(name)}, and the configuration listens on {address}")
            if host not in ("0.0.0.0", "[::]"):
                self.say(f"nobody outside the pod reaches {address}")
        for extra in self.ports().keys() - wanted.keys():
            self.say(f"nothing listens on port {extra}")

    def check_probes(self) -> None:
        rules = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
        for probe, path in rules.items():
            asks = self.container.get(probe, {}).get("httpGet", {})
            if (asks.get("path"), asks.get("port")) != (path, "admin"):
                self.say(f"{probe} must ask for {path} at the port admin")
            if path not in admin_routes():
                self.say(f"the program has no route {path}")

    def check_stop(self) -> None:
        stop = self.config["server"].get("drain_timeout")
        drain = seconds(stop) if stop else drain_default()
        wait = self.container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        grace = self.spec.get("terminationGracePeriodSeconds", 30)
        if grace <= wait + drain:
            need = f"preStop {wait} s and drain_timeout {drain:g} s"
            self.say(f"terminationGracePeriodSeconds {grace} is not more than {need}")
        # Where others take over, requests must come until load balancers know.
        if "edge" in self.roles() and "cluster" in self.config and wait < 5:
            self.say("preStop must wait until load balancers know")

    def check_tokens(self) -> None:
        # A load balancer sends a client to any edge, with what another one has given it.
        if "cluster" in self.config and not self.config.get("aws", {}).get("token_secret"):
            self.say("without [aws] token_secret, iterators of one edge count as expired at the others")

    def check_memory(self) -> None:
        budget = size(self.config["memory_budget"])
        takes_clients = "edge" in self.roles()
        needs = memory_of(budget, self.config["server"] if takes_clients else {"max_connections": 0})
        resources = self.container["resources"]
        limit = resources.get("limits", {}).get("memory")
        if limit is None or size(limit) < needs:
            need = f"memory_budget {budget >> 20}Mi needs {needs / (1 << 20):.0f}Mi"
            self.say(f"the limit of memory is {limit}, and {need}")
        if resources.get("requests", {}).get("memory") != limit:
            self.say("memory that is not requested is not there when it is needed")

    def check_state(self) -> None:
        """The node's folder is on a volume that the process can write; it is a lasting one where the log is in it."""
        mounts = {mount["mountPath"]: mount for mount in self.container["volumeMounts"]}
        mount = mounts.get(self.config["data_dir"])
        if mount is None or mount.get("readOnly"):
            self.say(f"no volume at data_dir {self.config['data_dir']} that can be written")
            return
        lasts = all(volume["name"] != mount["name"] for volume in self.spec.get("volumes", []))
        if "cluster" not in self.config and not lasts:
            self.say(f"the log in {self.config['data_dir']} would go with the pod")
        if lasts and self.workload["spec"].get("replicas") != 1 and "cluster" not in self.config:
            self.say("each replica would be a node with a log of its own")

    def check_privileges(self) -> None:
        pod, own = self.spec.get("securityContext", {}), self.container.get("securityContext", {})
        wanted = {
            "runAsNonRoot": pod.get("runAsNonRoot") is True and pod.get("runAsUser", 0) > 0,
            "seccompProfile RuntimeDefault": pod.get("seccompProfile", {}).get("type") == "RuntimeDefault",
            "readOnlyRootFilesystem": own.get("readOnlyRootFilesystem") is True,
            "allowPrivilegeEscalation: false": own.get("allowPrivilegeEscalation") is False,
            "capabilities drop ALL": own.get("capabilities", {}).get("drop") == ["ALL"],
            "automountServiceAccountToken: false": self.spec.get("automountServiceAccountToken") is False,
            "enableServiceLinks: false": self.spec.get("enableServiceLinks") is False,
        }
        for what in (what for what, holds in wanted.items() if not holds):
            self.say(f"lacks {what}")
        if self.cluster.named("ServiceAccount", self.spec.get("serviceAccountName", "")) is None:
            self.say("has no service account of its own")

    def check_role(self) -> None:
        component = self.labels.get("app.kubernetes.io/component")
        told = "node" if self.roles() == {"edge", "delivery"} else "+".join(sorted(self.roles()))
        if component != told:
            self.say(f"is labelled {component}, and its roles are {sorted(self.roles())}")
