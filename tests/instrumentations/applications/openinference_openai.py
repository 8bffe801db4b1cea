# /// script
# dependencies = [
#     "openai==3.57.0",
#     "openinference-instrumentation-openai==0.1.66",
#     "opentelemetry-exporter-otlp-proto-http==1.45.2",
#     "opentelemetry-sdk==1.45.2",
# ]
# ///
"""OpenInference's instrumentation of OpenAI's client: `using_attributes` says whose the calls are."""

from openai import OpenAI
from openinference.instrumentation import OITracer, TraceConfig, using_attributes
from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
OpenAIInstrumentor().instrument()
plain = trace.get_tracer("shop")
tracer = OITracer(plain, TraceConfig())

with (
    plain.start_as_current_span("POST /chat", kind=trace.SpanKind.SERVER),
    using_attributes(user_id="ann", session_id="s-1"),
    tracer.start_as_current_span("answer", openinference_span_kind="agent"),
):
    OpenAI().chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    with plain.start_as_current_span("SELECT orders", kind=trace.SpanKind.CLIENT):
        pass
provider.shutdown()
