# /// script
# dependencies = [
#     "openai==3.57.0",
#     "opentelemetry-exporter-otlp-proto-http==1.45.1",
#     "opentelemetry-instrumentation-genai-openai==1.3b0",
#     "opentelemetry-sdk==1.45.1",
#     "opentelemetry-util-genai==1.3b0",
# ]
# ///
"""OpenTelemetry's own GenAI instrumentation: the session is the agent's conversation, the user the server's end user."""

from openai import OpenAI
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.util.genai.handler import TelemetryHandler

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
OpenAIInstrumentor().instrument()
plain = trace.get_tracer("shop")

with (
    plain.start_as_current_span("POST /chat", kind=trace.SpanKind.SERVER, attributes={"enduser.id": "ann"}),
    TelemetryHandler().invoke_local_agent(agent_name="support", conversation_id="s-1"),
):
    OpenAI().chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}], user="account-7")
    with plain.start_as_current_span("SELECT orders", kind=trace.SpanKind.CLIENT):
        pass
provider.shutdown()
