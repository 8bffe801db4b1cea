"""Why spans are rejected, in one word: the closed list behind `span_processor.spans.malformed{reason}`.

The texts are what senders are told; they stand where they are found (`Malformed`, `Scan`). Must not know who counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# A whole request that cannot be read; its spans are not known, so it counts as one.
REQUEST: Final = "request"

WORDS: Final[Mapping[str, str]] = {
    REQUEST: REQUEST,
    "truncated": "truncated",
    "a length past its message": "truncated",
    "a varint of more than 10 bytes": "overlong",
    "a tag of more than 5 bytes": "overlong",
    "a length of more than 5 bytes": "overlong",
    "a field number out of range": "field",
    "a group or unknown wire type": "field",
    "a wrong wire type": "field",
    "a wrong wire type, a group, or field 0": "field",
    "nested too deep": "nesting",
    "a link whose id has a wrong length": "link_id",
    "a trace_id that is not 16 bytes, or all zero": "trace_id",
    "a span_id that is not 8 bytes, or all zero": "span_id",
    "a parent_span_id that is not 8 bytes": "parent_span_id",
}
