"""SDKs that are pointed at the processor as their own documentation says, by environment variables alone."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from backends import Backend
from groups import GROUPS, HERE
from passage import Passage
from running import Processor

FORWARDED = ("authorization", "x-langfuse-")
KEYS = {"LANGFUSE_PUBLIC_KEY": "pk-lf-1", "LANGFUSE_SECRET_KEY": "sk-lf-1"}


@pytest.mark.parametrize("setting", ["LANGFUSE_BASE_URL", "LANGFUSE_HOST"])
def test_langfuse(setting: str, passage: Callable[[str], Any]) -> None:
    """S10, S11: steps before `propagate_attributes` get the user, too; nothing waits for a parent that is not sent."""
    way = passage("http/protobuf")
    application = str(HERE / "python" / "langfuse_settings.py")
    way.run(*GROUPS["python"].client, application, way.sent_to, **KEYS, **{setting: way.processor.http_endpoint})
    sent = way.assert_arrived(4)
    unnamed = {span.name for span in sent if all(each.key != "user.id" for each in span.attributes)}
    assert {"retrieve", "embed"} == unnamed


def test_langfuse_by_way_of_the_processor(tmp_path: Path) -> None:
    """S28: spans go on to Langfuse's own path with the headers of the project that they came from."""
    langfuse, reference = Backend("http/protobuf").start(), Backend("http/protobuf").start()
    endpoint = f"http://127.0.0.1:{langfuse.port}/api/public/otel"
    forward = {"EXPORTER_OTLP_PROTOCOL": "http/protobuf", "EXPORTER_FORWARD_HEADERS": "authorization,x-langfuse-*"}
    processor = Processor(tmp_path, EXPORTER_OTLP_ENDPOINT=endpoint, **forward).start()
    try:
        way = Passage(processor.wait_ready(), langfuse, reference)
        application = str(HERE / "python" / "langfuse_settings.py")
        url = {"LANGFUSE_BASE_URL": processor.http_endpoint}
        way.run(*GROUPS["python"].client, application, way.sent_to, **KEYS, **url)
        way.assert_arrived(4)
        assert 0 == processor.stop()
    finally:
        processor.kill()
        langfuse.stop()
        reference.stop()
    for received in langfuse.received:
        assert "/api/public/otel/v1/traces" == received.name
        told = {name: text for name, text in received.headers.items() if name.startswith(FORWARDED)}
        assert told == {
            name: text for name, text in reference.received[0].headers.items() if name.startswith(FORWARDED)
        }
        assert "Basic " + base64.b64encode(b"pk-lf-1:sk-lf-1").decode() == told["authorization"]


def test_logfire(passage: Callable[[str], Any]) -> None:
    """S10, S11: `OTEL_EXPORTER_OTLP_ENDPOINT` and `send_to_logfire=False` are all that it takes."""
    way = passage("http/protobuf")
    application = str(HERE / "python" / "logfire_settings.py")
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": way.processor.http_endpoint}
    way.run(*GROUPS["python"].client, application, way.sent_to, **endpoint)
    way.assert_arrived(4)
