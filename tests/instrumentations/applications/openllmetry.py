# /// script
# dependencies = [
#     "openai==3.57.0",
#     "httpx==0.28.1",
#     "traceloop-sdk==0.62.4",
#     # Later ones cannot be installed beside the rest.
#     "opentelemetry-instrumentation-milvus==0.60.0",
#     "opentelemetry-instrumentation-pinecone==0.60.0",
#     "opentelemetry-sdk==1.45.1",
# ]
# ///
"""OpenLLMetry: association properties say whose a workflow is, after its first task; the model's account is another."""

import os

from openai import OpenAI
from opentelemetry import trace
from traceloop.sdk import Traceloop
from traceloop.sdk.decorators import task, workflow
from traceloop.sdk.instruments import Instruments

Traceloop.init(
    app_name="shop", api_endpoint=os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"], instruments={Instruments.OPENAI},
    disable_batch=False, telemetry_enabled=False,
)  # fmt: skip
plain = trace.get_tracer("shop")


@task(name="authenticate")
def authenticate() -> None:
    """Ends before it is known whose the workflow is."""


@task(name="generate")
def generate() -> None:
    """A call of the model."""
    OpenAI().chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}], user="account-7")


@workflow(name="answer")
def answer() -> None:
    """Two tasks, and a span of another library."""
    authenticate()
    Traceloop.set_association_properties({"user_id": "ann", "session_id": "s-1"})
    generate()
    with plain.start_as_current_span("SELECT orders", kind=trace.SpanKind.CLIENT):
        pass


with plain.start_as_current_span("POST /chat", kind=trace.SpanKind.SERVER):
    answer()
trace.get_tracer_provider().force_flush()
