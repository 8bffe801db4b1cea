"""Starting, and not starting: one clear line that names the setting, and exit code 2."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from messages import call_grpc, make_request, make_span
from running import environment, eventually, free_ports

import processor as package

PREFIX = "SPAN_PROCESSOR_"
LISTENERS = ("RECEIVER_GRPC_ENDPOINT", "RECEIVER_HTTP_ENDPOINT", "ADMIN_ENDPOINT")


@pytest.fixture
def taken() -> Iterator[str]:
    """An address on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def command(cwd: Any, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the command line to its end."""
    return subprocess.run(
        [sys.executable, "-m", "processor", *arguments],
        cwd=cwd, env=environment(**settings), capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", LISTENERS)
def test_a_port_that_is_taken(name: str, taken: str, run: Callable[..., Any]) -> None:
    """A port in use is one line that names the setting and says what to do, and 2."""
    processor = run(is_awaited=False, **{"EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", name: taken})
    assert processor.wait() == 2
    (line,) = processor.err.splitlines()
    assert line.startswith(f"{PREFIX}{name}: cannot listen on {taken}: ")
    assert "choose a free port" in line
    assert "" == processor.out


def test_all_ports_that_are_taken(taken: str, run: Callable[..., Any]) -> None:
    """Both receivers' ports in use are two lines."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        second = f"127.0.0.1:{other.getsockname()[1]}"
        processor = run(is_awaited=False, RECEIVER_GRPC_ENDPOINT=taken, RECEIVER_HTTP_ENDPOINT=second)
        assert processor.wait() == 2
    assert [f"{PREFIX}{name}" for name in LISTENERS[:2]] == [
        line.partition(":")[0] for line in processor.err.splitlines()
    ]


@pytest.mark.parametrize("arguments", ["run", "check"])
@pytest.mark.parametrize(
    "endpoint",
    ["ftp://backend", "http://", "http://backend:4317:1", "http://127.0.0.1:{grpc}", "localhost:{http}", "[::1]:x"],
)
def test_a_downstream_that_cannot_be(arguments: str, endpoint: str, run: Callable[..., Any]) -> None:
    """S30: an endpoint that is none, or is one of its own listeners, is one line that names the setting, and 2."""
    grpc_port, http_port = free_ports(2)
    processor = run(
        arguments,
        is_awaited=False,
        RECEIVER_GRPC_ENDPOINT=f"0.0.0.0:{grpc_port}",
        RECEIVER_HTTP_ENDPOINT=f"127.0.0.1:{http_port}",
        EXPORTER_OTLP_INSECURE="true",
        EXPORTER_OTLP_ENDPOINT=endpoint.format(grpc=grpc_port, http=http_port),
    )
    assert processor.wait() == 2
    (line,) = processor.err.splitlines()
    assert line.startswith(f"{PREFIX}EXPORTER_OTLP_ENDPOINT: ")
    assert "" == processor.out


def test_version_of_the_real_command(tmp_path: Any) -> None:
    """`--version` says whether the hot path that this process would run is compiled."""
    done = command(tmp_path, "--version")
    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout in [f"span-processor {package.__version__} ({form})\n" for form in ("compiled", "interpreted")]


def test_the_log_says_where_it_listens_and_sends(run: Callable[..., Any]) -> None:
    """Once it is ready, one line says so: version, addresses, downstream."""
    processor = run(EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    (line,) = eventually(lambda: processor.log)
    assert ("info", "processor") == (line["level"], line["logger"])
    for part in (
        package.__version__,
        f"127.0.0.1:{processor.grpc_port}",
        f"127.0.0.1:{processor.http_port}",
        "127.0.0.1:9",
    ):
        assert part in line["message"]


def test_secrets_stay_secret(run: Callable[..., Any], backend: Callable[..., Any], tmp_path: Any) -> None:
    """A header's value goes to the downstream and nowhere else: no log at any level, no /status, no print-config."""
    secret = "Basic s3cret-value"
    is_refusing = [True]

    def refuse_once(context: Any) -> bool:
        if is_refusing.pop() if is_refusing else False:
            context.set_code(grpc.StatusCode.UNAUTHENTICATED)
            return True
        return False

    to = backend("grpc", answer=refuse_once).start()
    headers = {"EXPORTER_OTLP_HEADERS": "authorization=Basic%20s3cret-value"}
    processor = run(LOG_LEVEL="debug", **headers, **to.settings)
    call_grpc(processor.grpc_port, make_request(make_span(b"a" * 16, 1)))
    eventually(lambda: processor.accounting()["lost"])
    call_grpc(processor.grpc_port, make_request(make_span(b"b" * 16, 1)))
    to.collect(1)
    assert secret == to.received[-1].headers["authorization"]
    status = json.dumps(processor.status())
    assert processor.stop() == 0
    shown = [command(tmp_path, "print-config", "--format", form, **headers).stdout for form in ("table", "json", "env")]
    assert all("****" in text for text in shown)
    for text in (processor.err, processor.out, status, *shown):
        assert "s3cret" not in text
