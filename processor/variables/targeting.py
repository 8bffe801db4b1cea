"""Which targeting key a variable is evaluated with (S20).

In order: the attribute that `TARGETING_KEYS` names for the variable, the one that `TARGETING_KEY` names, the trace id.
The SDK takes no key from an attribute by itself, so this is the sidecar's reading of one: only a text that is not
empty is a key. A number is none, because the SDK would seed 123 and "123" differently and nothing says which the
application has; what comes next in the order then applies.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from processor.variables.variables import Attributes

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True, slots=True)
class Targeting:
    """Where targeting keys come from. `by_variable`: attribute keys by variable name or alias."""

    default: str = "user.id"
    by_variable: Mapping[str, str] = field(default_factory=dict)
    falls_back_to_trace_id: bool = True

    def attributes(self) -> tuple[str, ...]:
        """Every attribute that may hold a targeting key, the default one first."""
        return (self.default, *sorted(set(self.by_variable.values()) - {self.default}))

    def key_of(self, names: Iterable[str], attributes: Attributes, trace_id_hex: str) -> str | None:
        """The targeting key of the variable that goes by `names`; None: it is not evaluated.

        `trace_id_hex`: 32 lower-case digits.
        """
        for key in [*(self.by_variable[name] for name in names if name in self.by_variable), self.default]:
            value = attributes.get(key)
            if isinstance(value, str) and value:
                return value
        return f"trace_id:{trace_id_hex}" if self.falls_back_to_trace_id else None


def parse_targeting_keys(items: Iterable[str]) -> dict[str, str]:
    """`billing_config:org.id` to {variable: attribute}. Raises `ValueError` that says what would be right."""
    keys: dict[str, str] = {}
    for item in items:
        name, colon, attribute = (part.strip() for part in item.partition(":"))
        if not colon or not _NAME.fullmatch(name) or not attribute:
            raise ValueError(f"must be variable:attribute pairs such as billing_config:org.id, not {item[:80]!r}")
        if keys.get(name, attribute) != attribute:
            raise ValueError(f"names {name} twice, with {keys[name]!r} and {attribute!r}; keep one of them")
        keys[name] = attribute
    return keys
