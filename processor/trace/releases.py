"""The spans that leave: in order, by reason, each with what is to be written on it."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64, mypyc_attr

from processor.span import DECIDED, EMITTED, Context, Span
from processor.trace.settings import BY_DECISION, BY_MAX_WAIT
from processor.trace.trace import NO_GROUP, Trace


@mypyc_attr(acyclic=True)
class Released:
    """Spans that leave for one reason, in order, and what each is to be given."""

    __slots__ = ("contexts", "reason", "spans")

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.spans: list[Span] = []
        self.contexts: list[Context] = []


_NOTHING: Final = Released("")


class Releases:
    """Collects releases. `missing` counts spans that left without a value, by (key group, reason)."""

    __slots__ = ("_last", "batches", "missing")

    def __init__(self) -> None:
        self.batches: list[Released] = []
        self._last = _NOTHING
        self.missing: dict[tuple[str, str], int] = {}

    def add(self, trace: Trace, span: Span, context: Context, reason: str) -> None:
        """One more; `context` is what is to be written on it, labels of its trace's configuration to be added (S19)."""
        span.state |= EMITTED
        if context.lacks:
            self._count_missing(trace, span, context, reason)
        labeller = trace.labeller
        if labeller is not None:
            context = labeller.apply(trace.key[-16:], span, context)
        released = self._last
        if released.reason is not reason:
            released = Released(reason)
            self._last = released
            self.batches.append(released)
        released.spans.append(span)
        released.contexts.append(context)

    def take(self) -> list[Released]:
        """All of them; empty again."""
        batches = self.batches
        if batches:
            self.batches = []
            self._last = _NOTHING
        return batches

    def _count_missing(self, trace: Trace, span: Span, context: Context, reason: str) -> None:
        own = span.own
        if own is not None and own.pending_parent is not None:
            return  # its real span is counted (S5)
        self._count(context.lacks_user, "user_id", b"user.id", trace, span, reason)
        self._count(context.lacks_session, "session_id", b"session.id", trace, span, reason)

    def _count(self, lacks: i64, group: str, key: bytes, trace: Trace, span: Span, reason: str) -> None:
        if lacks:
            subject = (group, _why_missing(trace, span, key, reason))
            self.missing[subject] = self.missing.get(subject, 0) + 1


def _why_missing(trace: Trace, span: Span, key: bytes, reason: str) -> str:
    if reason == BY_DECISION:
        return "no_value"
    if trace.conflicts is not None and key in trace.conflicts:
        return "conflict"
    if reason != BY_MAX_WAIT:
        return "memory"
    return "max_wait" if span.state & DECIDED else "orphan"


def forget_bytes(spans: list[Span]) -> None:
    """Let go of what spans that have left no longer need; their ids and contexts stay in the tree."""
    for span in spans:
        span.raw = b""
        span.own = None
        span.group = NO_GROUP
