"""Prometheus, Grafana, the compose files and the Kubernetes manifests: what each must hold."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
from shipped_files import COLLECTOR, FOLDER, ROOT, WRITTEN, document, documents, environment, strings, variables

PROMETHEUS = FOLDER / "prometheus" / "prometheus.yaml"
COMPOSE = [FOLDER / "docker-compose.yaml", FOLDER / "docker-compose.host.yaml"]
KUBERNETES = FOLDER / "kubernetes"
MANIFESTS = sorted(path for path in KUBERNETES.glob("*.yaml") if path.name != "kustomization.yaml")
NO_SECRET = r"\$\{(env:)?\w+[^}]*\}|basicauth|bearertokenauth|ralph-gateway-\w+|[Ff]alse|token|unused"
"""A variable, or the name of a place where one is kept."""
SECRET = re.compile(r"token|password|passwd|authorization|htpasswd|secret", re.IGNORECASE)


def objects() -> Iterator[dict[str, Any]]:
    for path in MANIFESTS:
        yield from documents(path)


def pods() -> Iterator[dict[str, Any]]:
    """The specification of every pod of the kustomization."""
    for each in objects():
        if each["kind"] in ("Deployment", "DaemonSet"):
            yield each["spec"]["template"]["spec"]


# -- all files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(FOLDER)))
def test_a_file_is_yaml(path: Path) -> None:
    assert all(each is not None for each in documents(path))


def test_a_program_has_the_same_version_everywhere() -> None:
    images = [text for path in WRITTEN for each in documents(path) for text in images_in(each)]
    pages = (FOLDER / "README.md").read_text(encoding="utf-8")
    pinned = dict(image.split(":") for image in images)
    assert {f"{name}:{version}" for name, version in pinned.items()} == set(images)
    assert all(re.fullmatch(r"v?\d+\.\d+\.\d+", version) for version in pinned.values()), pinned
    for name, title in (
        ("otel/opentelemetry-collector-contrib", "Collector (contrib)"),
        ("prom/prometheus", "Prometheus"),
        ("jaegertracing/all-in-one", "Jaeger"),
        ("grafana/grafana", "Grafana"),
    ):
        assert f"{title} {pinned[name].removeprefix('v')}" in pages


def images_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            if key == "image" and "example.com" not in each:
                yield each
            yield from images_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from images_in(each)


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(FOLDER)))
def test_a_secret_comes_from_the_environment(path: Path) -> None:
    for each in documents(path):
        for key, value in settings(each):
            if SECRET.search(key) and value is not None:
                assert re.fullmatch(NO_SECRET, str(value)), f"{key}: {value}"


def settings(value: Any) -> Iterator[tuple[str, Any]]:
    """Every setting with a plain value; an entry of an environment by its name."""
    if isinstance(value, dict):
        if "name" in value and "value" in value:
            yield value["name"], value["value"]
        for key, each in value.items():
            if isinstance(each, (dict, list)):
                yield from settings(each)
            else:
                yield str(key), each
    elif isinstance(value, list):
        for each in value:
            yield from settings(each)


def test_the_example_of_the_environment_has_each_variable_of_compose_and_no_password() -> None:
    example = (FOLDER / ".env.example").read_text(encoding="utf-8")
    used = {name for path in COMPOSE for name in re.findall(r"\$\{(\w+)", path.read_text(encoding="utf-8"))}
    assert used == set(re.findall(r"^(?:# )?([A-Z_]+)=", example, re.M))
    assert re.search(r"^GRAFANA_ADMIN_PASSWORD=$", example, re.M)
    for path in COMPOSE:
        for name, default in re.findall(r"\$\{(\w+):-([^}]*)\}", path.read_text(encoding="utf-8")):
            assert f"\n{name}={default}\n" in example


# -- Prometheus and Grafana --------------------------------------------------------------------------------------------


def test_a_loop_reaches_prometheus_by_one_road_only() -> None:
    jobs = {job["job_name"]: job for job in document(PROMETHEUS)["scrape_configs"]}
    scraped = [jobs["ralph"]]
    scraped += document(COLLECTOR / "agent.yaml")["receivers"]["prometheus"]["config"]["scrape_configs"]
    rule = {"source_labels": ["__meta_ralph_pushes"], "regex": "true", "action": "drop"}
    assert all(rule in job["relabel_configs"] for job in scraped)


def test_the_labels_of_a_loop_stay_its_own_behind_a_collector() -> None:
    [job] = [job for job in document(PROMETHEUS)["scrape_configs"] if job["job_name"] == "ralph-collector"]
    assert job["honor_labels"] is True
    for name in ("gateway.yaml", "laptop.yaml"):
        assert document(COLLECTOR / name)["exporters"]["prometheus"]["without_scope_info"] is True


@pytest.mark.parametrize("path", ["prometheus/collectors/local.yaml", "compose/collectors.yaml"])
def test_prometheus_scrapes_both_ports_of_a_collector(path: str) -> None:
    ports = {group["labels"]["__meta_collector_port"]: group["targets"] for group in document(FOLDER / path)}
    defaults = variables((COLLECTOR / "laptop.yaml").read_text(encoding="utf-8"))
    for name, variable in (("metrics", "PROMETHEUS_PORT"), ("telemetry", "TELEMETRY_PORT")):
        [target] = ports[name]
        assert target.endswith(f":{defaults[variable]}")


def test_a_point_in_a_graph_leads_to_its_trace() -> None:
    sources = document(FOLDER / "grafana/provisioning/datasources/datasources.yaml")["datasources"]
    by_type = {source["type"]: source for source in sources}
    [destination] = by_type["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert destination == {"name": "trace_id", "datasourceUid": by_type["jaeger"]["uid"]}


# -- compose -----------------------------------------------------------------------------------------------------------


def test_compose_opens_ports_to_this_machine_only() -> None:
    services = document(COMPOSE[0])["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) >= 6
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_compose_on_the_hosts_network_binds_to_this_machine_only() -> None:
    override = document(COMPOSE[1])["services"]
    assert all(service["network_mode"] == "host" and service["ports"] is None for service in override.values())
    assert "0.0.0.0" not in COMPOSE[1].read_text(encoding="utf-8")
    assert override["jaeger"]["env_file"] == ["./jaeger/local.env"]
    places = [value for name, value in environment("local.env").items() if name.endswith("_HOST_PORT")]
    assert len(places) == 11  # all that Jaeger listens on
    assert all(place.startswith("127.0.0.1:") for place in places)
    bound = document(COMPOSE[0])["services"]
    for name, service in bound.items():
        for setting in service.get("environment", {}).items():
            if "0.0.0.0" in str(setting):
                assert setting[0] in override[name]["environment"]


def test_what_compose_mounts_is_there() -> None:
    """But for the folders that are generated: the rules and the dashboards."""
    found = [text for path in COMPOSE for text in strings(document(path)) if text.startswith("./")]
    paths = {text.partition(":")[0] for text in found}
    assert {"./prometheus/rules", "./grafana/dashboards"} <= paths
    for path in paths - {"./prometheus/rules", "./grafana/dashboards"}:
        assert (FOLDER / path).exists(), path


@pytest.mark.skipif(
    subprocess.run(["docker", "compose", "version"], capture_output=True).returncode != 0
    if shutil.which("docker")
    else True,
    reason="no docker compose here",
)
def test_docker_compose_takes_the_files(tmp_path: Path) -> None:
    environment = tmp_path / ".env"
    environment.write_text("GRAFANA_ADMIN_PASSWORD=x\nRALPH_OTEL_HOME=/tmp/home\n")
    for files in (COMPOSE[:1], COMPOSE):
        named = [word for path in files for word in ("-f", str(path))]
        command = ["docker", "compose", "--env-file", str(environment), *named, "config", "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
    without = ["docker", "compose", "--env-file", "/dev/null", "-f", str(COMPOSE[0]), "config", "--quiet"]
    refused = subprocess.run(without, capture_output=True, text=True, timeout=60)
    assert refused.returncode != 0
    assert "GRAFANA_ADMIN_PASSWORD" in refused.stderr


# -- Kubernetes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_a_manifest_is_as_the_schema_of_kubernetes_has_it(path: Path) -> None:
    for each in documents(path):
        kubernetes_validate.validate(each, "1.33", strict=True)


def test_the_config_maps_are_made_from_the_files_themselves() -> None:
    kustomization = document(KUBERNETES / "kustomization.yaml")
    assert "../collector" in kustomization["resources"]
    maps = document(COLLECTOR / "kustomization.yaml")["configMapGenerator"]
    assert {each["name"]: each["files"] for each in maps} == {
        "ralph-agent": ["agent.yaml"],
        "ralph-gateway": ["gateway.yaml"],
    }
    listed = [KUBERNETES / name for name in kustomization["resources"] if name.endswith(".yaml")]
    assert {*listed, KUBERNETES / "example-loop.yaml"} == set(MANIFESTS)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here")
def test_kubectl_builds_what_is_applied() -> None:
    done = subprocess.run(["kubectl", "kustomize", str(KUBERNETES)], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("kind: ConfigMap") == 2
    for name in ("agent", "gateway"):
        [made] = set(re.findall(rf"name: (ralph-{name}-[a-z0-9]{{10}})$", done.stdout, re.M))
        assert done.stdout.count(f"name: {made}\n") == 2  # the map, and its mount


def test_a_pod_gives_away_nothing_that_it_does_not_need() -> None:
    found = list(pods())
    assert len(found) == 2
    for pod in found:
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        for container in pod["containers"]:
            secured = {**pod["securityContext"], **container["securityContext"]}
            assert secured["runAsNonRoot"] is True
            assert secured["readOnlyRootFilesystem"] is True
            assert secured["allowPrivilegeEscalation"] is False
            assert secured["capabilities"] == {"drop": ["ALL"]}
            assert container["readinessProbe"]["httpGet"]["port"] == "health"
            assert {"requests", "limits"} <= container["resources"].keys()


def test_a_pod_has_every_variable_that_its_file_requires_and_no_other() -> None:
    for pod in pods():
        [container] = pod["containers"]
        [argument] = container["args"]
        file = COLLECTOR / Path(argument).name
        read = variables(file.read_text(encoding="utf-8"))
        given = {each["name"] for each in container["env"]} - {"NODE_NAME", "OTEL_RESOURCE_ATTRIBUTES"}
        assert {name for name, default in read.items() if default is None} <= given <= read.keys()
        [configuration] = [volume for volume in pod["volumes"] if volume["name"] == "config"]
        assert configuration["configMap"]["name"] == f"ralph-{file.stem}"


def test_an_agents_pod_looks_for_loops_in_a_folder_that_is_mounted() -> None:
    [container] = [container for pod in pods() for container in pod["containers"] if container["name"] == "agent"]
    [targets] = [each["value"] for each in container["env"] if each["name"] == "TARGETS"]
    assert str(Path(targets).parent) in {each["mountPath"] for each in container["volumeMounts"]}


@pytest.mark.parametrize("name", [".env", "tls.key", "tls.crt", "ca.crt", "prometheus/loops"])
def test_what_the_readme_has_one_make_is_not_committed_by_mistake(name: str) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no clone")
    assert subprocess.run(["git", "check-ignore", "--quiet", str(FOLDER / name)], cwd=ROOT).returncode == 0


def test_the_memory_of_a_pod_is_more_than_what_its_collector_limits_itself_to() -> None:
    for pod in pods():
        [container] = pod["containers"]
        file = COLLECTOR / Path(container["args"][0]).name
        limit = int(variables(file.read_text(encoding="utf-8"))["MEMORY_LIMIT_MIB"] or 0)
        amount, unit = re.fullmatch(r"(\d+)(Mi|Gi)", container["resources"]["limits"]["memory"]).groups()  # type: ignore[union-attr]
        assert limit * 1.25 < int(amount) * (1024 if unit == "Gi" else 1)


def test_a_service_leads_to_a_port_that_is_there() -> None:
    named = {each["metadata"]["name"]: each for each in objects() if each["kind"] in ("Deployment", "DaemonSet")}
    services = [each for each in objects() if each["kind"] == "Service"]
    assert len(services) == 2
    for service in services:
        workload = named[service["metadata"]["name"]]
        assert service["spec"]["selector"] == workload["spec"]["template"]["metadata"]["labels"]
        [container] = workload["spec"]["template"]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert all(ports[port["targetPort"]] == port["port"] for port in service["spec"]["ports"])


def test_the_readme_of_the_folder_names_every_file() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    for path in WRITTEN:
        assert {path.name, *(f"{parent.name}/" for parent in path.parents)} & set(re.findall(r"[\w./-]+", page)), path
    assert "collector-config/README.md" in (ROOT / "README.md").read_text(encoding="utf-8")
