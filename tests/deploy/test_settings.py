"""Every setting in a deploy file is one: the real `check` takes the environment that each of them makes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import manifests
import pytest
import running
import units
import yaml
from dockerfile import ROOT, read_dockerfile

PREFIX = "SPAN_PROCESSOR_"
# What each file would hold.
SECRETS = {
    "EXPORTER_OTLP_HEADERS_FILE": "authorization=Basic eDp5",
    "RECEIVER_BEARER_TOKENS_FILE": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
}
_, (_, IMAGE) = read_dockerfile()
COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))


def environments() -> dict[str, Mapping[str, str]]:
    """What the process sees in each: of the image, and on top of that what the file says."""
    found: dict[str, Mapping[str, str]] = {
        "image": IMAGE.environment,
        "compose": {**IMAGE.environment, **COMPOSE["services"]["processor"]["environment"]},
        "systemd": units.environment(),
    }
    for name in manifests.BUILDS:
        built = manifests.build(name)
        ((_, container),) = manifests.processors(built)
        found[name] = {**IMAGE.environment, **manifests.environment(container, built)}
    return found


ENVIRONMENTS = environments()


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_check_takes_it(name: str, tmp_path: Path) -> None:
    """With its paths in a folder of the test and its hosts on loopback, `span-processor check` finds nothing wrong."""
    settings = {key.removeprefix(PREFIX): value for key, value in ENVIRONMENTS[name].items() if key.startswith(PREFIX)}
    assert settings
    for key, value in settings.items():
        if value.startswith("/"):
            settings[key] = str(tmp_path) + value
            folder = (tmp_path / value[1:]).parent
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o777)  # as an emptyDir is
        if key.endswith("_FILE") and value:
            Path(settings[key]).write_text(SECRETS[key], encoding="utf-8")
        # A name that no test should have to look up, and a port that is not the processor's own.
        settings[key] = re.sub(r"^(https?)://[a-z.]+(?::\d+)?", r"\1://127.0.0.1:24317", settings[key])
    done = subprocess.run(
        [sys.executable, "-m", "processor", "check"],
        cwd=tmp_path, env=running.environment(**settings), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (0, "") == (done.returncode, done.stderr)
    assert "settings: good" in done.stdout
    assert ("EXPORTER_OTLP_ENDPOINT" in settings) == ("127.0.0.1:24317" in done.stdout)


def test_no_setting_stands_anywhere_else() -> None:
    """What looks like a setting in any deploy file is in one of the environments above, or a comment's example."""
    said = {name for environment in ENVIRONMENTS.values() for name in environment}
    files = [path for path in (ROOT / "deploy").rglob("*") if path.is_file() and path.suffix != ".py"]
    lines = [line for path in files if "__pycache__" not in path.parts for line in path.read_text("utf-8").splitlines()]
    named = {name for line in lines if not line.lstrip().startswith("#") for name in re.findall(rf"{PREFIX}\w+", line)}
    assert named
    assert set() == named - said
