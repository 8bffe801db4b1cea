"""The admin endpoint on a real socket: its answers, and what hostile bytes cannot do to it."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from processor.admin import AdminApp
from processor.heartbeat import LATE_S, Heartbeat
from processor.readiness import Readiness
from processor.receive.server import HttpServer

ANSWER_S = 10.0
TEXT = "text/plain; charset=utf-8"
HEAD = b"GET /livez HTTP/1.1\r\nhost: x\r\n"

# Bytes that no client should send; each on a connection of its own.
HOSTILE = {
    "nothing": b"",
    "zeros": bytes(5000),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "line ends only": b"\r\n" * 5000,
    "no version": b"GET /livez\r\n\r\n",
    "unknown version": b"GET /livez HTTP/9.9\r\n\r\n",
    "unknown method": b"BREW /livez HTTP/1.1\r\nhost: x\r\n\r\n",
    "connect": b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n",
    "huge path": b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\n\r\n",
    "endless head": HEAD + b"x: y\r\n" * 50_000,
    "one huge header": HEAD + b"x: " + b"y" * 400_000,
    "many heads": (HEAD + b"\r\n") * 300,
    "broken header": HEAD + b"no colon\r\n\r\n",
    "header of zeros": HEAD + b"x: \x00\x00\r\n\r\n",
    "folded header": HEAD + b"x: a\r\n b\r\n\r\n",
    "two lengths": b"POST /livez HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
    "negative length": b"POST /livez HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
    "huge length": b"POST /status HTTP/1.1\r\ncontent-length: 99999999999999999999999\r\n\r\n",
    "length and chunks": b"POST /livez HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad chunk": b"POST /livez HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n",
    "huge body": b"POST /metrics HTTP/1.1\r\ncontent-length: 4000000\r\n\r\n" + bytes(4_000_000),
    "upgrade": HEAD + b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: x\r\n\r\n",
    "bytes in the path": b"GET /\xff\xfe%00%zz?\x80 HTTP/1.1\r\nhost: x\r\n\r\n",
    "absolute path": b"GET http://[::1/livez HTTP/1.1\r\nhost: x\r\n\r\n",
    "expect": b"POST /livez HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n",
}


class Admin:
    """A served endpoint, what it is asked about, and the time that its heart goes by."""

    def __init__(self) -> None:
        self.now = 0.0
        self.is_full = False
        self.readiness = Readiness(lambda: self.is_full)
        app = AdminApp(Heartbeat(lambda: self.now), self.readiness, self._metrics, lambda: {"state": "fine"})
        self.server = HttpServer("127.0.0.1:0", app)
        self.scrapes = asyncio.Event()  # metrics wait for it, where it is not set
        self.scrapes.set()

    async def ask(self, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        """One request on a connection of its own: status, headers, body."""
        raw = await self.send(f"{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        return int(first.split()[1]), dict(line.lower().split(": ", 1) for line in lines), body

    async def send(self, data: bytes) -> bytes:
        """Bytes on a connection of their own, then its end; everything that comes back."""
        host, _, port = self.server.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        received = b""
        try:
            async with asyncio.timeout(ANSWER_S):
                writer.write(data)
                await writer.drain()
                if not data.endswith(b"close\r\n\r\n"):
                    writer.write_eof()
                while part := await reader.read(65_536):
                    received += part
        except ConnectionError:
            pass  # it hung up on what it would not read
        finally:
            writer.close()
        return received

    async def _metrics(self) -> tuple[bytes, bytes]:
        await self.scrapes.wait()
        return b"text/plain; version=1.0.0", b"up 1\n"


def served(ask: Callable[[Admin], Awaitable[Any]]) -> Any:
    """What `ask` finds out about a served endpoint."""

    async def run() -> Any:
        admin = Admin()
        await admin.server.start()
        try:
            return await ask(admin)
        finally:
            await admin.server.stop(0)

    return asyncio.run(run())


def test_livez_is_the_heartbeat() -> None:
    """Alive while the last beat is young, whatever else is the matter; then 503 late."""

    async def ask(admin: Admin) -> list[tuple[int, bytes]]:
        found = []
        admin.readiness.drain()
        for admin.now in (0.0, LATE_S, LATE_S + 0.1):
            status, _, body = await admin.ask("/livez")
            found.append((status, body))
        return found

    assert [(200, b"alive\n"), (200, b"alive\n"), (503, b"late\n")] == served(ask)


def test_readyz_says_why_not() -> None:
    """200 while requests are taken, else 503, with the state in a word; liveness is another matter."""

    async def ask(admin: Admin) -> list[tuple[int, bytes]]:
        async def readyz() -> tuple[int, bytes]:
            status, _, body = await admin.ask("/readyz")
            return status, body

        found = [await readyz()]
        admin.readiness.start()
        found.append(await readyz())
        admin.is_full = True
        found.append(await readyz())
        assert 200 == (await admin.ask("/livez"))[0]
        admin.readiness.drain()
        return [*found, await readyz()]

    assert [(503, b"starting\n"), (200, b"ready\n"), (503, b"full\n"), (503, b"draining\n")] == served(ask)


def test_metrics_and_status() -> None:
    """Both are what their makers say, with their media types; HEAD gives the head alone."""

    async def ask(admin: Admin) -> None:
        status, headers, body = await admin.ask("/metrics")
        assert (200, "text/plain; version=1.0.0", b"up 1\n") == (status, headers["content-type"], body)
        status, headers, body = await admin.ask("/status")
        assert (200, "application/json", {"state": "fine"}) == (status, headers["content-type"], json.loads(body))
        status, headers, body = await admin.ask("/metrics", "HEAD")
        assert (200, "5", b"") == (status, headers["content-length"], body)

    served(ask)


def test_what_is_not_there() -> None:
    """Other paths are 404, other methods 405 with what is allowed."""

    async def ask(admin: Admin) -> None:
        assert (404, TEXT) == ((found := await admin.ask("/"))[0], found[1]["content-type"])
        assert (405, "get, head") == ((found := await admin.ask("/status", "DELETE"))[0], found[1]["allow"])

    served(ask)


def test_stopping_under_a_request(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever still waits for an answer when the endpoint stops is told so, and the log is not."""

    async def ask(admin: Admin) -> None:
        admin.scrapes.clear()
        asked = asyncio.create_task(admin.ask("/metrics"))
        while not admin.server._state.tasks:
            await asyncio.sleep(0)
        await admin.server.stop(0)
        assert (503, b"stopping\n") == ((found := await asked)[0], found[2])

    served(ask)
    assert [] == caplog.messages


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a connection sends, it is answered or closed; the log stays empty, and the next one is served."""

    async def ask(admin: Admin) -> None:
        answer = await admin.send(HOSTILE[name])
        assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
        assert b"HTTP/1.1 5" not in answer
        assert 200 == (await admin.ask("/livez"))[0]

    served(ask)
    assert [] == caplog.messages


def test_random_bytes() -> None:
    """Requests with bytes replaced, cut and put in at random (the same each time) harm nobody."""
    chance = random.Random(7)
    whole = b"POST /status?x=1 HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\naccept: */*\r\n\r\nabc"

    def mutate() -> bytes:
        data = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(data))
            data[at : at + chance.randint(0, 2)] = chance.randbytes(chance.randint(0, 3))
        return bytes(data)

    async def ask(admin: Admin) -> None:
        for _ in range(10):
            answers = await asyncio.gather(*(admin.send(mutate()) for _ in range(20)))
            assert not any(b"HTTP/1.1 5" in answer for answer in answers)
        assert 200 == (await admin.ask("/livez"))[0]

    served(ask)


def test_many_connections() -> None:
    """Hundreds of connections that say nothing, or half a request, keep nobody from an answer."""

    async def ask(admin: Admin) -> None:
        host, _, port = admin.server.address.rpartition(":")
        idle = [(await asyncio.open_connection(host, int(port)))[1] for _ in range(300)]
        try:
            for index, each in enumerate(idle):
                each.write(HEAD[: index % len(HEAD)])
            answers = await asyncio.gather(*(admin.ask("/livez") for _ in range(100)))
            assert [200] * 100 == [status for status, _, _ in answers]
        finally:
            for each in idle:
                each.close()

    served(ask)
