"""The kustomizations of `deploy/kubernetes`, built as kustomize builds them, as far as they use it.

Resources, generated ConfigMaps (without the hash behind the name), patches, replicas and images; a field that is not
known here is an error. `kustomize.py` compares this with the real one.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
BUILDS = sorted(path.parent.name for path in KUBERNETES.glob("*/kustomization.yaml"))
FIELDS = {"apiVersion", "kind", "resources", "configMapGenerator", "patches", "replicas", "images"}
# By which a patch finds an element of a list.
MERGE_KEYS = ("name", "mountPath", "containerPort", "topologyKey")

Manifest = dict[str, Any]


def build(name: str) -> list[Manifest]:
    """The objects that `kubectl apply -k` sends."""
    folder = KUBERNETES / name
    wanted = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
    assert set() == set(wanted) - FIELDS
    found: list[Manifest] = []
    for resource in wanted.get("resources", ()):
        path = (folder / resource).resolve()
        found += build(path.name) if path.is_dir() else read(path)
    for generator in wanted.get("configMapGenerator", ()):
        _generate(folder, generator, found)
    for patch in wanted.get("patches", ()):
        change = yaml.safe_load(patch["patch"])
        (target,) = of_kind(found, change["kind"], change["metadata"]["name"])
        target.update(merge(target, change))
    for each in wanted.get("replicas", ()):
        (target,) = [found for found in found if "replicas" in found.get("spec", {}) and name_of(found) == each["name"]]
        target["spec"]["replicas"] = each["count"]
    for image in wanted.get("images", ()):
        for container in (each for workload in found for each in containers(workload)):
            if container["image"] == image["name"]:
                container["image"] = f"{image['name']}:{image['newTag']}"
    return found


def read(path: Path) -> list[Manifest]:
    """The objects of one file."""
    return [each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if each]


def _generate(folder: Path, generator: Manifest, found: list[Manifest]) -> None:
    data = dict(literal.split("=", 1) for literal in generator.get("literals", ()))
    for entry in generator.get("files", ()):
        key, _, file = entry.rpartition("=")
        data[key or file] = (folder / file).read_text(encoding="utf-8")
    if generator.get("behavior") == "merge":
        (base,) = of_kind(found, "ConfigMap", generator["name"])
        base["data"].update(data)
    else:
        found.append(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": generator["name"]}, "data": data}
        )  # fmt: skip


def merge(base: Any, change: Any) -> Any:
    """A strategic merge: mappings by key, lists of mappings by their merge key, `$patch: delete` takes out."""
    if isinstance(base, dict) and isinstance(change, dict):
        merged = {**base, **{key: merge(base.get(key), value) for key, value in change.items()}}
        return {key: value for key, value in merged.items() if value != []}
    if isinstance(base, list) and isinstance(change, list) and all(isinstance(each, dict) for each in [*base, *change]):
        return _merge_lists(base, change)
    return copy.deepcopy(change)


def _merge_lists(base: list[Manifest], change: list[Manifest]) -> list[Manifest]:
    merged = list(base)
    for each in change:
        key = next(key for key in MERGE_KEYS if key in each)
        (old,) = [place for place, other in enumerate(merged) if other.get(key) == each[key]]
        if each.get("$patch") == "delete":
            del merged[old]
        else:
            merged[old] = merge(merged[old], each)
    return merged


def name_of(manifest: Manifest) -> str:
    return str(manifest["metadata"]["name"])


def of_kind(found: list[Manifest], kind: str, name: str | None = None) -> list[Manifest]:
    return [each for each in found if each["kind"] == kind and name in (None, name_of(each))]


def workloads(found: list[Manifest]) -> list[Manifest]:
    """What has a template of pods."""
    return [each for each in found if "template" in each.get("spec", {})]


def pod(workload: Manifest) -> Manifest:
    return dict(workload["spec"]["template"]["spec"])


def pod_labels(workload: Manifest) -> dict[str, str]:
    return dict(workload["spec"]["template"]["metadata"]["labels"])


def containers(workload: Manifest) -> Iterator[Manifest]:
    """Those of a workload, sidecars first; none of another object."""
    if "template" in workload.get("spec", {}):
        spec = workload["spec"]["template"]["spec"]
        yield from spec.get("initContainers", ())
        yield from spec["containers"]


def processor_of(workload: Manifest) -> Manifest | None:
    """The container that runs the processor; None in a workload that has none."""
    return next((each for each in containers(workload) if each["name"] == "span-processor"), None)


def processors(found: list[Manifest]) -> list[tuple[Manifest, Manifest]]:
    """Each workload with a processor, and that container."""
    return [(each, container) for each in workloads(found) if (container := processor_of(each))]


def environment(container: Manifest, found: list[Manifest]) -> dict[str, str]:
    """The container's variables, in a pod of the address 127.0.0.1."""
    values: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        (configuration,) = of_kind(found, "ConfigMap", source["configMapRef"]["name"])
        values.update(configuration["data"])
    for each in container.get("env", ()):
        if "valueFrom" in each:
            assert {"fieldRef": {"fieldPath": "status.podIP"}} == each["valueFrom"]
            values[each["name"]] = "127.0.0.1"
        else:
            values[each["name"]] = re.sub(r"\$\((\w+)\)", lambda match: values[match[1]], each["value"])
    return values


def mebibytes(quantity: str) -> int:
    """`256Mi`, `1Gi`."""
    match = re.fullmatch(r"(\d+)(Mi|Gi)B?", quantity)
    assert match is not None
    return int(match[1]) * (1024 if match[2] == "Gi" else 1)


def seconds(duration: str) -> int:
    """`25s`."""
    match = re.fullmatch(r"(\d+)s", duration)
    assert match is not None
    return int(match[1])
