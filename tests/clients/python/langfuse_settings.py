"""An application with Langfuse's SDK, told by `LANGFUSE_…` alone where to send: langfuse_settings.py REFERENCE

It learns whose the request is after its first step, and runs below a web framework's span, which the SDK does not send.
"""

import os
import sys

from langfuse import get_client, propagate_attributes
from langfuse._client.span_processor import LangfuseSpanProcessor
from opentelemetry import trace

langfuse = get_client()
reference = LangfuseSpanProcessor(
    public_key=os.environ["LANGFUSE_PUBLIC_KEY"], secret_key=os.environ["LANGFUSE_SECRET_KEY"], base_url=sys.argv[1]
)
trace.get_tracer_provider().add_span_processor(reference)

with (
    trace.get_tracer("web.framework").start_as_current_span("POST /chat"),
    langfuse.start_as_current_observation(name="answer", as_type="agent"),
):
    with (
        langfuse.start_as_current_observation(name="retrieve", as_type="retriever"),
        langfuse.start_as_current_observation(name="embed", as_type="embedding"),
    ):
        pass
    langfuse.flush()
    with (
        propagate_attributes(user_id="ann", session_id="s-1"),
        langfuse.start_as_current_observation(name="generate", as_type="generation", model="m", input=["hi"]),
    ):
        pass
langfuse.shutdown()
