"""A configuration from an endpoint: a real server on loopback, and pauses that the test ends."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from processor import __version__
from processor.variables.cache import read_cache, write_cache
from processor.variables.documents import MAX_BYTES
from processor.variables.endpoint import Endpoint, EndpointSource, Timing, check_token, origin_of
from processor.variables.evaluator import Evaluator
from processor.variables.source import Sink, evaluator_of
from processor.variables.targeting import Targeting
from processor.variables.variables import Outcome

Make = Callable[..., dict[str, Any]]
Text = Callable[..., str]
_PATIENCE_S = 20.0


class _Run:
    """A source at work, with its pauses in the test's hand."""

    def __init__(self, server: Any, waits: Any, **options: Any) -> None:
        self.polls, self.streams = waits(), waits()
        spread = options.pop("spread", 1.0)
        self.reports: asyncio.Queue[tuple[Outcome, str]] = asyncio.Queue()
        self.warnings: asyncio.Queue[str] = asyncio.Queue()
        self.evaluators: list[Evaluator] = []
        sink = Sink(
            lambda document: evaluator_of(document, Targeting()),
            self.evaluators.append,
            lambda outcome, message: self.reports.put_nowait((outcome, message)),
            self.warnings.put_nowait,
        )
        timing = Timing(self.streams.sleep, self.polls.wait, lambda low, high: min(high, max(low, spread)))
        self.source = EndpointSource(Endpoint(server.origin, "secret", **options), sink, timing=timing)

    async def outcome(self) -> Outcome:
        return (await self.report())[0]

    async def report(self) -> tuple[Outcome, str]:
        return await asyncio.wait_for(self.reports.get(), _PATIENCE_S)

    async def poll(self) -> Outcome:
        """End the pause between polls, and say what came of the next."""
        self.polls.end()
        return await self.outcome()

    def names(self) -> list[list[str]]:
        return [list(evaluator.compiled.by_name) for evaluator in self.evaluators]


def _running(run: _Run, test: Callable[[], Awaitable[None]]) -> None:
    async def both() -> None:
        task = asyncio.create_task(run.source.run())
        try:
            await test()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(both())


def test_a_fetch_is_as_the_sdk_makes_it(endpoint: Any, waits: Any, variable: Make, text: Text) -> None:
    """S24: the path, the lower-case bearer token, and no ETag before there was one."""
    endpoint.body = text(variable("a")).encode()
    run = _Run(endpoint, waits)
    asyncio.run(run.source.look())
    (headers,) = endpoint.fetches()
    assert ("bearer secret", f"span-processor/{__version__}", "identity", None) == (
        headers["authorization"], headers["user-agent"], headers["accept-encoding"], headers.get("if-none-match"),
    )  # fmt: skip
    assert ([["a"]], (Outcome.LOADED, "1 variables")) == (run.names(), run.reports.get_nowait())


def test_polling_with_an_etag(endpoint: Any, waits: Any, variable: Make, text: Text) -> None:
    """S24: the ETag of a good answer is sent back, 304 keeps the configuration, and an answer without one clears it."""
    endpoint.body, endpoint.etag = text(variable("a")).encode(), '"1"'
    run = _Run(endpoint, waits)

    async def test() -> None:
        assert Outcome.LOADED is await run.outcome()
        assert Outcome.UNCHANGED is await run.poll()
        endpoint.body, endpoint.etag = text(variable("b")).encode(), '"2"'
        assert Outcome.LOADED is await run.poll()
        endpoint.etag = None
        assert Outcome.UNCHANGED is await run.poll()
        assert Outcome.UNCHANGED is await run.poll()

    _running(run, test)
    assert [None, '"1"', '"1"', '"2"', None] == [headers.get("if-none-match") for headers in endpoint.fetches()]
    assert [["a"], ["b"]] == run.names()


def test_polls_are_spread(endpoint: Any, waits: Any) -> None:
    """S24: the pause is the interval, up to 10 % more or less."""
    run = _Run(endpoint, waits, poll_s=40.0, spread=0.9)

    async def test() -> None:
        await run.outcome()
        assert 36.0 == await asyncio.wait_for(run.polls.asked.get(), _PATIENCE_S)

    _running(run, test)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"status": 401}, "answered HTTP 401; the token is not accepted"),
        ({"status": 403}, "answered HTTP 403; the token may not read variables"),
        ({"status": 404}, "answered HTTP 404; there is no such path"),
        ({"status": 500}, "answered HTTP 500; expected 200"),
        ({"status": 302}, "answered HTTP 302; expected 200"),
        ({"body": b"x" * (MAX_BYTES + 1)}, f"answered with more than {MAX_BYTES} bytes"),
        ({"encoding": "gzip"}, "answered compressed, which was not asked for"),
        ({"claimed_length": 10_000}, "no answer from"),
        ({"hangs": True}, "no answer from"),
    ],
)
def test_what_fails_keeps_the_last_good(
    endpoint: Any, waits: Any, variable: Make, text: Text, changes: dict[str, Any], told: str
) -> None:
    """S24: another status, a body that is too large, cut short or never comes: told, and the next poll tries again."""
    endpoint.body = good = text(variable("a")).encode()
    run = _Run(endpoint, waits, timeout_s=0.5)

    async def test() -> None:
        assert Outcome.LOADED is await run.outcome()
        for name, value in changes.items():
            setattr(endpoint, name, value)
        run.polls.end()
        outcome, message = await run.report()
        assert Outcome.FAILED is outcome
        assert told in message
        assert "secret" not in message
        endpoint.status, endpoint.body, endpoint.encoding = 200, good, None
        endpoint.claimed_length, endpoint.hangs = None, False
        assert Outcome.UNCHANGED is await run.poll()

    _running(run, test)
    assert [["a"]] == run.names()


def test_nobody_listens(waits: Any, endpoint: Any) -> None:
    """S24: an endpoint out of reach is told, and tried again."""
    origin = endpoint.origin
    endpoint.origin = "http://127.0.0.1:1"
    run = _Run(endpoint, waits)
    endpoint.origin = origin

    async def test() -> None:
        assert Outcome.FAILED is await run.outcome()
        assert Outcome.FAILED is await run.poll()
        assert "no live updates from" in await asyncio.wait_for(run.warnings.get(), _PATIENCE_S)

    _running(run, test)
    assert run.warnings.empty()


@pytest.mark.parametrize("body", [b"<html>sign in</html>", b'{"variables": {"a": {"name": "b"}}}', b"[]", b"\xff", b""])
def test_a_bad_configuration_is_refused(endpoint: Any, waits: Any, variable: Make, text: Text, body: bytes) -> None:
    """S24: a bad answer is refused whole, its ETag is not kept, and the same one is not read again."""
    endpoint.body = good = text(variable("a")).encode()
    run = _Run(endpoint, waits)

    async def test() -> None:
        assert Outcome.LOADED is await run.outcome()
        endpoint.body, endpoint.etag = body, '"bad"'
        assert Outcome.REFUSED is await run.poll()
        run.polls.end()
        assert (Outcome.REFUSED, "the same configuration as was refused before") == await run.report()
        endpoint.body, endpoint.etag = good, None
        assert Outcome.UNCHANGED is await run.poll()

    _running(run, test)
    assert [None] * 4 == [headers.get("if-none-match") for headers in endpoint.fetches()]


def test_an_event_fetches_at_once_and_again(endpoint: Any, waits: Any, variable: Make, text: Text) -> None:
    """S24: an event makes a fetch at once and one 2 s later; other lines of the stream make none."""
    endpoint.body = text(variable("a")).encode()
    run = _Run(endpoint, waits, poll_s=40.0)

    async def test() -> None:
        assert Outcome.LOADED is await run.outcome()
        assert 40.0 == await asyncio.wait_for(run.polls.asked.get(), _PATIENCE_S)
        endpoint.body = text(variable("b")).encode()
        for line in (b": keepalive\n\n", b"data: {}\n\n", b"data: nonsense\n\n", b'data: {"event": "other"}\n\n'):
            endpoint.events.put(line)
        endpoint.events.put(b'event: x\r\ndata: {"eve')
        endpoint.events.put(b'nt": "updated", "name": "b"}\r\n\r\n')
        assert Outcome.LOADED is await run.outcome()
        assert 2.0 == await asyncio.wait_for(run.polls.asked.get(), _PATIENCE_S)
        assert Outcome.UNCHANGED is await run.poll()
        assert 40.0 == await asyncio.wait_for(run.polls.asked.get(), _PATIENCE_S)

    _running(run, test)
    assert (3, [["a"], ["b"]]) == (len(endpoint.fetches()), run.names())
    (headers,) = endpoint.streams()
    assert ("text/event-stream", "no-cache", "bearer secret") == (
        headers["accept"], headers["cache-control"], headers["authorization"],
    )  # fmt: skip


def test_a_new_stream_fetches_at_once(endpoint: Any, waits: Any) -> None:
    """S24: every stream but the first makes a fetch, for something may have been missed."""
    run = _Run(endpoint, waits)

    async def test() -> None:
        await run.outcome()
        await run.polls.asked.get()
        endpoint.events.put(None)
        assert 1.0 == await asyncio.wait_for(run.streams.asked.get(), _PATIENCE_S)
        run.streams.end()
        assert Outcome.UNCHANGED is await run.outcome()

    _running(run, test)
    assert 2 == len(endpoint.streams())


def test_streams_are_opened_ever_more_slowly(endpoint: Any, waits: Any) -> None:
    """S24: the pause doubles from 1 s to 60 s, whether the stream is refused or ends without a line of its kind."""
    run = _Run(endpoint, waits)
    endpoint.stream_status = 404

    async def pause() -> float:
        return float(await asyncio.wait_for(run.streams.asked.get(), _PATIENCE_S))

    async def test() -> None:
        asked = []
        for _ in range(4):
            asked.append(await pause())
            run.streams.end()
        asked.append(await pause())
        endpoint.stream_status = 200
        for line in (b"<html>", None, b"an error\n", None):
            endpoint.events.put(line)
        for _ in range(2):
            run.streams.end()
            asked.append(await pause())
        assert [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0] == asked
        endpoint.events.put(b":\n")
        endpoint.events.put(None)
        run.streams.end()
        assert 1.0 == await pause()
        assert "HTTP 404" in run.warnings.get_nowait()
        assert run.warnings.empty()

    _running(run, test)


def test_an_endless_line_ends_the_stream(endpoint: Any, waits: Any) -> None:
    """A stream without line ends is not gathered."""
    run = _Run(endpoint, waits)

    async def test() -> None:
        await run.outcome()
        endpoint.events.put(b"data: " + b"x" * 100_000)
        assert 1.0 == await asyncio.wait_for(run.streams.asked.get(), _PATIENCE_S)

    _running(run, test)


def test_the_cache_helps_over_a_start(endpoint: Any, waits: Any, variable: Make, text: Text, tmp_path: Path) -> None:
    """S24: the last good configuration is on disk, for its owner's eyes, and in force before the endpoint answers."""
    cache = tmp_path / "cache.json"
    endpoint.body = text(variable("a")).encode()
    first = _Run(endpoint, waits, cache=cache)

    async def fetch() -> None:
        assert Outcome.LOADED is await first.outcome()
        await first.polls.asked.get()

    _running(first, fetch)
    assert (endpoint.body, 0o600) == (cache.read_bytes(), stat.S_IMODE(cache.stat().st_mode))
    endpoint.status = 503
    second = _Run(endpoint, waits, cache=cache)

    async def start() -> None:
        assert [Outcome.LOADED, Outcome.FAILED] == [await second.outcome(), await second.outcome()]
        endpoint.status = 200
        assert Outcome.UNCHANGED is await second.poll()

    _running(second, start)
    assert [["a"]] == second.names()


def test_a_bad_cache_is_no_matter(endpoint: Any, waits: Any, tmp_path: Path) -> None:
    """A broken cache is refused, one that cannot be read or written is told; the endpoint is asked all the same."""
    broken = tmp_path / "cache.json"
    broken.write_text("{")
    run = _Run(endpoint, waits, cache=broken)

    async def start() -> None:
        assert [Outcome.REFUSED, Outcome.LOADED] == [await run.outcome(), await run.outcome()]

    _running(run, start)
    run = _Run(endpoint, waits, cache=tmp_path)

    async def again() -> None:
        assert "cannot read the cache" in await asyncio.wait_for(run.warnings.get(), _PATIENCE_S)
        assert Outcome.LOADED is await run.outcome()
        assert "cannot write the cache" in await asyncio.wait_for(run.warnings.get(), _PATIENCE_S)

    _running(run, again)


def test_a_cache_is_replaced_whole(tmp_path: Path) -> None:
    """A write that fails leaves the old content, and nothing beside it."""
    path = tmp_path / "cache.json"
    assert read_cache(path) is None
    write_cache(path, b"old")
    with pytest.raises(TypeError):
        write_cache(path, "no bytes")  # type: ignore[arg-type]  # a write that fails
    assert (b"old", [path]) == (read_cache(path), list(tmp_path.iterdir()))


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://logfire-us.pydantic.dev", "https://logfire-us.pydantic.dev"),
        (" http://127.0.0.1:8000/v1/variables/ ", "http://127.0.0.1:8000"),
        ("http://[::1]:80/", "http://[::1]:80"),
    ],
)
def test_only_the_origin_counts(url: str, origin: str) -> None:
    """As in the SDK, a path of the address is dropped."""
    assert origin == origin_of(url)


@pytest.mark.parametrize("url", ["logfire.dev", "ftp://x", "https://", "http://u:p@x", "", "http://x:port"])
def test_a_wrong_address_is_told(url: str) -> None:
    """What is no address of a server is refused."""
    with pytest.raises(ValueError, match=r"must be an address such as|Port could not be cast"):
        origin_of(url)


@pytest.mark.parametrize("token", ["", "a b", "a\nb", "é"])
def test_a_wrong_token_is_told(token: str) -> None:
    """What does not fit into a header is refused, without showing it."""
    assert "pylf_v1_us_x" == check_token("pylf_v1_us_x")
    with pytest.raises(ValueError, match="one word of ASCII characters"):
        check_token(token)
