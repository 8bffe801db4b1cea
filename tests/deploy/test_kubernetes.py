"""The manifests: valid by Kubernetes' own schemas, and what refers to something finds it."""

from __future__ import annotations

from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from manifests import (
    BUILDS,
    KUBERNETES,
    Manifest,
    build,
    containers,
    environment,
    mebibytes,
    name_of,
    of_kind,
    pod,
    pod_labels,
    processors,
    seconds,
    workloads,
)

PREFIX = "SPAN_PROCESSOR_"
# The first that takes all that is used here, and the last one known.
VERSIONS = ("1.30.0", kubernetes_validate.latest_version())
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


@pytest.fixture(params=BUILDS)
def found(request: pytest.FixtureRequest) -> list[Manifest]:
    """The objects of each kustomization."""
    return build(request.param)


def test_all_are_there() -> None:
    """The sidecar, alone and with a Collector; the gateway, alone and several."""
    assert ["base", "gateway", "gateway-balanced", "with-collector"] == BUILDS


def test_every_file_belongs_to_a_kustomization() -> None:
    """What a kustomization names is there, and nothing else is."""
    for folder in (KUBERNETES / name for name in BUILDS):
        wanted = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
        files = [entry.rpartition("=")[2] for each in wanted["configMapGenerator"] for entry in each.get("files", ())]
        named = {name for name in [*wanted["resources"], *files] if not name.startswith("..")}
        assert named == {path.name for path in folder.iterdir()} - {"kustomization.yaml"}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schemas_take_them(found: list[Manifest], version: str) -> None:
    """Every object is valid, and has no field that its kind does not know."""
    for manifest in found:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_selectors_find_pods(found: list[Manifest]) -> None:
    """A workload selects its own pods; services, budgets and policies select some workload's."""
    labels = [pod_labels(each).items() for each in workloads(found)]
    for workload in workloads(found):
        assert workload["spec"]["selector"]["matchLabels"].items() <= pod_labels(workload).items()
        wanted = workload["spec"]["selector"]["matchLabels"].items()
        assert 1 == len([each for each in labels if wanted <= each]), "no workload takes another one's pods"
    selectors = [each["spec"]["selector"] for each in of_kind(found, "Service")]
    selectors += [each["spec"]["selector"]["matchLabels"] for each in of_kind(found, "PodDisruptionBudget")]
    selectors += [each["spec"]["podSelector"]["matchLabels"] for each in of_kind(found, "NetworkPolicy")]
    for selector in selectors:
        assert any(selector.items() <= each for each in labels)


def test_ports_have_names_that_containers_have(found: list[Manifest]) -> None:
    """Services, probes and policies name ports of the containers that they mean."""
    for service in of_kind(found, "Service"):
        (workload,) = [
            each for each in workloads(found) if service["spec"]["selector"].items() <= pod_labels(each).items()
        ]
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports_of(workload)
    for policy in of_kind(found, "NetworkPolicy"):
        selector = policy["spec"]["podSelector"]["matchLabels"].items()
        (workload,) = [each for each in workloads(found) if selector <= pod_labels(each).items()]
        named = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
        assert named == ports_of(workload)
    for container in (each for workload in workloads(found) for each in containers(workload)):
        own = {port["name"] for port in container.get("ports", ())}
        assert {container[probe]["httpGet"]["port"] for probe in PROBES if probe in container} <= own


def ports_of(workload: Manifest) -> set[str]:
    return {port["name"] for container in containers(workload) for port in container.get("ports", ())}


def test_the_ports_are_what_listens(found: list[Manifest]) -> None:
    """Each named port of a processor is the port of an endpoint at the pod's address; others listen on loopback."""
    for _, container in processors(found):
        said = environment(container, found)
        given = {each["name"]: each.get("value", "") for each in container["env"]}
        at_pod = {value.rpartition(":")[2] for value in given.values() if value.startswith("$(POD_IP):")}
        assert {str(port["containerPort"]) for port in container["ports"]} == at_pod
        others = [said[f"{PREFIX}RECEIVER_{kind}_ENDPOINT"] for kind in ("GRPC", "HTTP")]
        assert all(each.startswith("127.0.0.1:") for each in others)


def test_no_container_may_do_more_than_it_needs(found: list[Manifest]) -> None:
    """Not root, root read-only, no capabilities, no escalation, the runtime's seccomp profile, no token, bounded."""
    for workload in workloads(found):
        of_pod = pod(workload)
        assert of_pod["securityContext"]["runAsNonRoot"] is True
        assert {"type": "RuntimeDefault"} == of_pod["securityContext"]["seccompProfile"]
        assert of_pod["automountServiceAccountToken"] is False
        assert of_pod["enableServiceLinks"] is False
        for container in containers(workload):
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert {"drop": ["ALL"]} == context["capabilities"]
            assert 10001 == {**of_pod["securityContext"], **context}["runAsUser"]
            assert "privileged" not in context
            assert {"cpu", "memory"} == set(container["resources"]["requests"])
            assert {"memory"} == set(container["resources"]["limits"])
            assert ":" in container["image"]
            assert not container["image"].endswith(":latest")


def test_the_processor_is_a_native_sidecar() -> None:
    """It is ready before the application starts, is told to stop after it, and does not decide on its readiness."""
    for name in ("base", "with-collector"):
        ((workload, container),) = processors(build(name))
        assert [container] == pod(workload)["initContainers"]
        assert "Always" == container["restartPolicy"]
        assert "/readyz" == container["startupProbe"]["httpGet"]["path"]
        assert "readinessProbe" not in container


def test_probes_ask_what_they_should(found: list[Manifest]) -> None:
    """Life is the event loop's alone; a loop that stands still answers nothing, so the probe has a timeout."""
    for _, container in processors(found):
        assert "/livez" == container["livenessProbe"]["httpGet"]["path"]
        assert 5 == container["livenessProbe"]["timeoutSeconds"]
        for probe in {"startupProbe", "readinessProbe"} & set(container):
            assert "/readyz" == container[probe]["httpGet"]["path"]


def test_memory_is_enough_to_run(found: list[Manifest]) -> None:
    """At least 64 MiB are asked for, and 70 % of the limit, which MEMORY_LIMIT is then, are far above an idle process."""
    for _, container in processors(found):
        assert f"{PREFIX}MEMORY_LIMIT" not in environment(container, found)
        assert 64 <= mebibytes(container["resources"]["requests"]["memory"])
        assert 256 <= mebibytes(container["resources"]["limits"]["memory"])


def test_the_time_to_stop_is_enough(found: list[Manifest]) -> None:
    """The pod's grace is longer than SHUTDOWN_TIMEOUT and what goes before it."""
    for workload, container in processors(found):
        before_s = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        own_s = seconds(environment(container, found)[f"{PREFIX}SHUTDOWN_TIMEOUT"])
        assert before_s + own_s + 5 <= pod(workload)["terminationGracePeriodSeconds"]


def test_what_is_mounted_is_there(found: list[Manifest]) -> None:
    """Every mount has its volume, every volume a mount, and every ConfigMap of a volume is made."""
    for workload in workloads(found):
        claims = {name_of(each) for each in workload["spec"].get("volumeClaimTemplates", ())}
        volumes = {each["name"]: each for each in pod(workload).get("volumes", ())}
        mounted = {each["name"] for container in containers(workload) for each in container.get("volumeMounts", ())}
        assert mounted == claims | set(volumes)
        for volume in volumes.values():
            if "configMap" in volume:
                assert of_kind(found, "ConfigMap", volume["configMap"]["name"])


def test_secrets_are_files(found: list[Manifest]) -> None:
    """A secret comes by a setting that ends in _FILE, out of a read-only mount of a Secret; its text is nowhere."""
    for workload, container in processors(found):
        said = environment(container, found)
        secret = {each["name"] for each in pod(workload).get("volumes", ()) if "secret" in each}
        mounts = [each for each in container["volumeMounts"] if each["name"] in secret]
        assert all(each["readOnly"] for each in mounts)
        files = [Path(value) for name, value in said.items() if name.endswith("_FILE") and value]
        assert {Path(each["mountPath"]) for each in mounts} == {path.parent for path in files}
        assert not {name for name in said if name.endswith(("_HEADERS", "_TOKEN", "_TOKENS", "_KEY"))}


def test_the_journal_has_a_folder_of_its_own(found: list[Manifest]) -> None:
    """Not a volume's root, which is open to others, but one in it; and the volume has room for it."""
    for workload, container in processors(found):
        said = environment(container, found)
        (mount,) = [each for each in container["volumeMounts"] if each["name"] == "journal"]
        assert f"{mount['mountPath']}/journal" == said[f"{PREFIX}JOURNAL_DIRECTORY"]
        sizes = [each["emptyDir"]["sizeLimit"] for each in pod(workload)["volumes"] if "emptyDir" in each]
        claims = workload["spec"].get("volumeClaimTemplates", ())
        sizes += [each["spec"]["resources"]["requests"]["storage"] for each in claims]
        (size,) = sizes
        assert mebibytes(said[f"{PREFIX}JOURNAL_MAX_SIZE"]) < mebibytes(size)
        if claims:
            assert "OnRootMismatch" == pod(workload)["securityContext"]["fsGroupChangePolicy"]


def test_a_trace_meets_in_one_gateway() -> None:
    """One instance; or the Collector in front, which knows the single pods by name and divides by trace id."""
    alone, several = build("gateway"), build("gateway-balanced")
    for found, replicas in ((alone, 1), (several, 3)):
        ((workload, container),) = processors(found)
        assert replicas == workload["spec"]["replicas"]
        assert "any" == environment(container, found)[f"{PREFIX}ROOTS"]
    ((workload, _),) = processors(several)
    (exporter,) = collector(several)["exporters"].values()
    assert "traceID" == exporter["routing_key"]
    assert workload["spec"]["serviceName"] == exporter["resolver"]["dns"]["hostname"]
    assert "4317" == exporter["resolver"]["dns"]["port"], "the Collector takes no number here"
    (service,) = of_kind(several, "Service", exporter["resolver"]["dns"]["hostname"])
    assert "None" == service["spec"]["clusterIP"]


def test_the_collector_may_send_to_the_gateway() -> None:
    """Its pods carry the label that the policy asks senders for."""
    found = build("gateway-balanced")
    (policy,) = of_kind(found, "NetworkPolicy")
    (sender,) = policy["spec"]["ingress"][0]["from"]
    (workload,) = of_kind(found, "Deployment", "collector")
    assert sender["podSelector"]["matchLabels"].items() <= pod_labels(workload).items()


def test_a_gateway_takes_spans_for_a_token_alone() -> None:
    """So does the Collector in front of several, which shows the same one."""
    file = "/run/secrets/span-processor/receiver-tokens"
    for name in ("gateway", "gateway-balanced"):
        found = build(name)
        ((_, container),) = processors(found)
        assert file == environment(container, found)[f"{PREFIX}RECEIVER_BEARER_TOKENS_FILE"]
    said = collector(build("gateway-balanced"))
    assert file == said["extensions"]["bearertokenauth"]["filename"]
    receivers = said["receivers"]["otlp"]["protocols"].values()
    assert [{"authenticator": "bearertokenauth"}] * 2 == [each["auth"] for each in receivers]
    (exporter,) = said["exporters"].values()
    assert f"Bearer ${{file:{file}}}" == exporter["protocol"]["otlp"]["headers"]["authorization"]


def test_the_sidecar_sends_to_the_collector() -> None:
    """The endpoint is the Collector's Service, and the backend's key is the Collector's alone."""
    found = build("with-collector")
    ((workload, container),) = processors(found)
    (service,) = of_kind(found, "Service")
    endpoint = environment(container, found)[f"{PREFIX}EXPORTER_OTLP_ENDPOINT"]
    assert endpoint == f"http://{name_of(service)}:{service['spec']['ports'][0]['port']}"
    assert "grpc" == environment(container, found)[f"{PREFIX}EXPORTER_OTLP_PROTOCOL"]
    assert [] == [each for each in pod(workload)["volumes"] if "secret" in each]


@pytest.mark.parametrize("name", ["with-collector", "gateway-balanced"])
def test_the_collectors_pipelines_are_made_of_what_is_configured(name: str) -> None:
    """Each component that a pipeline names is there, each that is there is named, and the ports are the container's."""
    found = build(name)
    said = collector(found)
    (pipeline,) = said["service"]["pipelines"].values()
    for kind in ("receivers", "processors", "exporters"):
        assert set(said[kind]) == set(pipeline[kind])
    assert list(said["extensions"]) == said["service"]["extensions"]
    (workload,) = of_kind(found, "Deployment", "collector")
    endpoints = [each["endpoint"] for each in said["receivers"]["otlp"]["protocols"].values()]
    endpoints.append(said["extensions"]["health_check"]["endpoint"])
    (container,) = containers(workload)
    assert {f"${{env:POD_IP}}:{port['containerPort']}" for port in container["ports"]} == set(endpoints)


def collector(found: list[Manifest]) -> Manifest:
    """The Collector's configuration."""
    (configuration,) = of_kind(found, "ConfigMap", "collector")
    return dict(yaml.safe_load(configuration["data"]["config.yaml"]))
