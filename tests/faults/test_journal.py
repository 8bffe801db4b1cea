"""A journal through restarts, full and damaged disks, and downstreams that are away (S25, S27, S29; F10, F11, F13)."""

from __future__ import annotations

import resource
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from load import Clients, check_arrived, lost, settled
from messages import attributes, call_grpc, call_http, make_request, make_span
from running import Processor, eventually, free_ports

OK, UNAVAILABLE = grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE
TRACE = b"t" * 16


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "journal"


def send(processor: Processor, *spans: Any) -> grpc.StatusCode:
    """One request; the status that answers it."""
    return call_grpc(processor.grpc_port, make_request(*spans))[0]


def users(backend: Any) -> dict[int, str | None]:
    """The user of each span that arrived, by its number; none came twice."""
    numbers = [span.span_id[-1] for span in backend.spans]
    assert len(numbers) == len(set(numbers))
    return {span.span_id[-1]: attributes(span).get("user.id") for span in backend.spans}


def kill(processor: Processor) -> None:
    """As the kernel does when memory is short."""
    processor.send_signal(signal.SIGKILL)
    processor.wait()


def test_held_spans_inherit_after_a_restart(
    journal: Path, run: Callable[..., Any], scripted: Callable[..., Any]
) -> None:
    """S25, S14: spans that waited for their parents when the process was killed wait on, and inherit."""
    backend = scripted().start()
    settings = {"JOURNAL_DIRECTORY": str(journal), **backend.settings}
    first = run(**settings)
    assert OK is send(first, make_span(TRACE, 3, 2), make_span(TRACE, 2, 1))
    kill(first)
    second = run(**settings)
    accounting = second.accounting()
    assert (0, 2, 2) == (accounting["accepted"], accounting["recovered"], accounting["held"])
    assert OK is send(second, make_span(TRACE, 1, user__id="ann"))
    settled(second)
    assert {1: "ann", 2: "ann", 3: "ann"} == users(backend)


def test_known_parents_are_known_after_a_restart(
    journal: Path, run: Callable[..., Any], scripted: Callable[..., Any]
) -> None:
    """S25: spans that wait over a kill inherit from those that had left before."""
    backend = scripted().start()
    settings = {"JOURNAL_DIRECTORY": str(journal), "BAGGAGE_KEYS": "plan", **backend.settings}
    first = run(**settings)
    assert OK is send(first, make_span(TRACE, 1, user__id="ann", plan="pro"))
    assert OK is send(first, make_span(TRACE, 3, 2))
    eventually(lambda: first.accounting()["exported"])
    eventually(lambda: first.status()["journal"]["live_items"] == 2)  # the span that waits, and its trace
    kill(first)
    second = run(**settings)
    assert OK is send(second, make_span(TRACE, 2, 1))
    settled(second)
    said = {span.span_id[-1]: attributes(span) for span in backend.spans}  # the first may have come twice
    assert {number: {"user.id": "ann", "plan": "pro"} for number in (1, 2, 3)} == said


def test_f13_stopped_while_the_backend_is_away(
    journal: Path, run: Callable[..., Any], scripted: Callable[..., Any]
) -> None:
    """F13, S29: what cannot be delivered in time stays in the journal, exit 0, and the next process delivers it."""
    backend = scripted(port=free_ports(1)[0])
    settings = {"JOURNAL_DIRECTORY": str(journal), "SHUTDOWN_TIMEOUT": "2s", **backend.settings}
    first = run(**settings)
    assert OK is send(first, make_span(TRACE, 1, user__id="ann"), make_span(TRACE, 2, 1), make_span(TRACE, 4, 3))
    assert 0 == first.stop()
    assert "lost 0 + journaled 3" in first.log[-1]["message"]
    second = run(**settings)
    accounting = second.accounting()
    assert 3 == accounting["journaled"] + accounting["queued"]
    backend.start()
    assert 3 == settled(second)["recovered"]
    assert {1: "ann", 2: "ann", 4: "ann"} == users(backend)  # the orphan by what its trace agrees on


@pytest.mark.parametrize("sync", ["normal", "full", "off"])
def test_f10_a_damaged_row(sync: str, journal: Path, run: Callable[..., Any], scripted: Callable[..., Any]) -> None:
    """F10: a flipped byte costs the row that it is in, which is counted; everything else arrives."""
    backend = scripted(port=free_ports(1)[0])
    settings = {"JOURNAL_DIRECTORY": str(journal), "JOURNAL_SYNC": sync, **backend.settings}
    first = run(**settings)
    for number in range(1, 21):
        assert OK is send(first, make_span(bytes([number]) * 16, number, user__id="ann", text="x" * 100))
    kill(first)
    damage(journal, at_head=sync == "off")
    second = run(**settings)
    backend.start()
    accounting = settled(second)
    assert 19 == accounting["exported"] == len(users(backend))
    assert 1 == second.status()["journal"]["damaged"]
    assert any("damaged" in line["message"] for line in second.log)


def damage(journal: Path, at_head: bool) -> None:
    """Flip a byte in the middle of a row in the middle: of a span, or of what is read at opening."""
    (segment,) = [path for path in journal.iterdir() if path.stat().st_size > 1000]
    data = bytearray(segment.read_bytes())
    span = data.index(bytes([10]) * 16)
    data[span - 60 if at_head else span] ^= 0xFF
    segment.write_bytes(data)


def test_f10_a_torn_tail(journal: Path, run: Callable[..., Any], scripted: Callable[..., Any]) -> None:
    """F10: a file that ends in the middle of a row costs that row alone."""
    backend = scripted(port=free_ports(1)[0])
    settings = {"JOURNAL_DIRECTORY": str(journal), **backend.settings}
    first = run(**settings)
    for number in range(1, 11):
        assert OK is send(first, make_span(bytes([number]) * 16, number, user__id="ann"))
    kill(first)
    (segment,) = [path for path in journal.iterdir() if path.stat().st_size > 1000]
    segment.write_bytes(segment.read_bytes()[:-20])
    second = run(**settings)
    backend.start()
    assert 9 == settled(second)["exported"] == len(users(backend))


def test_f11_a_full_disk(journal: Path, run: Callable[..., Any], scripted: Callable[..., Any]) -> None:
    """F11: what cannot be written is refused, never acknowledged, until there is room again; the SDK bridges it."""
    backend = scripted().start()
    processor = run(JOURNAL_DIRECTORY=str(journal), **backend.settings)
    assert OK is send(processor, make_span(TRACE, 1, user__id="ann", text="x" * 100_000))
    limit_files(processor, 65536)  # of the journal's files; the log stays below
    assert UNAVAILABLE is send(processor, make_span(b"u" * 16, 1, user__id="ann"))
    status, headers, _ = call_http(processor.http_port, make_request(make_span(b"v" * 16, 1)))
    assert (503, True) == (status, headers["retry-after"] in ("1", "2"))
    assert processor.status()["refused"]["journal"] >= 2
    clients = Clients(processor)
    sending = threading.Thread(target=clients.send, args=(1,))
    sending.start()
    refused = processor.status()["refused"]["journal"]
    eventually(lambda: processor.status()["refused"]["journal"] > refused)
    limit_files(processor, resource.RLIM_INFINITY)
    sending.join()
    assert [] == clients.failed
    accounting = settled(processor)
    assert 0 == lost(accounting)
    assert set(clients.acknowledged) <= set(backend.received)
    messages = [line["message"] for line in processor.log if "journal" in line["message"]]
    assert any("cannot write" in message for message in messages)
    assert any("can write again" in message for message in messages)


def limit_files(processor: Processor, size: int) -> None:
    """No file of the process may grow beyond so many bytes: a full disk, as the process sees it."""
    resource.prlimit(processor.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_a_full_journal(journal: Path, run: Callable[..., Any], scripted: Callable[..., Any]) -> None:
    """S25, S26: memory's share of the queue is not the end: refusals begin at JOURNAL_MAX_SIZE, and end when it drains."""
    backend = scripted(port=free_ports(1)[0])
    processor = run(JOURNAL_DIRECTORY=str(journal), JOURNAL_MAX_SIZE="64MiB", MEMORY_LIMIT="64MiB", **backend.settings)
    accepted = 0
    while send(processor, *big_trace(accepted + 1)) is OK:
        accepted += 1
        assert accepted < 200
    accounting = processor.accounting()
    assert accounting["journaled"] > 0
    assert accepted * 100 == accounting["queued"] + accounting["journaled"]
    assert (1, 0) == (processor.status()["refused"]["journal"], processor.status()["refused"]["memory"])
    backend.start()
    settled(processor)
    assert accepted * 100 == len(set(backend.received)) == len(backend.received)
    eventually(lambda: send(processor, *big_trace(accepted + 1)) is OK)  # as soon as the files are deleted


def big_trace(number: int) -> list[Any]:
    """A trace of 1 MiB."""
    trace_id = number.to_bytes(16, "big")
    root = make_span(trace_id, 1, user__id="ann", text="x" * 10_000)
    return [root, *(make_span(trace_id, each, 1, text="x" * 10_000) for each in range(2, 101))]


def test_one_of_two_is_away(journal: Path, run: Callable[..., Any], scripted: Callable[..., Any]) -> None:
    """S27, S25: a downstream that is away delays nothing for the other, and gets everything after a restart."""
    well, away = scripted().start(), scripted(port=free_ports(1)[0])
    settings = {
        "EXPORTERS": "well,away",
        "EXPORTER_WELL_OTLP_ENDPOINT": well.settings["EXPORTER_OTLP_ENDPOINT"],
        "EXPORTER_AWAY_OTLP_ENDPOINT": away.settings["EXPORTER_OTLP_ENDPOINT"],
        "JOURNAL_DIRECTORY": str(journal),
    }
    first = run(**settings)
    for number in range(1, 11):
        assert OK is send(first, make_span(bytes([number]) * 16, number, user__id="ann"))
    eventually(lambda: len(well.received) == 10)
    accounting = eventually(lambda: _when_exported(first, "well", 10))
    assert 10 == accounting["away"]["queued"]
    eventually(lambda: first.status()["journal"]["buffered_bytes"] == 0)
    kill(first)
    second = run(**settings)
    accounting = second.accounting()
    assert all(each["balanced"] for each in accounting.values())
    assert 10 == accounting["away"]["recovered"]
    away.start()
    eventually(lambda: _when_exported(second, "away", 10))
    assert 10 == len(away.received) == len(set(away.received))
    assert set(away.received) == set(well.received)


def _when_exported(processor: Processor, name: str, count: int) -> dict[str, Any] | None:
    accounting: dict[str, Any] = processor.status()["accounting"]
    return accounting if accounting[name]["exported"] == count else None


def test_the_sdk_over_an_outage(journal: Path, run: Callable[..., Any], scripted: Callable[..., Any]) -> None:
    """S26: with a journal, too, the SDK's own clients deliver everything over an outage of the downstream."""
    backend = scripted(port=free_ports(1)[0])
    processor = run(JOURNAL_DIRECTORY=str(journal), **backend.settings)
    clients = Clients(processor)
    clients.send(requests=5)
    backend.start()
    check_arrived(clients, backend, processor)
