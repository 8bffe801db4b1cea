"""A trace of the SDK for Java: its gRPC and HTTP exporters, both over OkHttp."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from groups import GROUPS


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_trace_arrives_named_and_else_as_it_was_sent(
    protocol: str, compression: str, passage: Callable[[str], Any]
) -> None:
    """S10, S11, R4, R5: user and session of the root reach every span, and nothing else changes."""
    way = passage(protocol)
    way.run_client(GROUPS["java"].client, compression)
    way.assert_arrived(4)
