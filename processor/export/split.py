"""Halving a request that a backend finds too large (S27). Rare, so it leaves the work to the protobuf runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from processor._pb.envelope_pb2 import Request


def split_request(body: bytes) -> tuple[bytes, bytes, int, int] | None:
    """Two requests with the first and the second half of the spans, and how many each has; None with fewer than two.

    `body` is an ExportTraceServiceRequest. Both halves keep resource, scope, schema URLs and unknown fields.
    """
    from processor._pb.envelope_pb2 import Request

    total = _keep(Request.FromString(body), 0, 1 << 62)
    if total < 2:
        return None
    half = total // 2
    first, second = Request.FromString(body), Request.FromString(body)
    _keep(first, 0, half)
    _keep(second, half, total)
    return first.SerializeToString(), second.SerializeToString(), half, total - half


def _keep(request: Request, start: int, end: int) -> int:
    """Keep the spans with index in [start, end), and nothing empty; how many spans there were."""
    index = 0
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            count = len(scope.spans)
            kept = scope.spans[max(start - index, 0) : max(end - index, 0)]
            del scope.spans[:]
            scope.spans.extend(kept)
            index += count
        full = [scope for scope in resource.scope_spans if scope.spans]
        del resource.scope_spans[:]
        resource.scope_spans.extend(full)
    kept_resources = [resource for resource in request.resource_spans if resource.scope_spans]
    del request.resource_spans[:]
    request.resource_spans.extend(kept_resources)
    return index
