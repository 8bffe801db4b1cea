"""What happens in the demo's application: traces as plain data, by kind.

    question    the user's id and plan on the root only (`langfuse.user.id`, `plan`)
    agent       user and session id on a span in the middle only (`enduser.id`, `session.id`)
    invalid     a user id of 201 characters, which is none (S6)
    anonymous   no user at all

Attributes are those of OpenTelemetry's semantic conventions. Everything follows from the random numbers; knows no SDK.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from opentelemetry.trace import SpanKind

CHAT_API: Final = "chat-api"
GATEWAY: Final = "llm-gateway"

_USERS: Final = ("ada", "grace", "edsger", "barbara", "alan")
# What `demo_variables.json` asks for: on this plan its variable has one label, elsewhere the user's id decides.
_PLAN: Final = "enterprise"

Attributes = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Step:
    """A span to be made: `own_ms` is the time that it takes beside its `steps`, which follow one another."""

    name: str
    own_ms: int
    attributes: Attributes = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    kind: SpanKind = SpanKind.INTERNAL
    service: str = CHAT_API

    @property
    def duration_ms(self) -> int:
        """From start to end."""
        return self.own_ms + sum(step.duration_ms for step in self.steps)


def _question(rng: random.Random) -> Step:
    return _chat(rng, {"langfuse.user.id": rng.choice(_USERS), "plan": _PLAN})


def _invalid(rng: random.Random) -> Step:
    return _chat(rng, {"langfuse.user.id": rng.choice("abc") * 201})


def _chat(rng: random.Random, user: Attributes) -> Step:
    steps = (
        _retrieval(rng),
        _generation(rng, "gpt-4o-mini"),
        _tool(rng, "search_orders"),
        _generation(rng, "gpt-4o"),
    )
    return _request("/chat", steps, user)


def _agent(rng: random.Random) -> Step:
    said = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "support",
        "enduser.id": rng.choice(_USERS),
        "session.id": f"s-{rng.randrange(1000, 10000)}",
    }
    steps = (
        _generation(rng, "gpt-4o-mini"),
        _tool(rng, "get_order"),
        _retrieval(rng),
        _generation(rng, "gpt-4o-mini"),
    )
    agent = Step("invoke_agent support", rng.randint(5, 30), said, steps)
    return _request("/agent", (Step("authenticate", rng.randint(2, 9)), agent), {})


def _anonymous(rng: random.Random) -> Step:
    return _request("/suggestions", (_retrieval(rng), _generation(rng, "gpt-4o-mini")), {})


SHAPES: Final[tuple[Callable[[random.Random], Step], ...]] = (_question, _agent, _invalid, _anonymous)


def _request(route: str, steps: tuple[Step, ...], user: Attributes) -> Step:
    attributes: Attributes = {
        "http.request.method": "POST",
        "http.route": route,
        "http.response.status_code": 200,
        **user,
    }
    return Step(f"POST {route}", 7, attributes, steps, SpanKind.SERVER)


def _retrieval(rng: random.Random) -> Step:
    model = "text-embedding-3-small"
    embedding: Attributes = {**_model("embeddings", model), "gen_ai.usage.input_tokens": rng.randint(8, 60)}
    query = {"db.system.name": "postgresql", "db.operation.name": "SELECT", "db.collection.name": "documents"}
    steps = (
        Step(f"embeddings {model}", rng.randint(40, 120), embedding, kind=SpanKind.CLIENT),
        Step("SELECT documents", rng.randint(3, 25), query, kind=SpanKind.CLIENT),
    )
    return Step("retrieve documents", rng.randint(1, 6), {"gen_ai.operation.name": "retrieval"}, steps)


def _tool(rng: random.Random, name: str) -> Step:
    said = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name, "gen_ai.tool.type": "function"}
    return Step(f"execute_tool {name}", rng.randint(15, 240), said)


def _generation(rng: random.Random, model: str) -> Step:
    """A call of the model, by way of the gateway: the parent of its server span is in another process."""
    into, out = rng.randint(300, 2400), rng.randint(20, 400)
    usage = {"gen_ai.usage.input_tokens": into, "gen_ai.usage.output_tokens": out}
    said: Attributes = {**_model("chat", model), "gen_ai.response.model": model, **usage}
    chat = Step(f"chat {model}", 180 + 9 * out, said, kind=SpanKind.CLIENT, service=GATEWAY)
    path = "/v1/chat/completions"
    post: Attributes = {"http.request.method": "POST", "http.response.status_code": 200}
    server = Step(f"POST {path}", 4, {**post, "http.route": path}, (chat,), SpanKind.SERVER, GATEWAY)
    return Step("POST", 3, {**post, "server.address": GATEWAY}, (server,), SpanKind.CLIENT)


def _model(operation: str, model: str) -> Attributes:
    return {"gen_ai.operation.name": operation, "gen_ai.provider.name": "openai", "gen_ai.request.model": model}
