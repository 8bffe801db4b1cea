# /// script
# dependencies = [
#     "langchain-core==1.8.3",
#     "openinference-instrumentation-langchain==0.1.80",
#     "opentelemetry-exporter-otlp-proto-http==1.45.2",
#     "opentelemetry-sdk==1.45.2",
# ]
# ///
"""OpenInference's instrumentation of LangChain: the session is the run's `thread_id`, the user is `using_user`'s."""

from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda
from openinference.instrumentation import using_user
from openinference.instrumentation.langchain import LangChainInstrumentor
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
LangChainInstrumentor().instrument()
plain = trace.get_tracer("shop")


def look_up(question: str) -> str:
    """A step with a span of another library in it."""
    with plain.start_as_current_span("SELECT orders", kind=trace.SpanKind.CLIENT):
        return question


chain = RunnableLambda(look_up) | FakeListChatModel(responses=["hello"])
with plain.start_as_current_span("POST /chat", kind=trace.SpanKind.SERVER), using_user("ann"):
    chain.invoke("hi", {"metadata": {"thread_id": "s-1"}, "run_name": "answer"})
provider.shutdown()
