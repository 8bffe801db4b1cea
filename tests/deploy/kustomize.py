"""`make test-kustomize`: the real kustomize builds what the other tests judge. Needs Go."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
import yaml
from manifests import BUILDS, KUBERNETES, Manifest, build, name_of

KUSTOMIZE = "sigs.k8s.io/kustomize/kustomize/v5@v5.7.1"
HASH = re.compile(r"-[a-z0-9]{10}$")


@pytest.mark.parametrize("name", BUILDS)
def test_it_builds_the_same(name: str) -> None:
    """The same objects as `manifests.build`, but for the hash behind the names of ConfigMaps."""
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    assert go is not None, "install Go 1.24 or later"
    done = subprocess.run(
        [go, "run", KUSTOMIZE, "build", KUBERNETES / name], capture_output=True, text=True, check=True
    )
    found = [plain(each) for each in yaml.safe_load_all(done.stdout)]
    assert by_name(build(name)) == by_name(found)


def plain(value: object) -> object:
    """Without the hashes."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return HASH.sub("", value) if isinstance(value, str) else value


def by_name(found: list[Manifest]) -> dict[tuple[str, str], Manifest]:
    return {(each["kind"], name_of(each)): each for each in found}
