"""Traces as the instrumentations of language models write them, recorded from the real libraries.

`record.py` records the programs in `applications/`. In each a request is handled for the user `ann` in the session `s-1`,
which its library says in its own way, on some of the spans; a few spans are of another library, which knows neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from engine import Engine, Left, Setup, default, spans_of
from sdk import read_requests

HERE = Path(__file__).resolve().parent
OWNER = {"user.id": "ann", "session.id": "s-1"}
BOTH = frozenset(OWNER)
SESSION = frozenset({"session.id"})
# The AI SDK 7 leaves it to its user how the runtime context calls them.
RUNTIME_CONTEXT = Setup(
    user=(*default("user_id_keys"), "ai.settings.context.userId"),
    session=(*default("session_id_keys"), "ai.settings.context.sessionId"),
)


@dataclass(frozen=True)
class Recording:
    """A file, and what is expected of it.

    `said`: the keys under which the library says whose a span is; `setup`: settings that know these keys;
    `unreached`: what spans still lack then, by their names.
    """

    file: str
    said: frozenset[str]
    unreached: Mapping[str, frozenset[str]] = field(default_factory=lambda: {"POST /chat": BOTH})
    setup: Setup = field(default_factory=Setup)

    @property
    def aliases(self) -> set[str]:
        """All keys that are looked at."""
        setup = self.setup
        return {*setup.user, *setup.user_fallback, *setup.session, *setup.session_fallback}

    @property
    def everywhere(self) -> Setup:
        """What also reaches spans above the one that says it, and takes a conversation for the trace's session."""
        return replace(self.setup, fill="trace", session=(*self.setup.session, "gen_ai.conversation.id"))


RECORDINGS = (
    Recording("openinference_openai", frozenset({"user.id", "session.id"})),
    # LangChain's callbacks do not make their spans current: other libraries' spans stand beside them.
    Recording(
        "openinference_langchain", frozenset({"user.id", "session.id"}), {"POST /chat": BOTH, "SELECT orders": BOTH}
    ),
    Recording(
        "openllmetry",
        frozenset(
            {"traceloop.association.properties.user_id", "traceloop.association.properties.session_id", "gen_ai.user"}
        ),
    ),
    Recording("vercel_ai_6", frozenset({"ai.telemetry.metadata.userId", "ai.telemetry.metadata.sessionId"})),
    Recording(
        "vercel_ai_7",
        frozenset({"ai.settings.context.userId", "ai.settings.context.sessionId"}),
        setup=RUNTIME_CONTEXT,
    ),
    Recording("langsmith_otel", frozenset({"langsmith.metadata.user_id", "langsmith.metadata.session_id"})),
    Recording(
        "pydantic_ai_logfire",
        frozenset({"user.id", "gen_ai.conversation.id"}),
        {"POST /chat": BOTH, "answer": SESSION},
    ),
    Recording("genai_conventions", frozenset({"enduser.id", "gen_ai.conversation.id"}), {"POST /chat": SESSION}),
)


def replay(requests: list[bytes], setup: Setup) -> list[Left]:
    """Send the requests, and wait until the trace is quiet."""
    engine = Engine(setup)
    return [left for body in requests for left in engine.deliver(body)] + engine.advance(setup.trace_quiet_s + 1)


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.file)
def test_user_and_session_reach_every_span(recording: Recording) -> None:
    """S1, S10, S12: from the library's own key to all that is below it; with `FILL=trace` to all; the rest is as it was."""
    requests = read_requests(HERE / "recorded" / f"{recording.file}.bin")
    sent = {each.span.span_id: each for body in requests for each in spans_of(body)}
    assert recording.said == recording.aliases & {key for each in sent.values() for key in each.attributes}
    assert any(not recording.said & each.attributes.keys() for each in sent.values())
    for setup, unreached in ((recording.setup, recording.unreached), (recording.everywhere, {})):
        left = replay(requests, setup)
        assert sorted(sent) == sorted(each.span.span_id for each in left)
        lacking = {}
        for each in left:
            found = {key: each.attributes[key] for key in OWNER if key in each.attributes}
            assert found.items() <= OWNER.items()
            if missing := BOTH - found.keys():
                lacking[each.span.name] = missing
            assert each.raw.startswith(sent[each.span.span_id].raw)
        assert unreached == lacking
