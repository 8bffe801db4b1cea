"""What a span is given: the values in force that it lacks, as a suffix to its bytes (S11, S22).

What it has is never overwritten, but for empty values and those that an earlier processor computed: these are cut
first.
"""

from __future__ import annotations

from mypy_extensions import i64

from processor.attributes.contexts import encode_derived
from processor.attributes.keys import DERIVED_KEY, SESSION_ID, USER_ID
from processor.span import LABEL_PREFIX, Context, Own, Span
from processor.wire.splice import cut_attributes


class Writer:
    """Writes contexts onto spans; counts what was written: `inherited` and `filled` by key group."""

    __slots__ = ("baggage", "filled", "sessions", "users")

    def __init__(self) -> None:
        self.users: i64 = 0
        self.sessions: i64 = 0
        self.baggage: i64 = 0
        self.filled: dict[str, int] = {}

    def suffix(self, span: Span, context: Context) -> bytes:
        """The encoded attributes to append to the span's bytes; cuts what they replace from `span.raw`."""
        own = span.own
        if own is None:
            if context.values:
                self._count_all(context)
            return context.suffix
        if context is own.context and own.is_full:
            return b""
        return self._missing(span, own, context)

    def _missing(self, span: Span, own: Own, context: Context) -> bytes:
        parts: list[bytes] = []
        written: set[bytes] = set()
        for key, value in context.values.items():
            if key in own.present:
                continue
            if not value.encoded:
                continue  # carried for evaluation only
            parts.append(value.encoded)
            written.add(key)
            if own.pending_parent is not None:
                continue  # its real span is counted (S5)
            if key in context.derived:
                self._count_filled(key)
            elif key not in own.context.values and not key.startswith(LABEL_PREFIX):
                self._count(key)
        derived = [key for key in context.derived if key in written]
        replaced = {key for key in own.derived if key in written}
        cut = {key for key in own.hollow if key in written or _label_of(key) in written}
        if own.derived and (derived or replaced):
            cut.add(DERIVED_KEY)
            derived += [key for key in own.derived if key not in written]
        if derived:
            parts.append(encode_derived(derived))
        if cut:
            span.raw, _ = cut_attributes(span.raw, cut)
        return b"".join(parts)

    def _count_all(self, context: Context) -> None:
        users: i64 = 1 - context.lacks_user
        sessions: i64 = 1 - context.lacks_session
        self.users += users
        self.sessions += sessions
        self.baggage += context.baggage
        for key in context.derived:
            if not key.startswith(LABEL_PREFIX):
                self._count_filled(key)
                self._uncount(key)

    def _count(self, key: bytes) -> None:
        if key == USER_ID:
            self.users += 1
        elif key == SESSION_ID:
            self.sessions += 1
        else:
            self.baggage += 1

    def _uncount(self, key: bytes) -> None:
        if key == USER_ID:
            self.users -= 1
        elif key == SESSION_ID:
            self.sessions -= 1
        else:
            self.baggage -= 1

    def _count_filled(self, key: bytes) -> None:
        if key.startswith(LABEL_PREFIX):
            return  # labels are counted where they are evaluated
        group = "user_id" if key == USER_ID else "session_id" if key == SESSION_ID else "baggage"
        self.filled[group] = self.filled.get(group, 0) + 1


def _label_of(key: bytes) -> bytes:
    """The key of the label whose version stands under `key`; `key` itself where it is none."""
    return key.removesuffix(b".version") if key.startswith(LABEL_PREFIX) else key
