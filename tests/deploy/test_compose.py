"""The compose file: a demo, the processor, Jaeger; reachable from this machine alone."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from dockerfile import ROOT, healthcheck, read_dockerfile
from manifests import mebibytes, seconds

COMPOSE = ROOT / "deploy" / "compose.yaml"
DOCUMENT: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = DOCUMENT["services"]
PROCESSOR = SERVICES["processor"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
_, (_, IMAGE) = read_dockerfile()


def test_what_there_is() -> None:
    """An application and the processor, of one image, and a backend of a fixed version."""
    assert {"application", "processor", "jaeger"} == set(SERVICES)
    assert {"application", "processor"} == set(OURS)
    assert re.fullmatch(r"jaegertracing/jaeger:2\.\d+\.\d+", SERVICES["jaeger"]["image"])


@pytest.mark.parametrize("name", OURS)
def test_the_image_is_built_from_the_project(name: str) -> None:
    """Context and Dockerfile are where they are, as seen from the compose file."""
    build = OURS[name]["build"]
    context = (COMPOSE.parent / build["context"]).resolve()
    assert ROOT == context
    assert (context / build["dockerfile"]).is_file()


def test_ports_are_loopbacks() -> None:
    """Every published port is bound to 127.0.0.1; the processor's are those that its image exposes."""
    published = {name: [port.split(":") for port in service.get("ports", ())] for name, service in SERVICES.items()}
    assert {"127.0.0.1"} == {host for ports in published.values() for host, _, _ in ports}
    assert IMAGE.only("EXPOSE").text.split() == [port for _, _, port in published["processor"]]
    assert [["127.0.0.1", "16686", "16686"]] == published["jaeger"]


def test_the_services_know_each_other_by_name() -> None:
    """The demo sends to the processor, the processor to Jaeger, each by a service's name and port."""
    command = SERVICES["application"]["command"]
    assert "http://processor:4317" == command[command.index("--endpoint") + 1]
    assert "http://jaeger:4317" == PROCESSOR["environment"]["SPAN_PROCESSOR_EXPORTER_OTLP_ENDPOINT"]


def test_the_demo_waits_for_the_processor() -> None:
    """It starts when the processor is healthy, which the image's own check says."""
    assert {"processor": {"condition": "service_healthy"}} == SERVICES["application"]["depends_on"]
    assert ["jaeger"] == PROCESSOR["depends_on"]
    assert ["CMD", *healthcheck(IMAGE)] == PROCESSOR["healthcheck"]["test"]


def test_who_is_no_processor_is_not_asked_like_one() -> None:
    """The demo listens nowhere, so that the image's check would call it unhealthy."""
    assert {"disable": True} == SERVICES["application"]["healthcheck"]


def test_it_has_time_to_stop() -> None:
    """Docker's patience is longer than SHUTDOWN_TIMEOUT."""
    timeout = PROCESSOR["environment"]["SPAN_PROCESSOR_SHUTDOWN_TIMEOUT"]
    assert seconds(timeout) + 5 <= seconds(PROCESSOR["stop_grace_period"])


def test_the_journal_lies_in_a_volume() -> None:
    """A named volume at the folder that the image gives to its user, the journal in it; memory is bounded."""
    assert ["journal:/var/lib/span-processor"] == PROCESSOR["volumes"]
    assert {"journal": None} == DOCUMENT["volumes"]
    assert IMAGE.only("RUN").text.endswith(" /var/lib/span-processor")
    assert "/var/lib/span-processor/journal" == PROCESSOR["environment"]["SPAN_PROCESSOR_JOURNAL_DIRECTORY"]
    assert 256 == mebibytes(PROCESSOR["mem_limit"].replace("m", "Mi"))


@pytest.mark.parametrize("name", OURS)
def test_containers_may_do_no_more_than_they_need(name: str) -> None:
    """The root is read-only, capabilities are gone, and nothing gives more."""
    service = OURS[name]
    assert service["read_only"] is True
    assert ["ALL"] == service["cap_drop"]
    assert ["no-new-privileges:true"] == service["security_opt"]
    assert not {"privileged", "user", "network_mode"} & set(service)
