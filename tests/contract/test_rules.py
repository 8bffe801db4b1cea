"""The contract's rules, one worked example each: what comes in, and what every span says when it has left.

Each example runs through the engine and through the oracle, so that the oracle is proved by hand where it matters.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from compare import replay
from craft import CONSUMER, LOCAL_PARENT, REMOTE_PARENT, SERVER, pending, request, span
from engine import Engine, Setup, by_name
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from oracle import Delivery

U, V, S = {"user.id": "u"}, {"user.id": "v"}, {"session.id": "s"}
WEAK = {"gen_ai.user.id": "w"}
FILLED = {"user.id": "u", "span_processor.derived": ["user.id"]}
BOTH_FILLED = U | S | {"span_processor.derived": ["session.id", "user.id"]}
AGENT = {"langfuse.internal.as_root": True}
HEADER = "http.request.header.baggage"
LISTED = Setup(baggage=("tenant", "langfuse"))
NO_FILL = Setup(fill="none")


@dataclass(frozen=True)
class Case:
    """`requests` come a second apart, then MAX_WAIT passes.

    `expected`: all attributes of the spans named `span-1-<number>`.
    """

    rule: str
    requests: list[list[Span]]
    expected: dict[int, dict[str, Any]]
    setup: Setup = field(default_factory=Setup)
    resource: dict[str, Any] = field(default_factory=dict)
    is_langfuse: bool = False


def zero_parent(root: Span) -> Span:
    """The root with a parent of eight zero bytes."""
    root.parent_span_id = bytes(8)
    return root


CASES = [
    Case("S10 a child inherits", [[span(1, 0, U), span(2, 1), span(3, 2)]], {1: U, 2: U, 3: U}),
    Case("S14 a child waits for its parents", [[span(3, 2)], [span(2, 1)], [span(1, 0, U)]], {1: U, 2: U, 3: U}),
    Case("S10 the nearest ancestor wins", [[span(1, 0, U), span(2, 1, V), span(3, 2)]], {1: U, 2: V, 3: V}),
    Case("S10 key by key", [[span(1, 0, U | S), span(2, 1, V), span(3, 2)]], {1: U | S, 2: V | S, 3: V | S}),
    Case("S11 own values stay", [[span(1, 0, U), span(2, 1, V | S)]], {2: V | S}),
    Case(
        "S1 the canonical key beside the alias",
        [[span(1, 0, {"enduser.id": "u"}), span(2, 1)]],
        {1: {"enduser.id": "u"} | U, 2: U},
    ),
    Case(
        "S1 the first valid alias counts",
        [[span(1, 0, {"enduser.id": "v", "langfuse.user.id": "u"}), span(2, 1)]],
        {2: U},
    ),
    Case(
        "S1 an invalid alias is passed over",
        [[span(1, 0, {"langfuse_user_id": 5, "enduser.id": "u"}), span(2, 1)]],
        {2: U},
    ),
    Case(
        "S1 S11 an alias before user.id descends and overwrites nothing",
        [[span(1, 0, {"langfuse.user.id": "v", "user.id": "u"}), span(2, 1)]],
        {1: {"langfuse.user.id": "v", "user.id": "u"}, 2: V},
    ),
    Case(
        "S1 a fallback value counts without a strong one",
        [[span(1, 0, WEAK), span(2, 1)]],
        {1: WEAK | {"user.id": "w"}, 2: {"user.id": "w"}},
    ),
    Case(
        "S1 a strong ancestor beats an own fallback value",
        [[span(1, 0, U), span(2, 1, WEAK), span(3, 2)]],
        {2: WEAK | U, 3: U},
    ),
    Case(
        "S14 a fallback value is decided only by a root", [[span(2, 1, WEAK | S)], [span(1, 0, U)]], {2: WEAK | S | U}
    ),
    Case(
        "S1 gen_ai.conversation.id is a fallback",
        [[span(1, 0, S), span(2, 1, {"gen_ai.conversation.id": "c"})]],
        {2: {"gen_ai.conversation.id": "c"} | S},
    ),
    Case("S4 of duplicates the last counts", [[span(1, 0, [("user.id", "v"), ("user.id", "u")]), span(2, 1)]], {2: U}),
    Case(
        "S2 S4 captured baggage beats a fallback value",
        [[span(1, 0, WEAK | {HEADER: "langfuse_user_id=u"}), span(2, 1)]],
        {1: WEAK | {HEADER: "langfuse_user_id=u"} | U, 2: U},
    ),
    Case(
        "S2 S4 a strong value beats captured baggage",
        [[span(1, 0, U | {HEADER: "langfuse_user_id=v"}), span(2, 1)]],
        {2: U},
    ),
    Case(
        "S2 other members count only if listed",
        [[span(1, 0, {HEADER: ["tenant=a%20b;p=1,plan=x", "langfuse_tags=t%2Cu"]}), span(2, 1)]],
        {2: {"tenant": "a b", "langfuse.trace.tags": ["t", "u"]}},
        LISTED,
    ),
    Case(
        "S2 langfuse members need their target listed",
        [[span(1, 0, {HEADER: "langfuse_version=1,langfuse_session_id=a+b"}), span(2, 1)]],
        {2: {"session.id": "a b"}},
    ),
    Case(
        "S3 a resource's user is written, where nothing else is",
        [[span(1), span(2, 1, V), span(3, 2)]],
        {1: U, 2: V, 3: V},
        resource=U,
    ),
    Case("S3 S12 a resource's user is before the trace's", [[span(2, 1)], [span(3, 0, V)]], {2: U}, resource=U),
    Case("S3 an alias on a resource", [[span(1)]], {1: U}, resource={"enduser.id": "u"}),
    Case("S3 an invalid value on a resource is ignored", [[span(1)]], {1: {}}, resource={"user.id": 7}),
    Case(
        "S6 S7 an invalid canonical value is cut",
        [[span(1, 0, U), span(2, 1, {"user.id": 5, "a": 1}), span(3, 2)]],
        {2: {"a": 1} | U, 3: U},
    ),
    Case(
        "S6 a length of 200 characters passes",
        [[span(1, 0, {"user.id": "ü" * 200}), span(2, 1)]],
        {2: {"user.id": "ü" * 200}},
    ),
    Case("S6 one of 201 does not", [[span(1, 0, {"user.id": "u" * 201}), span(2, 1)]], {1: {}, 2: {}}),
    Case("S7 an invalid alias stays", [[span(1, 0, {"enduser.id": 5})]], {1: {"enduser.id": 5}}),
    Case(
        "S6 an empty value is absent",
        [[span(1, 0, U), span(2, 1, {"user.id": ""}), span(3, 1, {"user.id": None})]],
        {2: U, 3: U},
    ),
    Case("S6 and stays where nothing is known", [[span(1, 0, {"user.id": ""})]], {1: {"user.id": ""}}),
    Case(
        "S6 tags item by item",
        [[span(1, 0, {"langfuse.trace.tags": ["a", 5, "b" * 201]}), span(2, 1)]],
        {1: {"langfuse.trace.tags": ["a"]}, 2: {"langfuse.trace.tags": ["a"]}},
        LISTED,
    ),
    Case(
        "S6 tags without a good item go",
        [[span(1, 0, {"langfuse.trace.tags": [5]}), span(2, 1)]],
        {1: {}, 2: {}},
        LISTED,
    ),
    Case(
        "S6 the environment's rule",
        [[span(1, 0, {"langfuse.environment": "Prod"}), span(2, 0, {"langfuse.environment": "prod"}), span(3, 2)]],
        {1: {}, 3: {"langfuse.environment": "prod"}},
        LISTED,
    ),
    Case("an unlisted key is not carried", [[span(1, 0, {"tenant": "a"}), span(2, 1)]], {2: {}}),
    Case(
        "a * key is carried",
        [[span(1, 0, {"langfuse.trace.metadata.x": "m"}), span(2, 1)]],
        {2: {"langfuse.trace.metadata.x": "m"}},
        LISTED,
    ),
    Case("S12 an orphan takes what the trace agrees on", [[span(2, 1)], [span(3, 0, U)]], {2: FILLED}),
    Case("S12 two values leave it blank", [[span(2, 1)], [span(3, 0, U), span(4, 0, V)]], {2: {}}),
    Case("S12 one value said twice is one", [[span(2, 1)], [span(3, 0, U), span(4, 0, U)]], {2: FILLED}),
    Case(
        "S12 the known chain comes first",
        [[span(2, 1, V), span(3, 2)], [span(4, 0, V | S)]],
        {3: V | S | {"span_processor.derived": ["session.id"]}},
    ),
    Case(
        "S12 the trace's value comes before a known fallback",
        [[span(2, 1, WEAK), span(3, 2)], [span(4, 0, U)]],
        {3: FILLED},
    ),
    Case(
        "S12 a conflict leaves a known fallback blank", [[span(2, 1, WEAK)], [span(4, 0, U), span(5, 0, V)]], {2: WEAK}
    ),
    Case("S12 a fallback value fills nobody", [[span(2, 1)], [span(4, 0, WEAK)]], {2: {}}),
    Case("S12 FILL=none", [[span(2, 1)], [span(3, 0, U)]], {2: {}}, NO_FILL),
    Case("S12 a decided span takes nothing of the trace", [[span(1), span(2, 1)], [span(3, 0, U)]], {1: {}, 2: {}}),
    Case(
        "S12 FILL=trace: ancestors and siblings too",
        [[span(1), span(2, 1, U | S), span(3, 1)]],
        {1: BOTH_FILLED, 3: BOTH_FILLED},
        Setup(fill="trace"),
    ),
    Case("a remote parent is a root's", [[span(1, 0, U), span(2, 1, flags=REMOTE_PARENT), span(3, 2)]], {2: {}, 3: {}}),
    Case("a local parent is not", [[span(1, 0, U), span(2, 1, flags=LOCAL_PARENT, kind=SERVER)]], {2: U}),
    Case(
        "a server of an older SDK is a root",
        [[span(1, 0, U), span(2, 1, kind=SERVER), span(3, 1, kind=CONSUMER)]],
        {2: {}, 3: {}},
    ),
    Case(
        "ROOTS=any looks at parents alone",
        [[span(1, 0, U), span(2, 1, flags=REMOTE_PARENT), span(3, 1, kind=SERVER)]],
        {2: U, 3: U},
        Setup(roots_any=True),
    ),
    Case("eight zero bytes are no parent", [[span(1, 0, S), zero_parent(span(2, 0, U)), span(3, 2)]], {2: U, 3: U}),
    Case(
        "an app root of Langfuse's exporter is a root",
        [[span(2, 1, U | AGENT), span(3, 2)]],
        {2: U | AGENT, 3: U},
        is_langfuse=True,
    ),
    Case("and no root of any other", [[span(2, 1, AGENT), span(3, 2)], [span(1, 0, U)]], {2: U | AGENT, 3: U}),
    Case("S5 a pending span's values serve the given-up", [[pending(10, 2, 0, U), span(3, 2)]], {3: U}, NO_FILL),
    Case("S5 also when it came long before", [[pending(10, 2, 0, U)], [span(3, 2)]], {3: U}, NO_FILL),
    Case("S5 it gives the place in the tree", [[span(1, 9, U)], [pending(10, 2, 1)], [span(3, 2)]], {3: U}, NO_FILL),
    Case("S5 before the trace's value", [[pending(10, 2, 0, U)], [span(3, 2), span(4, 0, V)]], {3: U}),
    Case(
        "S5 the real span counts where it comes", [[pending(10, 2, 0, U)], [span(3, 2)], [span(2, 0, V)]], {2: V, 3: V}
    ),
    Case("S5 its values are no agreement", [[pending(10, 2, 0, U)], [span(4, 9)]], {4: {}}),
    Case(
        "S5 a pending span inherits at its real span's place",
        [[span(1, 0, U)], [pending(10, 2, 1)]],
        {10: {"logfire.span_type": "pending_span", "logfire.pending_parent_id": "0000000000000001"} | U},
    ),
    Case("S13 a span that is its own parent", [[span(2, 2, U), span(3, 2)]], {2: U, 3: U}),
    Case("S13 a circle", [[span(2, 3, U), span(3, 4), span(4, 2, V)]], {2: U, 3: V, 4: V}),
    Case(
        "S22 what a processor computed is not own, and may be replaced",
        [[span(1, 0, U), span(2, 1, {"user.id": "old", "span_processor.derived": ["user.id"]}), span(3, 2)]],
        {2: U, 3: U},
    ),
    Case(
        "S22 it stays where nothing replaces it",
        [[span(2, 0, {"user.id": "old", "span_processor.derived": ["user.id"]}), span(3, 2)]],
        {2: {"user.id": "old", "span_processor.derived": ["user.id"]}, 3: {}},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_worked_example(case: Case) -> None:
    """Each rule's example comes out as worked by hand."""
    engine = Engine(case.setup)
    left = []
    for index, spans in enumerate(case.requests):
        left += engine.deliver(request(*spans, resource=case.resource), float(index), is_langfuse=case.is_langfuse)
    left += engine.advance(1000.0)
    said = by_name(left)
    assert sum(map(len, case.requests)) == len(left)
    assert case.expected == {number: said[f"span-1-{number}"] for number in case.expected}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_the_oracle_agrees(case: Case) -> None:
    """The oracle says the same of each example, moments of release included."""
    requests = enumerate(case.requests)
    deliveries = [
        Delivery(float(at_s), request(*spans, resource=case.resource), case.is_langfuse) for at_s, spans in requests
    ]
    replay(case.setup, [*deliveries, 1000.0])
