"""Which bucket of a rollout a targeting key falls into, bit-exactly as the SDKs have it.

Both SDKs turn (variable name, targeting key) into one number in [0, 1), the *draw*, and look it up among the
running sums of the weights. They differ in every detail, so the same key can get different labels from Python and
from JavaScript. Pure functions; must not know overrides or spans.

Where exactness ends: CPython 3.12 sums floats with compensation and 3.11 does not, so what is left for "no label"
can differ by 1e-16 between applications. Here it is the plain sum, on every Python. And `repr` escapes by the
Unicode tables of its Python, so a key with a code point that is newer than those may differ.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from processor.variables.variables import EvaluationError, Failure, Language

_MASK = 0xFFFF_FFFF_FFFF_FFFF
_C1 = 0x87C3_7B91_1142_53D5
_C2 = 0x4CF5_AD43_2745_937F


@dataclass(frozen=True, slots=True)
class Buckets:
    """The labels of a rollout (None: no label) and their running sums. Empty: nothing is drawn."""

    labels: tuple[str | None, ...]
    cumulative: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Rollout:
    """A rollout, laid out as each SDK does it."""

    python: Buckets
    nodejs: Buckets

    def buckets(self, language: Language) -> Buckets:
        """The layout of one SDK."""
        return self.nodejs if language == "nodejs" else self.python


def lay_out(weights: Mapping[str, float]) -> Rollout:
    """The buckets of a rollout; the order of `weights` counts."""
    return Rollout(_python_buckets(weights), _javascript_buckets(weights))


def draw(language: Language, name: str, targeting_key: str) -> float:
    """The number in [0, 1) that decides for this variable (its canonical name) and targeting key."""
    return _javascript_draw(name, targeting_key) if language == "nodejs" else _python_draw(name, targeting_key)


def pick(language: Language, buckets: Buckets, drawn: float) -> str | None:
    """The label of the bucket that `drawn` falls into. `buckets` has at least one."""
    cumulative = buckets.cumulative
    if not math.isfinite(cumulative[-1]):
        raise EvaluationError(Failure.BAD_WEIGHTS, "the weights of the rollout do not add up to a finite number")
    if language == "nodejs":
        index = bisect_right(cumulative, drawn)
        return buckets.labels[index] if index < len(cumulative) else None
    return buckets.labels[bisect_right(cumulative, drawn * cumulative[-1], 0, len(cumulative) - 1)]


def _python_buckets(weights: Mapping[str, float]) -> Buckets:
    """`random.choices` over the labels and, last, a bucket without a label for what they leave of 1."""
    labels: list[str | None] = list(weights)
    cumulative = list(accumulate(weights.values()))
    if labels and (rest := 1 - cumulative[-1]) > 0:
        labels.append(None)
        cumulative.append(cumulative[-1] + rest)
    return Buckets(tuple(labels), tuple(cumulative))


def _javascript_buckets(weights: Mapping[str, float]) -> Buckets:
    """Labels in the order of a JavaScript object: keys that are array indexes first, by number."""
    indexes = sorted((label for label in weights if _is_array_index(label)), key=int)
    labels = (*indexes, *(label for label in weights if not _is_array_index(label)))
    return Buckets(labels, tuple(accumulate(weights[label] for label in labels)))


def _is_array_index(key: str) -> bool:
    return key.isascii() and key.isdigit() and len(key) <= 10 and str(int(key)) == key and int(key) < 2**32 - 1


def _python_draw(name: str, targeting_key: str) -> float:
    """CPython's Mersenne Twister seeded with the `repr` of both. Measured: 5 µs."""
    return Random(f"{name!r}:{targeting_key!r}").random()  # noqa: S311 (the SDK's own generator, not a secret)


def _javascript_draw(name: str, targeting_key: str) -> float:
    """The first 13 hex digits of MurmurHash3 x64-128, over 2**52. Measured: 5 µs for 30 bytes."""
    return (_murmur3_x64_128_high(_utf8_of_utf16(f"{name}:{targeting_key}")) >> 12) / 2**52


def _utf8_of_utf16(text: str) -> bytes:
    """UTF-8 as JavaScript's `TextEncoder` writes it: a lone surrogate becomes U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def _murmur3_x64_128_high(data: bytes) -> int:
    """The upper 64 bits of MurmurHash3 x64-128 with seed 0 (public domain, Austin Appleby)."""
    h1 = h2 = 0
    whole = len(data) - len(data) % 16
    for at in range(0, whole, 16):
        h1 ^= _mix(int.from_bytes(data[at : at + 8], "little"), _C1, 31, _C2)
        h1 = ((_rotate(h1, 27) + h2) * 5 + 0x52DC_E729) & _MASK
        h2 ^= _mix(int.from_bytes(data[at + 8 : at + 16], "little"), _C2, 33, _C1)
        h2 = ((_rotate(h2, 31) + h1) * 5 + 0x3849_5AB5) & _MASK
    h2 ^= _mix(int.from_bytes(data[whole + 8 :], "little"), _C2, 33, _C1)
    h1 ^= _mix(int.from_bytes(data[whole : whole + 8], "little"), _C1, 31, _C2)
    h1 ^= len(data)
    h2 ^= len(data)
    h1 = (h1 + h2) & _MASK
    h2 = (h2 + h1) & _MASK
    return (_finish(h1) + _finish(h2)) & _MASK


def _mix(block: int, first: int, turns: int, second: int) -> int:
    return (_rotate((block * first) & _MASK, turns) * second) & _MASK


def _rotate(value: int, turns: int) -> int:
    return ((value << turns) | (value >> (64 - turns))) & _MASK


def _finish(value: int) -> int:
    value ^= value >> 33
    value = (value * 0xFF51_AFD7_ED55_8CCD) & _MASK
    value ^= value >> 33
    value = (value * 0xC4CE_B9FE_1A85_EC53) & _MASK
    return value ^ (value >> 33)
