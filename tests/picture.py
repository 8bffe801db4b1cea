"""The picture of the console view: a trace of the demo, as the terminal shows it, as SVG.

    make picture        writes docs/console.svg

Everything in it is fixed: ids, times, the demo's random numbers, the names within the SVG. So a test can draw it again
and compare. The picture loads nothing: its font is whatever the reader's machine has.
"""

from __future__ import annotations

import asyncio
import io
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

import processor
from processor.demo_steps import CHAT_API, GATEWAY, SHAPES, Step
from processor.export.console import ConsoleView
from processor.labelling import Labelling
from processor.pipeline_settings import build_pipeline, key_settings
from processor.settings import Settings

PICTURE: Final = Path(__file__).parents[1] / "docs" / "console.svg"
_WIDTH: Final = 80
_SEED: Final = 2  # its user is ada
_TRACE_ID: Final = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")
_MS: Final = 1_000_000
_REMOTE: Final = 0x300  # the parent is known to be in another process
# rich's own, without the font that it would load.
_FORMAT: Final = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace(
    "Fira Code", "ui-monospace"
)


class _Tracing:
    """Turns a step into requests, one for each service, as the demo's two processes send them."""

    def __init__(self) -> None:
        self._spans: dict[str, list[Span]] = {GATEWAY: [], CHAT_API: []}
        self._count = 0

    def make(self, step: Step, start_ns: int, parent: Span | None, service: str) -> int:
        """Make the spans of a step, children first; when it ended."""
        self._count += 1
        end_ns = start_ns + step.duration_ms * _MS
        span = Span(
            trace_id=_TRACE_ID,
            span_id=self._count.to_bytes(8, "big"),
            name=step.name,
            kind=Span.SpanKind.Name(step.kind.value + 1),
            start_time_unix_nano=start_ns,
            end_time_unix_nano=end_ns,
            attributes=[KeyValue(key=key, value=_value(value)) for key, value in step.attributes.items()],
        )
        if parent is not None:
            span.parent_span_id = parent.span_id
            span.flags = _REMOTE if step.service != service else _REMOTE & 0x100
        at_ns = start_ns + step.own_ms * _MS // 2
        for below in step.steps:
            at_ns = self.make(below, at_ns, span, step.service)
        self._spans[step.service].append(span)
        return end_ns

    def requests(self) -> Iterator[bytes]:
        """What each process sends."""
        for service, spans in self._spans.items():
            request = ExportTraceServiceRequest()
            resource_spans = request.resource_spans.add()
            resource_spans.resource.attributes.add(key="service.name", value=_value(service))
            resource_spans.scope_spans.add(spans=spans)
            if spans:
                yield request.SerializeToString()


def _value(value: str | int) -> AnyValue:
    return AnyValue(string_value=value) if isinstance(value, str) else AnyValue(int_value=value)


def draw() -> str:
    """The picture."""
    variables = Path(processor.__file__).with_name("demo_variables.json")
    settings = Settings(roots="any", variables_file=variables, baggage_keys=("plan",))
    console = Console(file=io.StringIO(), record=True, width=_WIDTH, force_terminal=True, color_system="truecolor")
    view = ConsoleView(console, key_settings(settings), roots_any=True)
    pipeline = build_pipeline(settings)
    pipeline.observer = view.observe
    asyncio.run(Labelling(settings, key_settings(settings), pipeline, time.monotonic).start())
    tracing = _Tracing()
    tracing.make(SHAPES[0](random.Random(_SEED)), _MS, None, CHAT_API)
    for request in tracing.requests():
        scan = pipeline.scan(request)
        assert not scan.step(100)
        assert len(scan.spans) == pipeline.ingest(scan, 0, False, 0.0)
    view.flush()
    view.footer({"accepted": pipeline.accepted, "exported": pipeline.accepted})
    svg = console.export_svg(title="span-processor run", code_format=_FORMAT, unique_id="console")
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
