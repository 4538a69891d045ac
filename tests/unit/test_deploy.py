"""What lies in deploy/ fits the program: settings exist, ports agree, times to end are long enough.

Nothing is started here; the files of the stores are read as their programs read them.
"""

import re
import shutil
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pytest

import yaml
from longline.agent import systemd, valkey
from longline.agent.warm import MALLOC
from longline.settings import Settings, load
from longline.settings.catalogue import CATALOGUE

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
KUBERNETES: Final = DEPLOY / "kubernetes"
VARIABLES: Final = {entry.env for entry in CATALOGUE.values()}
COMPOSE: Final = ("compose.yaml", "compose.small.yaml")
SECRETS: Final = ("LONGLINE_ADMIN_KEY", "LONGLINE_STORE__PASSWORD")
ROLES: Final = {"room", "center", "dispatcher", "coordinator"}

Tree = dict[str, Any]


def documents(path: Path) -> list[Tree]:
    return msgspec.convert(list(yaml.safe_load_all(path.read_text("utf-8"))), list[Tree])


class Container(NamedTuple):
    """A process of Longline in deploy/. Of `seconds_to_end`, `preparing` pass before SIGTERM."""

    name: str
    roles: set[str]
    settings: Settings
    ports: set[int]
    seconds_to_end: float
    preparing: float


def settings_from(environ: Mapping[str, str]) -> Settings:
    """As a process would read them; `${NAME:-default}` becomes its default."""
    return load(None, {name: by_default(value) for name, value in environ.items()}).settings


def by_default(value: str) -> str:
    """A value of compose's when no variable is set; one that has to be is what is said of it."""
    return re.sub(r"\$\{\w+:[-?]([^}]*)\}", lambda found: found[1].replace(" ", "-"), value)


def compose_containers(name: str) -> Iterator[Container]:
    (tree,) = documents(DEPLOY / name)
    for service, each in tree["services"].items():
        if each["image"] == "longline":
            assert each["command"][0] == "run"
            yield Container(
                f"{name}: {service}",
                set(each["command"][1:]),
                settings_from(each["environment"]),
                {int(port.rpartition(":")[2]) for port in each.get("ports", ())},
                float(each["stop_grace_period"].removesuffix("s")),
                0.0,
            )


def kubernetes_containers() -> Iterator[tuple[Container, Tree]]:
    common = {**documents(KUBERNETES / "config.yaml")[0]["data"], **dict.fromkeys(SECRETS, "k" * 48)}
    for tree in kubernetes_trees("Deployment"):
        pod = tree["spec"]["template"]["spec"]
        (each,) = pod["containers"]
        own = {item["name"]: item["value"] for item in each.get("env", ())}
        assert each["args"][0] == "run"
        prepared = each.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])
        yield (
            Container(
                tree["metadata"]["name"],
                set(each["args"][1:]),
                settings_from({**common, **own}),
                {port["containerPort"] for port in each["ports"]},
                pod["terminationGracePeriodSeconds"],
                float(prepared[1]),
            ),
            tree,
        )


def kubernetes_trees(kind: str) -> list[Tree]:
    return [
        tree for path in sorted(KUBERNETES.glob("*.yaml")) for tree in documents(path) if tree["kind"] == kind
    ]


def all_containers() -> list[Container]:
    composed = [each for name in COMPOSE for each in compose_containers(name)]
    return [*composed, *(each for each, _ in kubernetes_containers())]


def directives(text: str) -> dict[str, list[str]]:
    """The lines of a redis.conf; of a name that comes several times all values."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, _, value = line.strip().partition(" ")
        if name and not name.startswith("#"):
            found.setdefault(name, []).append(value.strip().strip('"'))
    return found


def test_every_setting_named_anywhere_exists() -> None:
    """Also in comments and in files that no other test reads."""
    named = {
        (path.name, name)
        for path in DEPLOY.rglob("*")
        if path.is_file()
        for name in re.findall(r"LONGLINE_[A-Z_]+", path.read_text("utf-8"))
    }
    assert named
    assert {(path, name) for path, name in named if name not in VARIABLES} == set()


@pytest.mark.parametrize("container", all_containers(), ids=lambda each: each.name)
def test_a_container_has_known_roles_open_to_others_and_offers_the_ports_that_it_listens_on(
    container: Container,
) -> None:
    settings, listens = container.settings, set()
    assert container.roles <= ROLES
    if "room" in container.roles:
        listens.add(settings.room.port)
        assert settings.room.host == "0.0.0.0"
        assert settings.room.advertise
    if container.roles & {"center", "dispatcher"}:
        listens.add(settings.center.port)
        assert settings.center.host == "0.0.0.0"
    else:
        listens.add(settings.node.status_port)
        assert settings.node.status_host == "0.0.0.0"
    assert container.ports <= listens
    assert container.ports or container.roles == {"coordinator"}


@pytest.mark.parametrize("container", all_containers(), ids=lambda each: each.name)
def test_a_container_has_the_time_to_move_its_clients_before_it_is_killed(container: Container) -> None:
    node = container.settings.node
    needed = container.preparing + node.shutdown_grace
    if "room" in container.roles:
        needed += node.drain_grace
    assert container.seconds_to_end > needed


def test_every_role_runs_at_least_twice_in_a_cluster() -> None:
    composed = [role for each in compose_containers("compose.yaml") for role in each.roles]
    assert all(composed.count(role) >= 2 for role in ROLES)
    for container, tree in kubernetes_containers():
        assert tree["spec"]["replicas"] >= 2, container.name


@pytest.mark.parametrize("name", COMPOSE)
def test_no_two_services_of_a_host_want_the_same_port(name: str) -> None:
    (tree,) = documents(DEPLOY / name)
    published = [
        port.rpartition(":")[0] for each in tree["services"].values() for port in each.get("ports", ())
    ]
    assert len(published) == len(set(published))


@pytest.mark.parametrize("name", COMPOSE)
def test_a_room_is_reached_from_outside_at_the_port_that_it_tells_to_clients(name: str) -> None:
    (tree,) = documents(DEPLOY / name)
    for each in tree["services"].values():
        if "room" in each.get("command", ()):
            port = settings_from(each["environment"]).room.port
            assert each["ports"] == [f"${{ROOMS_ON:-127.0.0.1}}:{port}:{port}"]


@pytest.mark.parametrize("path", sorted(DEPLOY.glob("compose*.yaml")), ids=lambda path: path.name)
def test_nothing_is_published_beyond_the_host_unless_somebody_says_so(path: Path) -> None:
    """There is no TLS in this version: what is published is in clear."""
    (tree,) = documents(path)
    published = [by_default(port) for each in tree["services"].values() for port in each.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_no_file_has_a_key_or_a_password_in_it() -> None:
    for path in DEPLOY.rglob("*"):
        if path.is_file():
            for name, value in re.findall(rf"({'|'.join(SECRETS)})[=:][ \t]*(.*)", path.read_text("utf-8")):
                assert re.match(r"$|%s|&password \$\{\w+:\?|\$\{\w+:\?|\$\(", value), (path, name, value)


@pytest.mark.parametrize("name", COMPOSE)
def test_a_store_of_compose_asks_for_the_password_that_its_clients_have(name: str) -> None:
    (tree,) = documents(DEPLOY / name)
    (password,) = {
        each["environment"]["LONGLINE_STORE__PASSWORD"]
        for each in tree["services"].values()
        if each["image"] == "longline"
    }
    stores = [each for each in tree["services"].values() if each["image"].startswith("valkey/")]
    for each in stores:
        assert each["environment"] == {"REDISCLI_AUTH": password}
    for command in (each["command"] for each in stores if each["command"][0] == "valkey-server"):
        for option in ("--requirepass", "--masterauth"):
            assert command[command.index(option) + 1] == password


def test_a_store_of_kubernetes_asks_for_the_password_that_its_clients_have() -> None:
    (kustomization,) = documents(KUBERNETES / "kustomization.yaml")
    (generator,) = kustomization["secretGenerator"]
    assert f"/deploy/kubernetes/{generator['envs'][0]}" in (ROOT / ".gitignore").read_text().split()
    stores = [*kubernetes_trees("StatefulSet"), *kubernetes_trees("Job")]
    for tree in (tree for tree in stores if tree["metadata"]["name"].startswith("store")):
        (each,) = tree["spec"]["template"]["spec"]["containers"]
        (password,) = (item for item in each["env"] if item["name"] == "REDISCLI_AUTH")
        key = password["valueFrom"]["secretKeyRef"]
        assert key == {"name": generator["name"], "key": "LONGLINE_STORE__PASSWORD"}
        if tree["kind"] == "StatefulSet":
            for option in ("--requirepass", "--masterauth"):
                assert each["command"][each["command"].index(option) + 1] == "$(REDISCLI_AUTH)"


def test_the_network_lets_only_those_speak_to_a_pod_who_have_to() -> None:
    policies = {tree["metadata"]["name"]: tree["spec"] for tree in kubernetes_trees("NetworkPolicy")}
    assert policies.pop("nobody") == {"podSelector": {}, "policyTypes": ["Ingress"]}
    pods = {
        tree["metadata"]["name"]: tree["spec"]["template"]
        for tree in [*kubernetes_trees("Deployment"), *kubernetes_trees("StatefulSet")]
    }
    assert policies.keys() == pods.keys()
    roles = {pod["metadata"]["labels"]["role"] for pod in pods.values()} | {"store-init"}
    for name, policy in policies.items():
        assert policy["podSelector"]["matchLabels"] == pods[name]["metadata"]["labels"]
        (each,) = pods[name]["spec"]["containers"]
        opened = {port["port"] for rule in policy["ingress"] for port in rule["ports"]}
        assert opened == {port["name"] for port in each["ports"]}
        everybody = {
            port["port"] for rule in policy["ingress"] if "from" not in rule for port in rule["ports"]
        }
        assert everybody == ({"mqtt"} if name == "room" else set())
        for peer in (peer for rule in policy["ingress"] for peer in rule.get("from", ())):
            for expression in peer.get("podSelector", {}).get("matchExpressions", ()):
                assert set(expression["values"]) <= roles


def test_the_node_in_one_container_keeps_its_data_in_a_volume() -> None:
    (tree,) = documents(DEPLOY / "compose.serve.yaml")
    (each,) = tree["services"].values()
    command = each["command"]
    assert command[0] == "serve"
    data = command[command.index("--data") + 1]
    assert [volume.rpartition(":")[2] for volume in each["volumes"]] == [data]
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    assert re.findall(r"^VOLUME (.*)$", text, re.MULTILINE) == [data]
    settings = settings_from(each["environment"])
    ports = {int(port.rpartition(":")[2]) for port in each["ports"]}
    assert ports == {settings.room.port, settings.center.port}
    assert settings.room.host == settings.center.host == "0.0.0.0"
    assert float(each["stop_grace_period"].removesuffix("s")) > settings.node.shutdown_grace


def test_what_the_services_of_kubernetes_and_probes_name_exists() -> None:
    pods = [*kubernetes_trees("Deployment"), *kubernetes_trees("StatefulSet")]
    for tree in pods:
        (each,) = tree["spec"]["template"]["spec"]["containers"]
        ports = {port["name"] for port in each["ports"]}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            how = each.get(probe, {})
            found = how.get("httpGet") or how.get("tcpSocket")
            assert found is None or found["port"] in ports
    for service in kubernetes_trees("Service"):
        chosen = [
            tree
            for tree in pods
            if service["spec"]["selector"].items() <= tree["spec"]["template"]["metadata"]["labels"].items()
        ]
        assert len(chosen) == 1
        ports = {port["name"] for port in chosen[0]["spec"]["template"]["spec"]["containers"][0]["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


def test_the_figures_are_scraped_where_they_are() -> None:
    for container, tree in kubernetes_containers():
        settings = container.settings
        port = settings.center.port if "center" in container.roles else settings.node.status_port
        assert tree["spec"]["template"]["metadata"]["annotations"]["prometheus.io/port"] == str(port)


def test_whatever_runs_more_than_once_is_kept_from_being_disrupted_all_at_once() -> None:
    guarded = {tree["metadata"]["name"] for tree in kubernetes_trees("PodDisruptionBudget")}
    assert guarded == {
        tree["metadata"]["name"]
        for tree in [*kubernetes_trees("Deployment"), *kubernetes_trees("StatefulSet")]
    }


def test_the_kustomization_names_every_file() -> None:
    (tree,) = documents(KUBERNETES / "kustomization.yaml")
    assert {*tree["resources"], "kustomization.yaml"} == {path.name for path in KUBERNETES.glob("*.yaml")}


def test_the_stores_of_kubernetes_have_the_files_that_are_kept_beside() -> None:
    (store,) = (tree for tree in kubernetes_trees("ConfigMap") if tree["metadata"]["name"] == "store")
    for name, text in store["data"].items():
        assert text == (DEPLOY / "redis" / name).read_text("utf-8")
    (keeper,) = (tree for tree in kubernetes_trees("ConfigMap") if tree["metadata"]["name"] == "zookeeper")
    named = re.sub(
        r"=zookeeper-(\d)\.zookeeper:", lambda n: f"=zookeeper-{int(n[1]) + 1}:", keeper["data"]["zoo.cfg"]
    )
    assert named == (DEPLOY / "zookeeper" / "zoo.cfg").read_text("utf-8")


def test_stores_pack_data_as_the_private_one_of_serve_does() -> None:
    """The engines' compactness stands on these; how often to sync differs on purpose."""
    ours = directives((DEPLOY / "redis" / "redis.conf").read_text("utf-8"))
    for name in ("appendonly", "save", "maxmemory-policy", *(n for n in valkey.SETTINGS if "-max-" in n)):
        assert ours[name] == [valkey.SETTINGS[name]], name


@pytest.mark.parametrize("name", ["cluster.conf", "pair.conf"])
def test_each_kind_of_store_begins_with_what_all_have_in_common(name: str) -> None:
    found = directives((DEPLOY / "redis" / name).read_text("utf-8"))
    assert next(iter(found.items())) == ("include", ["/etc/valkey/redis.conf"])


def test_a_call_outlives_the_failover_of_a_master() -> None:
    found = directives((DEPLOY / "redis" / "cluster.conf").read_text("utf-8"))
    assert int(found["cluster-node-timeout"][0]) / 1000 < Settings().store.timeout


def zoo() -> dict[str, str]:
    lines = (DEPLOY / "zookeeper" / "zoo.cfg").read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_zookeeper_grants_the_session_timeout_that_nodes_ask_for() -> None:
    wanted = Settings().keeper.session_timeout * 1000
    assert int(zoo()["minSessionTimeout"]) <= wanted <= int(zoo()["maxSessionTimeout"])
    assert zoo()["clientPort"] == Settings().keeper.hosts.rpartition(":")[2]


@pytest.mark.parametrize("container", all_containers(), ids=lambda each: each.name)
def test_a_container_knows_an_ensemble_whose_servers_there_are(container: Container) -> None:
    keeper = container.settings.keeper
    if keeper.engine == "zookeeper":
        ports = {host.rpartition(":")[2] for host in keeper.hosts.split(",")}
        servers = [name for name in zoo() if name.startswith("server.")]
        assert ports == {zoo()["clientPort"]}
        assert len(keeper.hosts.split(",")) == len(servers) == 3


@pytest.mark.parametrize(("kind", "file"), [("agent", "longline.toml"), ("serve", "serve.toml")])
def test_the_units_are_what_the_program_prints_for_the_files_beside_them(
    monkeypatch: pytest.MonkeyPatch, kind: str, file: str
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: "/opt/longline/bin/longline")
    settings, there = load(DEPLOY / file).settings, Path("/etc/longline", file)
    if kind == "agent":
        unit = systemd.agent_unit(settings, there, {})
    else:
        unit = systemd.serve_unit(settings, None, there, {})
    assert (DEPLOY / "systemd" / f"longline-{kind}.service").read_text("utf-8") == unit


def test_the_file_of_a_host_names_only_settings_and_gives_its_processes_ports_of_their_own() -> None:
    settings = load(DEPLOY / "longline.toml").settings
    tables = tomllib.loads((DEPLOY / "longline.toml").read_text("utf-8"))
    assert len(settings.store.url.split(",")) >= 3
    assert "admin_key" not in tables
    counts = [int(entry.partition("=")[2]) for entry in settings.agent.processes]
    status = range(settings.agent.status_ports, settings.agent.status_ports + sum(counts))
    assert not {settings.room.port, settings.center.port} & {*status}


def test_the_image_has_the_allocator_settings_of_an_agent_and_shows_the_ports_that_are_used() -> None:
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    assert dict(re.findall(r"(MALLOC_\w+)=(\d+)", text)) == MALLOC
    (exposed,) = re.findall(r"^EXPOSE (.*)$", text, re.MULTILINE)
    statuses = {each.settings.node.status_port for each in all_containers()}
    assert {int(port) for port in exposed.split()} == {
        Settings().room.port,
        Settings().center.port,
        *statuses,
    }


def test_the_image_is_built_of_files_that_there_are_and_that_are_sent_to_the_builder() -> None:
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    sent = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().split() if line[0] == "!"}
    copied: Sequence[str] = [
        word
        for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE)
        for word in line.split()[:-1]
    ]
    assert set(copied) == sent
    assert all((ROOT / name).exists() for name in copied)
