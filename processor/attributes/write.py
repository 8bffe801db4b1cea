"""What a span is given: the values in force that it lacks, as a suffix to its bytes (S11, S22).

What it has is never overwritten, but for empty values and those that an earlier processor computed: these are cut
first.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from processor.attributes.contexts import encode_derived
from processor.attributes.keys import DERIVED_KEY, SESSION_ID, USER_ID
from processor.span import LABEL_PREFIX, Context, Gift, Own, Span
from processor.wire.splice import cut_attributes

# What a context of more estimated bytes comes to is not remembered.
_REMEMBERED_COST: Final = 8192


class Writer:
    """Writes contexts onto spans, and counts what was written.

    The spans of a tree get the same, one after the other, so those that say nothing themselves are counted together:
    when another context comes, or when somebody wants to know.
    """

    __slots__ = ("_baggage", "_filled", "_labels", "_last", "_sessions", "_times", "_users")

    def __init__(self, empty: Context) -> None:
        self._users: i64 = 0
        self._sessions: i64 = 0
        self._baggage: i64 = 0
        self._filled: dict[str, int] = {}
        self._labels: dict[str, int] = {}
        self._last = Gift(empty, b"")  # to spans that say nothing themselves
        self._times: i64 = 0  # how often it was given and not yet counted

    def inherited(self) -> dict[str, int]:
        """Values written on spans that did not have them, by key group."""
        self._settle()
        return {"user_id": self._users, "session_id": self._sessions, "baggage": self._baggage}

    def filled(self) -> dict[str, int]:
        """Values that were filled in (S12), by key group."""
        self._settle()
        return dict(self._filled)

    def labels(self) -> dict[str, int]:
        """Labels that were evaluated, by variable."""
        self._settle()
        return dict(self._labels)

    def suffixes(self, spans: list[Span], contexts: list[Context]) -> list[bytes]:
        """The encoded attributes to append to each span's bytes; cuts what they replace from `span.raw`."""
        suffixes: list[bytes] = []
        last = self._last.context
        times: i64 = 0
        for index, span in enumerate(spans):
            own = span.own
            context = contexts[index]
            if own is not None:
                suffixes.append(self._suffix(span, own, context))
                continue
            if context is not last:
                self._times += times
                self._settle()
                self._last = _everything(context)
                last = context
                times = 0
            times += 1
            suffixes.append(context.suffix)
        self._times += times
        return suffixes

    def _suffix(self, span: Span, own: Own, context: Context) -> bytes:
        """The same of a span that says something itself."""
        if context is own.context and own.is_full:
            return b""
        gift = own.gift
        if gift is None or gift.context is not context:
            gift = _missing(span, own, context)
        if own.pending_parent is None:  # its real span is counted (S5)
            self._count(gift, 1)
        return gift.suffix

    def _settle(self) -> None:
        if self._times:
            self._count(self._last, self._times)
            self._times = 0

    def _count(self, gift: Gift, times: i64) -> None:
        self._users += gift.users * times
        self._sessions += gift.sessions * times
        self._baggage += gift.baggage * times
        for group in gift.filled:
            self._filled[group] = self._filled.get(group, 0) + times
        for name in gift.context.labelled:
            self._labels[name] = self._labels.get(name, 0) + times


def _everything(context: Context) -> Gift:
    """What a span is given that says nothing itself."""
    gift = Gift(context, context.suffix)
    gift.users = 1 - context.lacks_user
    gift.sessions = 1 - context.lacks_session
    gift.baggage = context.baggage
    for key in context.derived:
        if not key.startswith(LABEL_PREFIX):
            gift.filled = [*gift.filled, _note(gift, key, -1)]
    return gift


def _missing(span: Span, own: Own, context: Context) -> Gift:
    """What a span is given that says something: what it lacks.

    Remembered for spans that say the same, but where something is cut from the span.
    """
    gift = Gift(context, b"")
    parts: list[bytes] = []
    written: set[bytes] = set()
    for key, value in context.values.items():
        if key in own.present:
            continue
        if not value.encoded:
            continue  # carried for evaluation only
        parts.append(value.encoded)
        written.add(key)
        if key.startswith(LABEL_PREFIX):
            continue
        if key in context.derived:
            gift.filled = [*gift.filled, _note(gift, key, 0)]
        elif key not in own.context.values:
            _note(gift, key, 1)
    derived = [key for key in context.derived if key in written]
    replaced = {key for key in own.derived if key in written}
    cut = {key for key in own.hollow if key in written or _label_of(key) in written}
    if own.derived and (derived or replaced):
        cut.add(DERIVED_KEY)
        derived += [key for key in own.derived if key not in written]
    if derived:
        parts.append(encode_derived(derived))
    gift.suffix = b"".join(parts)
    if cut:
        span.raw, _ = cut_attributes(span.raw, cut)
    elif context.cost <= _REMEMBERED_COST:
        own.gift = gift
    return gift


def _note(gift: Gift, key: bytes, number: i64) -> str:
    """Count a value of the gift as inherited; its key group."""
    if key == USER_ID:
        gift.users += number
        return "user_id"
    if key == SESSION_ID:
        gift.sessions += number
        return "session_id"
    gift.baggage += number
    return "baggage"


def _label_of(key: bytes) -> bytes:
    """The key of the label whose version stands under `key`; `key` itself where it is none."""
    return key.removesuffix(b".version") if key.startswith(LABEL_PREFIX) else key
