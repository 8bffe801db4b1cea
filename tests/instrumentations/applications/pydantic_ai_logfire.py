# /// script
# dependencies = ["logfire==5.4.0", "pydantic-ai-slim==2.68.0"]
# ///
"""Pydantic AI under Logfire: a span of the application says whose the run is, the agent which conversation."""

import logfire
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel

logfire.configure(service_name="shop", send_to_logfire=False, console=False, inspect_arguments=False)
logfire.instrument_pydantic_ai()
agent = Agent(TestModel(), name="support")


@agent.tool_plain
def look_up(order: int) -> str:
    """Look an order up."""
    with logfire.span("SELECT orders"):
        return f"order {order}"


with logfire.span("POST /chat"), logfire.span("answer", **{"user.id": "ann"}):
    agent.run_sync("hi", conversation_id="s-1")
logfire.shutdown()
