"""An application with Logfire's SDK: it resolves its variables itself, and sends its spans to the endpoint it is given.

    python variables.py http://127.0.0.1:4317              by OTLP/gRPC, with OpenTelemetry's exporter
    python variables.py http://127.0.0.1:4318 --pending    by Logfire's own exporter, which sends pending spans, too

What targets its variables and what their conditions see is on its spans as well: baggage that becomes attributes.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import logfire
from logfire.variables import targeting_context
from logfire.variables.config import VariablesConfig
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import BatchSpanProcessor

CONFIGURATION = Path(__file__).parent.parent.parent / "labels" / "recorded" / "configuration.json"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks. `is_beta` is told to the SDK by the call, and by a span attribute to everybody else."""

    user: str | None
    org: str | None = None
    plan: str | None = None
    is_beta: bool = False

    @property
    def baggage(self) -> dict[str, str]:
        said = {"user.id": self.user, "org.id": self.org, "plan": self.plan}
        return {key: value for key, value in said.items() if value is not None}


PLANS = ("free", "team", "enterprise", None)
ORGS = ("acme", "hooli", "initech", None)
VISITORS = (
    *(Visitor(f"user{number}", ORGS[number // 4 % 4], PLANS[number % 4]) for number in range(16)),
    Visitor("o'brien", "acme", "free"),
    Visitor("用户", None, "team"),
    Visitor("beta-1", "initech", "enterprise", is_beta=True),
    Visitor(None, None, "free"),
    Visitor(None, "acme"),
)


def answer(visitor: Visitor, variables: dict[str, logfire.Variable[str]]) -> None:
    """One request: resolve the variables one within the other, and work under them."""
    with ExitStack() as around:
        around.enter_context(logfire.set_baggage(**visitor.baggage))
        if visitor.user is not None:
            around.enter_context(targeting_context(visitor.user))
        if visitor.org is not None:
            around.enter_context(targeting_context(visitor.org, variables=[variables["billing_config"]]))
        told = {"beta": True} if visitor.is_beta else {}
        around.enter_context(logfire.span("POST /chat", **told))
        with logfire.span("before any variable"):
            pass
        logfire.force_flush()  # the spans that are open now are known from their pending twins only, if at all
        for variable in variables.values():
            around.enter_context(variable.get(attributes=told))
            with logfire.span("work"):
                logfire.info("a thing happened")


def main() -> None:
    """Configure the SDK, answer everybody, deliver."""
    parser = argparse.ArgumentParser()
    parser.add_argument("endpoint")
    parser.add_argument("--pending", action="store_true")
    parsed = parser.parse_args()
    config = VariablesConfig.model_validate_json(CONFIGURATION.read_text())
    options = {"send_to_logfire": False}
    if parsed.pending:
        advanced = logfire.AdvancedOptions(base_url=parsed.endpoint)
        options = {"send_to_logfire": True, "token": "any", "advanced": advanced}
    else:
        exporter = OTLPSpanExporter(endpoint=parsed.endpoint, insecure=True)
        options["additional_span_processors"] = [BatchSpanProcessor(exporter, max_export_batch_size=64)]
    logfire.configure(
        service_name="support", service_version="2.1.0", console=False, inspect_arguments=False,
        variables=logfire.LocalVariablesOptions(config=config), **options,
    )  # fmt: skip
    variables = {name: logfire.var(name=name, type=str, default="code") for name in config.variables}
    for visitor in VISITORS:
        answer(visitor, variables)
    logfire.force_flush()
    logfire.shutdown()


if __name__ == "__main__":
    main()
