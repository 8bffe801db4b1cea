# /// script
# dependencies = ["langsmith[otel]==0.14.17", "openai==3.57.0"]
# ///
"""LangSmith's SDK with its OTel export: a run's metadata says whose it is, after its first step."""

import os

os.environ |= {"LANGSMITH_TRACING": "true", "LANGSMITH_OTEL_ENABLED": "true", "LANGSMITH_OTEL_ONLY": "true"}

from langsmith import Client, get_current_run_tree, traceable  # they read the environment
from langsmith.wrappers import wrap_openai
from openai import OpenAI

client = Client()
model = wrap_openai(OpenAI())


@traceable(run_type="tool", name="look up", client=client)
def look_up(question: str) -> str:
    """A step."""
    return question


@traceable(name="answer", client=client)
def answer(question: str) -> str:
    """A step and a call of the model."""
    look_up(question)
    get_current_run_tree().add_metadata({"user_id": "ann", "session_id": "s-1"})
    chat = model.chat.completions.create(model="m", messages=[{"role": "user", "content": question}])
    return str(chat.choices[0].message.content)


@traceable(name="POST /chat", client=client)
def handle(question: str) -> str:
    """A request, before it is known whose it is."""
    return answer(question)


handle("hi")
client.flush()
