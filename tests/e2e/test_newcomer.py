"""What a newcomer sees: one command, and trees in the terminal."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from messages import call_grpc, make_request, make_span
from running import eventually

HEADING = re.compile(r"^trace ([0-9a-f]{32}) ", re.MULTILINE)


def test_the_demo_prints_trees(run: Callable[..., Any]) -> None:
    """`run --demo` without any downstream prints the demo's traces as trees, whole, and plain where it is piped."""
    processor = run("run", "--demo", ROOTS="any")
    eventually(lambda: len(HEADING.findall(processor.out)) >= 4)
    assert 0 == processor.stop()
    assert 4 == len(set(HEADING.findall(processor.out)))
    assert "\x1b" not in processor.out
    assert 80 >= max(len(line) for line in processor.out.splitlines())
    assert re.search(r"^POST /chat .*\n│  user\.id=\w+ \(from langfuse\.user\.id\)", processor.out, re.MULTILINE)
    assert re.search(r"↳ user\.id=\w+ plan=enterprise \(from “POST /chat”\)", processor.out)
    assert "↳ label support_agent_config=premium (computed)" in processor.out
    assert processor.log[-1]["message"].endswith("lost 0")
    assert {"info", "warning"} >= {line["level"] for line in processor.log}


def test_a_trace_of_one_s_own(run: Callable[..., Any]) -> None:
    """With no setting at all what is sent is shown: what a span said itself, and what it inherited from whom."""
    processor = run()
    call_grpc(
        processor.grpc_port, make_request(make_span(b"t" * 16, 2, 1, "think"), make_span(b"t" * 16, 3, 9, "lost"))
    )
    call_grpc(processor.grpc_port, make_request(make_span(b"t" * 16, 1, name="answer", user__id="ann")))
    shown = eventually(lambda: "think" in processor.out and processor.out)
    assert f"trace {b't'.hex() * 16} " in shown
    assert re.search(r"^answer .*\n.*user\.id=ann", shown, re.MULTILINE)
    assert re.search(r"think .*\n.*user\.id=ann \(from “answer”\)", shown)
    assert 1 == processor.accounting()["held"]
    assert 0 == processor.stop()
    assert "lost" in processor.out  # what was held is shown at the end
