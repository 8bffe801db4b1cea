"""An application with Logfire's real SDK, a real processor, and a backend: the labels on its spans, and ours."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from backends import Backend
from groups import GROUPS, HERE
from messages import call_grpc
from running import Processor, eventually
from sdk import SETTINGS, labels_of, reported, silenced

CONFIGURATION = HERE.parent / "labels" / "recorded" / "configuration.json"
VARIABLES = {"billing_config", "greeting", "support_agent_config"}


class Way:
    """A processor with the application's configuration, and the backend behind it."""

    def __init__(self, folder: Path) -> None:
        self.backend = Backend("grpc").start()
        settings = {name.upper(): text for name, text in SETTINGS.items()}
        settings |= {**self.backend.settings, "VARIABLES_FILE": str(CONFIGURATION)}
        self.processor = Processor(folder, **settings).start()

    def run_application(self, *arguments: str) -> None:
        """Run the application to its end; by gRPC, or with Logfire's own exporter, by HTTP."""
        endpoint = self.processor.http_endpoint if arguments else self.processor.grpc_endpoint
        command = [*GROUPS["python"].client, str(HERE / "python" / "variables.py"), endpoint, *arguments]
        subprocess.run(command, check=True, timeout=60)

    def spans(self) -> dict[bytes, Any]:
        """What reached the backend, as soon as all of it has; each span once."""

        def is_delivered() -> bool:
            accounting = self.processor.accounting()
            return bool(accounting["accepted"] == accounting["exported"] and not accounting["held"])

        eventually(is_delivered)
        spans = self.backend.spans()
        assert len({span.span_id for span in spans}) == len(spans) > 100
        return {span.span_id: span for span in spans}

    def stop(self) -> None:
        self.processor.kill()
        self.backend.stop()


@pytest.fixture
def ways(tmp_path: Path) -> Iterator[list[Way]]:
    """Two of them, independent of each other."""
    made = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        made.append(Way(tmp_path / name))
    for way in made:
        way.processor.wait_ready()
    yield made
    for way in made:
        way.stop()


@pytest.mark.parametrize("arguments", [(), ("--pending",)], ids=["opentelemetry", "logfire"])
def test_the_sdk_and_we_agree(arguments: tuple[str, ...], ways: list[Way]) -> None:
    """S19 to S23: every span keeps what the SDK said; where it said nothing, another processor finds the same; no drift."""
    first, second = ways
    first.run_application(*arguments)
    wanted: dict[bytes, Any] = {}
    for span_id, span in first.spans().items():
        found = labels_of(span)
        assert set(found) == VARIABLES
        wanted[span_id] = found
    assert {} == first.processor.status()["variables"]["drifted"]
    said = {}
    for received in first.backend.received:
        said |= reported(received.body)
        call_grpc(second.processor.grpc_port, silenced(received.body))
    assert said == wanted
    computed = {span_id: labels_of(span) for span_id, span in second.spans().items()}
    assert wanted == computed
