"""The carried keys: which attribute keys mean what, from the settings (S1, S2, the words of the contract).

Each key of interest has a slot; a slot has one or more roles. Everything here is made once at the start.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from processor.span import LABEL_PREFIX
from processor.wire.interest import Interest, Interests

USER_ID: Final = b"user.id"
SESSION_ID: Final = b"session.id"
DERIVED_KEY: Final = b"span_processor.derived"
MARK_KEY: Final = b"span_processor.user_id_key"  # by which key user ids were replaced by pseudonyms

# Roles of a key.
USER: Final = 0
USER_FALLBACK: Final = 1
SESSION: Final = 2
SESSION_FALLBACK: Final = 3
BAGGAGE: Final = 4
BAGGAGE_HEADER: Final = 5
APP_ROOT: Final = 6
SPAN_TYPE: Final = 7
PENDING_PARENT: Final = 8
DERIVED: Final = 9
EVALUATION: Final = 10  # carried for conditions and targeting, not written
CONTEXT_ATTRIBUTE: Final = 11  # read by conditions on the span itself
LABEL: Final = 12
RESOLVE: Final = 13  # of a resolve span alone
RESOURCE_ONLY: Final = 14
MARK: Final = 15

# What the word `langfuse` in BAGGAGE_KEYS stands for (interface).
LANGFUSE_KEYS: Final = (
    "langfuse.trace.name", "langfuse.trace.tags", "langfuse.trace.metadata.*",
    "langfuse.version", "langfuse.environment",
)  # fmt: skip

_MARKERS: Final = {
    "http.request.header.baggage": BAGGAGE_HEADER,
    "langfuse.internal.is_app_root": APP_ROOT,
    "langfuse.internal.as_root": APP_ROOT,
    "logfire.span_type": SPAN_TYPE,
    "logfire.pending_parent_id": PENDING_PARENT,
    "span_processor.derived": DERIVED,
    "span_processor.user_id_key": MARK,
}
# What the SDK writes on a resolve span, whose scope is this.
RESOLVE_SCOPE: Final = b"logfire.variables"
RESOLVE_KEYS: Final = ("name", "label", "version", "reason", "targeting_key", "attributes")
LANGUAGE_KEY: Final = "telemetry.sdk.language"

# An invalid value under one of these is cut from the span; under any other alias another backend may need it (S7).
_CUT: Final = (USER_ID, SESSION_ID, b"langfuse.user.id", b"langfuse.session.id")


@dataclass(frozen=True, slots=True)
class KeySettings:
    """The key lists of the settings, as they are written there."""

    user: tuple[str, ...]
    user_fallback: tuple[str, ...]
    session: tuple[str, ...]
    session_fallback: tuple[str, ...]
    baggage: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelKeys:
    """What labels need read beside the carried keys (S19, S21).

    `needs`: attributes that conditions and targeting name; `context_attributes`: those of them that are read on the
    span itself; `variables`: the names of the variables that are labelled, aliases included, for an application reports
    under the name that its code has.
    """

    needs: tuple[str, ...]
    context_attributes: tuple[str, ...]
    variables: tuple[str, ...]


class Role:
    """One meaning of a key: `kind`, and its place in the ordered list of aliases."""

    __slots__ = ("kind", "rank")

    def __init__(self, kind: int, rank: int) -> None:
        self.kind = kind
        self.rank = rank


class CarriedKeys:
    """The keys of interest by slot.

    `required`: the keys that must all be known before a context is complete; empty when only a root can complete one (a
    `*` key is carried, S14). `cut`: keys under which an invalid value is cut (S7). `labels`: the keys of labels, which
    are carried, too. `interests`: what a scan looks for.
    """

    def __init__(self, settings: KeySettings, labels: LabelKeys | None = None) -> None:
        baggage = expand_baggage(settings.baggage)
        exact = [key for key in baggage if not key.endswith("*")]
        self.baggage: frozenset[bytes] = frozenset(key.encode() for key in exact)
        self.baggage_prefixes: tuple[bytes, ...] = tuple(key[:-1].encode() for key in baggage if key.endswith("*"))
        self.cut: frozenset[bytes] = self.baggage | frozenset(_CUT)
        self.required: frozenset[bytes] = self.baggage | {USER_ID, SESSION_ID}
        if self.baggage_prefixes:
            self.required = frozenset()
        self.labels: frozenset[bytes] = frozenset()
        self.roles: list[list[Role]] = []
        slots: dict[bytes, int] = {}
        for kind, names in (
            (USER, settings.user),
            (USER_FALLBACK, settings.user_fallback),
            (SESSION, settings.session),
            (SESSION_FALLBACK, settings.session_fallback),
            (BAGGAGE, exact),
        ):
            self._add(slots, kind, names)
        for name, kind in _MARKERS.items():
            self._add(slots, kind, [name])
        self._add_canonical(slots)
        prefixes = []
        for prefix in self.baggage_prefixes:
            self.roles.append([Role(BAGGAGE, 0)])
            prefixes.append((prefix, len(self.roles) - 1))
        if labels is not None:
            self._add_labels(slots, labels)
        self._add_prefixed(slots, prefixes)
        spans = Interest(slots, prefixes)
        self.interests = Interests(spans, spans, RESOLVE_SCOPE, spans)
        if labels is not None:
            resources = self._extended(slots, prefixes, RESOURCE_ONLY, [LANGUAGE_KEY])
            resolves = self._extended(slots, prefixes, RESOLVE, RESOLVE_KEYS)
            self.interests = Interests(spans, resources, RESOLVE_SCOPE, resolves)

    def is_baggage(self, key: bytes) -> bool:
        """Whether the key is on the allow-list, exactly or by prefix."""
        return key in self.baggage or any(
            key.startswith(prefix) and len(key) > len(prefix) for prefix in self.baggage_prefixes
        )

    def is_carried(self, key: bytes) -> bool:
        """Whether the key is handed down as a value of its own, validated; not for evaluation only."""
        return key in (USER_ID, SESSION_ID) or self.is_baggage(key)

    def _add_labels(self, slots: dict[bytes, int], labels: LabelKeys) -> None:
        """Reported labels are carried like the keys of the settings; what only evaluation needs is carried besides."""
        self._add(slots, EVALUATION, [key for key in labels.needs if not self.is_carried(key.encode())])
        self._add(slots, CONTEXT_ATTRIBUTE, labels.context_attributes)
        self.labels = frozenset([LABEL_PREFIX + name.encode() for name in labels.variables])
        for key in [part for label in sorted(self.labels) for part in (label, label + b".version")]:
            self._add(slots, LABEL, [key.decode()])
            # A label and its version are one value: what lists them as baggage, too, must not write them twice.
            slot = slots[key]
            self.roles[slot] = [role for role in self.roles[slot] if role.kind != BAGGAGE]
        if self.required:
            self.required |= self.labels

    def _add_prefixed(self, slots: dict[bytes, int], prefixes: list[tuple[bytes, int]]) -> None:
        """A key that is listed for something else has the roles of the prefixes it matches, too."""
        for key, slot in slots.items():
            for prefix, prefix_slot in prefixes:
                kind = self.roles[prefix_slot][0].kind
                known = [role.kind for role in self.roles[slot]]
                is_single = key in (USER_ID, SESSION_ID) or LABEL in known
                if key.startswith(prefix) and not is_single and kind not in known:
                    self.roles[slot].insert(0, Role(kind, 0))

    def _extended(
        self, slots: dict[bytes, int], prefixes: list[tuple[bytes, int]], kind: int, names: Iterable[str]
    ) -> Interest:
        """The same interest with further keys; their roles are added for all, for slots are shared."""
        more = dict(slots)
        for name in names:
            self.roles.append([*(self.roles[slots[name.encode()]] if name.encode() in slots else []), Role(kind, 0)])
            more[name.encode()] = len(self.roles) - 1
        return Interest(more, prefixes)

    def _add(self, slots: dict[bytes, int], kind: int, names: Iterable[str]) -> None:
        for rank, name in enumerate(names):
            key = name.encode()
            if key not in slots:
                self.roles.append([])
                slots[key] = len(self.roles) - 1
            roles = self.roles[slots[key]]
            if kind != BAGGAGE or key not in (USER_ID, SESSION_ID):
                roles.append(Role(kind, rank))

    def _add_canonical(self, slots: dict[bytes, int]) -> None:
        """The canonical keys are written, so they are read too, last in order, where the settings leave them out."""
        for key, kind in ((USER_ID, USER), (SESSION_ID, SESSION)):
            roles = self.roles[slots[key]] if key in slots else []
            if not any(role.kind == kind for role in roles):
                self._add(slots, kind, [key.decode()])
                self.roles[slots[key]][-1].rank = 1000


def expand_baggage(names: tuple[str, ...]) -> tuple[str, ...]:
    """The allow-list with the word `langfuse` replaced by the keys it stands for, each once."""
    expanded: list[str] = []
    for name in names:
        expanded += LANGFUSE_KEYS if name == "langfuse" else (name,)
    return tuple(dict.fromkeys(expanded))
