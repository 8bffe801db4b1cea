"""The demo's variables: what `run --demo` labels with where none are configured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import processor
from processor.cli import _for_demo
from processor.settings import Settings, SettingsError

Make = Callable[..., Any]

FILE = Path(processor.__file__).parent / "demo_variables.json"
USERS = ("ada", "grace", "edsger", "barbara", "alan")


def test_it_is_taken_where_none_is_configured(tmp_path: Path) -> None:
    """Without a file or a server the demo's file is in force, and its plan goes down; with either nothing changes."""
    found = _for_demo(Settings(baggage_keys=("tenant",)))
    assert (FILE, ("tenant", "plan")) == (found.variables_file, found.baggage_keys)
    assert FILE.is_file()
    for settings in (Settings(variables_file=tmp_path / "x.json"), Settings(variables_url="http://localhost")):
        assert settings is _for_demo(settings)


def test_it_needs_the_listener_that_it_sends_to() -> None:
    """The demo sends over gRPC."""
    with pytest.raises(SettingsError, match="RECEIVER_GRPC_ENDPOINT"):
        _for_demo(Settings(receiver_grpc_endpoint="off"))


def test_it_shows_rollout_and_override(product: Make) -> None:
    """S19: on the enterprise plan everybody has the premium label; elsewhere the rollout tells the users apart."""
    made = product()
    made.write(FILE.read_text(encoding="utf-8"))
    name = "support_agent_config"
    assert {"premium"} == {made.label({"user.id": user, "plan": "enterprise"}, name) for user in USERS}
    labels = {user: made.label({"user.id": user}, name) for user in USERS}
    assert {**dict.fromkeys(USERS, "standard"), "barbara": "premium"} == labels
