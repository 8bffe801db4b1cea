"""An application with Logfire's SDK, told by `OTEL_…` alone where to send: logfire_settings.py REFERENCE"""

import sys

import logfire
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import BatchSpanProcessor

# Its scrubbing takes the word "session" in a key for a secret, unless it is told otherwise.
scrubbing = logfire.ScrubbingOptions(
    callback=lambda match: match.value if match.path == ("attributes", "session.id") else None
)
reference = BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{sys.argv[1]}/v1/traces"))
logfire.configure(
    send_to_logfire=False, console=False, inspect_arguments=False, scrubbing=scrubbing,
    additional_span_processors=[reference],
)  # fmt: skip
with logfire.span("answer", **{"user.id": "ann", "session.id": "s-1"}):
    with logfire.span("retrieve"), logfire.span("embed {model}", model="m"):
        logfire.force_flush()
    logfire.info("generate")
logfire.shutdown()
