"""The command line: which command, its exit code (0 fine, 1 failed while running, 2 bad configuration).

Must not know anything below `service.py`; commands import what they need when they run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from processor import __version__
from processor.logs import printable
from processor.settings import Settings, SettingsError, load, origin, secret_texts, variable

if TYPE_CHECKING:
    from processor.service import Service

OK, FAILED, BAD_CONFIGURATION = 0, 1, 2
# The last tree of the demo is printed 2 s after its root was released.
_LAST_TREE_S = 3.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    parsed = _parser().parse_args(arguments)
    try:
        return int(parsed.command(parsed))
    except SettingsError as error:
        for problem in error.problems:
            print(printable(problem), file=sys.stderr)
        return BAD_CONFIGURATION
    except KeyboardInterrupt:
        return OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="span-processor", description="An OpenTelemetry sidecar that says, on every span, whose it is."
    )
    parser.add_argument("--version", action="version", version=version_line())
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="receive, process and re-export until SIGTERM or SIGINT")
    run.add_argument("--demo", action="store_true", help="also send the demo's traces to it, once it is ready")
    run.set_defaults(command=_run)
    check = commands.add_parser("check", help="read every setting, say all problems at once, resolve the downstream")
    check.set_defaults(command=_check)
    show = commands.add_parser("print-config", help="the settings in force and where each came from")
    show.add_argument("--format", choices=("table", "json", "env"), default="table")
    show.set_defaults(command=_print_config)
    label = commands.add_parser("label", help="which label a variable gives, and why")
    label.add_argument("name")
    label.add_argument("--targeting-key")
    label.add_argument(
        "--attribute", action="append", default=[], metavar="KEY=VALUE", help="VALUE is JSON, else a string"
    )
    label.add_argument("--trace-id", metavar="HEX", help="32 hex digits, the targeting key where none is given")
    label.add_argument("--language", choices=("python", "nodejs"), default="python")
    label.add_argument("--format", choices=("text", "json"), default="text")
    label.set_defaults(command=_label)
    demo = commands.add_parser("demo", help="send real traces of an LLM application to a running processor")
    demo.add_argument("--endpoint", default="http://127.0.0.1:4317", help="OTLP/gRPC [%(default)s]")
    demo.add_argument("--traces", type=int, default=4, help="how many traces [%(default)s]")
    demo.add_argument("--rate", type=float, default=2.0, help="traces a second [%(default)s]")
    demo.set_defaults(command=_demo)
    return parser


def version_line() -> str:
    """Name, version, and whether the hot path is compiled."""
    import processor.pipeline

    form = "interpreted" if str(processor.pipeline.__file__).endswith(".py") else "compiled"
    return f"span-processor {__version__} ({form})"


def _run(parsed: argparse.Namespace) -> int:
    from processor.logs import set_up_logging
    from processor.service import run_service

    settings = load()
    if parsed.demo:
        settings = _for_demo(settings)
    set_up_logging(settings.log_level, settings.log_format, secret_texts(settings))
    try:
        return run_service(settings, _show_demo if parsed.demo else None)
    except SettingsError:
        raise
    except Exception:  # logged, so that nothing secret is in what is said of it
        logging.getLogger("processor").exception("the processor failed")
        return FAILED


def _for_demo(settings: Settings) -> Settings:
    """The settings, with the demo's variables where none are configured. Raises `SettingsError`."""
    if settings.receiver_grpc_endpoint == "off":
        raise SettingsError([f"{variable('receiver_grpc_endpoint')}: the demo sends over gRPC; give it a host:port"])
    for name in ("receiver_tls_certificate", "receiver_bearer_tokens"):
        if getattr(settings, name) is not None:
            raise SettingsError([f"{variable(name)}: the demo sends in plain text without a token; leave it out"])
    if settings.variables_file is not None or settings.variables_url is not None:
        return settings
    file = Path(__file__).with_name("demo_variables.json")
    return settings.model_copy(update={"variables_file": file, "baggage_keys": (*settings.baggage_keys, "plan")})


async def _show_demo(service: Service) -> None:
    """Have the demo send its traces; then say, to people, how to send one's own."""
    from processor.export.banner import banner, how_to_point

    grpc, http = (service.address(variable(f"receiver_{name}_endpoint")) for name in ("grpc", "http"))
    banner(grpc, http, service.terminal is not None)
    if grpc is not None:
        await _send_demo(grpc)
    await asyncio.sleep(_LAST_TREE_S)
    if sys.stdout.isatty():
        how_to_point(grpc, http)


async def _send_demo(address: str) -> None:
    """Send the demo's traces from a process of its own, as an application would."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "processor", "demo", "--endpoint", f"http://{address}", stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await process.wait()
    finally:
        if process.returncode is None:  # the processor stops first
            process.kill()


def _check(_parsed: argparse.Namespace) -> int:
    from processor.checking import check_settings

    for line in check_settings(load()):
        print(line)
    return OK


def _print_config(parsed: argparse.Namespace) -> int:
    from processor.settings_table import show

    settings = load()
    rows = [
        (variable(name), show(name, getattr(settings, name)), origin(name, os.environ))
        for name in type(settings).model_fields
    ]
    if parsed.format == "json":
        print(json.dumps({name: {"value": value, "origin": source} for name, value, source in rows}, indent=2))
        return OK
    for name, value, source in rows:
        line = f"{name}={value}" if parsed.format == "env" else f"{name:<46} {value:<32} {source}"
        print(printable(line))
    return OK


def _label(parsed: argparse.Namespace) -> int:
    from processor.explaining import explain_label

    text = explain_label(
        load(), parsed.name, parsed.targeting_key, parsed.attribute, parsed.trace_id, parsed.language, parsed.format
    )
    encoding = sys.stdout.encoding or "utf-8"  # of the terminal, which may lack a label's characters
    print(text.encode(encoding, "backslashreplace").decode(encoding))
    return OK


def _demo(parsed: argparse.Namespace) -> int:
    from processor.demo import run_demo

    try:
        count = run_demo(parsed.endpoint, parsed.traces, parsed.rate)
    except Exception as error:  # whatever the exporter says, the user gets one line
        print(f"demo: cannot send to {parsed.endpoint}: {error}; is a processor listening there?", file=sys.stderr)
        return FAILED
    print(f"sent {count} spans to {parsed.endpoint}")
    return OK
