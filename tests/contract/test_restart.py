"""A process that goes on where another one ended: what was held then gets what it would have got (S14, S18, S25)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import craft
import pytest
from engine import STEP, Engine, Left, Setup, spans_of
from histories import History, histories
from hypothesis import HealthCheck, assume, given, settings
from oracle import Delivery

from processor.origin import NO_ORIGIN
from processor.pipeline import Pipeline

DETERMINISTIC = settings(
    max_examples=150, derandomize=True, deadline=None, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)  # fmt: skip


class Shelf:
    """Keeps what a pipeline's keeper tells, as a journal would, by place and by trace."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.rows: dict[int, tuple[bytes, set[int]]] = {}
        self.records: dict[bytes, list[bytes]] = {}
        self._pipeline = pipeline
        self._keeper = pipeline.follow()

    def take(self) -> None:
        """What changed since the last call."""
        for place in self._keeper.left:
            row, index = place >> 12, place & 0xFFF
            self.rows[row][1].remove(index)
        for key in self._keeper.closed:
            self.records.pop(key, None)
        self._keeper.left, self._keeper.closed = [], []
        for held in self._pipeline.take_held():
            row = len(self.rows) + 1
            self.rows[row] = (held.body, set(range(len(held.spans))))
            for index, span in enumerate(held.spans):
                self._keeper.places[span] = row << 12 | index
        for key, record in self._keeper.take_known():
            self.records.setdefault(key, []).append(record)

    @property
    def held(self) -> list[Left]:
        """The spans that are kept."""
        return [
            left for body, alive in self.rows.values() for index, left in enumerate(spans_of(body)) if index in alive
        ]

    def restore(self, pipeline: Pipeline, now_s: float = 0.0) -> None:
        """Have another pipeline go on from here, and follow that one."""
        self._pipeline, self._keeper = pipeline, pipeline.follow()
        for record in [record for records in self.records.values() for record in records]:
            pipeline.remember(record, now_s)
        for row, (body, alive) in self.rows.items():
            pipeline.restore(body, NO_ORIGIN, {index: row << 12 | index for index in alive}, False, now_s)


def outcome(left: Sequence[Left]) -> Counter[bytes]:
    """Everything that left, in whatever order, bytes and all."""
    return Counter(each.raw + each.resource + each.scope for each in left)


def run(setup: Setup, bodies: Sequence[bytes], restart_at: int | None) -> tuple[list[Left], set[str]]:
    """All that leaves a process from `restart_at` on, which is another one if it is given; names held at that time."""
    engine = Engine(setup)
    shelf = Shelf(engine.pipeline)
    left: list[Left] = []
    held: set[str] = set()
    for index, body in enumerate(bodies):
        left += engine.deliver(body)
        shelf.take()
        if index == restart_at:
            held_spans = shelf.held
            held = {each.span.name for each in held_spans}
            engine = Engine(setup)
            shelf.restore(engine.pipeline)
            assert engine.pipeline.held == engine.pipeline.recovered == len(held_spans)
    left += engine.release_all()
    shelf.take()
    assert not shelf.held
    assert not shelf.records
    return left, held


@DETERMINISTIC
@given(histories(most=10))
def test_what_is_held_over_a_restart_gets_the_same(history: History) -> None:
    """Held spans inherit from parents that come later or were already known, and agree with what their trace said."""
    bodies = [event.body for event in history.events if isinstance(event, Delivery)]
    assume(len(bodies) > 1 and not any(b"logfire.span_type" in body for body in bodies))
    straight, _ = run(history.setup, bodies, None)
    for restart_at in range(len(bodies) - 1):
        restarted, held = run(history.setup, bodies, restart_at)
        assert outcome(straight).total() == outcome(restarted).total()
        mine = [each for each in restarted if each.span.name in held]
        assert outcome([each for each in straight if each.span.name in held]) == outcome(mine)


@pytest.mark.parametrize("count", [1, STEP])
def test_known_parents_are_remembered(count: int) -> None:
    """C waits for B over a restart; B's parent A had left before: C inherits from A (S14)."""
    root = craft.span(1, 0, [("user.id", "u1"), ("plan", "pro")], name="root")
    waiting = [craft.span(10 + index, 2, [], name=f"c{index}") for index in range(count)]
    middle = craft.span(2, 1, [], name="b")
    bodies = [craft.request(root), craft.request(*waiting), craft.request(middle)]
    left, held = run(Setup(baggage=("plan",)), bodies, 1)
    assert count == len(held)
    for each in left:
        assert each.attributes["user.id"] == "u1"
        assert each.attributes["plan"] == "pro"


def test_what_left_is_not_held_again() -> None:
    """Of a row only the spans that still wait come back, and each leaves once (S13)."""
    bodies = [
        craft.request(craft.span(3, 2, [], name="late"), craft.span(5, 4, [], name="early")),
        craft.request(craft.span(4, 0, [("user.id", "u4")], name="its parent")),
        craft.request(craft.span(2, 0, [("user.id", "u2")], name="the other parent")),
    ]
    left, held = run(Setup(), bodies, 1)
    assert {"late"} == held
    assert sorted(["late", "early", "its parent", "the other parent"]) == sorted(each.span.name for each in left)
