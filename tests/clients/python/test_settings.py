"""SDKs that are pointed at the processor as their own documentation says, by environment variables alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from groups import GROUPS, HERE

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


def test_logfire(passage: Callable[[str], Any]) -> None:
    """S10, S11: `OTEL_EXPORTER_OTLP_ENDPOINT` and `send_to_logfire=False` are all that it takes."""
    way = passage("http/protobuf")
    application = str(HERE / "python" / "logfire_settings.py")
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": way.processor.http_endpoint}
    way.run(*GROUPS["python"].client, application, way.sent_to, **endpoint)
    way.assert_arrived(4)
