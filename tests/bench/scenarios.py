"""What is done to a subject, and which figures come of it. Each scenario starts the subject anew and ends it.

Figures are named as in `report.METRICS`. The subject's CPU time is read before the load and after the last span has
arrived at the sink, so that nothing it still owed is left out.
"""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from subjects import Processor, Running, Subject, SubjectError
from worker import Answer, Worker
from workload import GRPC, Workload

_SHARE_OF_LOAD = 0.2
_QUIET_S = 5.0
_WARM_UP_S = 0.5
_MIB = 1 << 20

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Effort:
    """How long a measurement takes. `requests` limits it further, `settle_s` is the wait before idle memory is read."""

    seconds: float = 3.0
    settle_s: float = 2.0
    requests: int | None = None


class Scene:
    """A sink that serves all subjects of a run, and how long each is measured."""

    def __init__(self, sink: Worker, effort: Effort) -> None:
        self.sink = sink
        self.effort = effort

    @contextmanager
    def running(self, subject: Subject) -> Iterator[Running]:
        """The subject, started; its files are gone afterwards."""
        with (
            TemporaryDirectory(prefix="bench-") as folder,
            Running(subject, self.sink.ready, Path(folder)) as running,
        ):
            yield running

    def settle(self) -> None:
        """Let memory come to rest."""
        time.sleep(self.effort.settle_s)

    def drain(self, spans: int) -> int:
        """How many spans have arrived, once it is as many as were sent or nothing came for five seconds."""
        arrived, since = -1, time.monotonic()
        while arrived < spans and time.monotonic() - since < _QUIET_S:
            now: int = self.sink.ask("count")["spans"]
            if now != arrived:
                arrived, since = now, time.monotonic()
            time.sleep(0.02)
        return arrived


@dataclass(frozen=True, slots=True)
class Steady:
    """Full load: cost a span, throughput, peak memory, loss. Where `whole`, idle memory before and a fifth of it after.

    `keys`: what each span of a sample must bear at the sink. `scraped`: ask the processor for its metrics once a second.
    """

    workload: Workload
    keys: tuple[str, ...] = ()
    whole: bool = True
    scraped: bool = False

    def run(self, scene: Scene, subject: Subject) -> Figures:
        """One measurement."""
        figures: Figures = {}
        with scene.running(subject) as running:
            if self.whole:
                scene.settle()
                figures["idle_mib"] = running.meter.resident_mib()
            endpoint = running.endpoints[self.workload.transport]
            ca = scene.sink.ready["ca"]
            scraper = scraping(running.admin) if self.scraped else nullcontext()
            with scraper, Worker("load.py", endpoint=endpoint, workload=asdict(self.workload), ca=ca) as load:
                figures |= self._full(scene, running, load)
                if self.whole:
                    figures |= self._paced(scene, load, figures["spans_per_s"])
            running.require_alive()
            return figures | {"peak_mib": running.meter.peak_mib()}

    def _full(self, scene: Scene, running: Running, load: Worker) -> Figures:
        effort = scene.effort
        scene.sink.ask("reset")
        warmed = load.ask("closed", seconds=_WARM_UP_S, requests=effort.requests)
        scene.drain(warmed["spans"])
        scene.sink.ask("reset")
        cpu_s = running.meter.cpu_s()
        sent = load.ask("closed", seconds=effort.seconds, requests=effort.requests)
        scene.drain(sent["spans"])
        cpu_s = running.meter.cpu_s() - cpu_s
        return _full_figures(sent, scene.sink.ask("report", keys=self.keys), cpu_s)

    def _paced(self, scene: Scene, load: Worker, spans_per_s: float) -> Figures:
        scene.sink.ask("reset", keep=True)
        rate = _SHARE_OF_LOAD * spans_per_s / self.workload.spans_per_request
        effort = scene.effort
        sent = load.ask("paced", seconds=effort.seconds, requests_per_s=rate, requests=effort.requests)
        scene.drain(sent["spans"])
        report = scene.sink.ask("report")
        scene.sink.ask("reset")
        return {name: report[name] for name in ("p50_ms", "p99_ms") if name in report}


def _full_figures(sent: Answer, report: Answer, cpu_s: float) -> Figures:
    if not report["spans"]:
        raise SubjectError("no span reached the sink")
    took_s = (report["last_arrival_ns"] - sent["start_ns"]) / 1e9
    return {
        "cpu_us": cpu_s / report["spans"] * 1e6,
        "spans_per_s": report["spans"] / took_s,
        "arrived": report["spans"],
        "lost": sent["spans"] - report["spans"],
        "wrong": report["wrong"],
        "refusals": sent["refusals"],
    }


@contextmanager
def scraping(admin: str) -> Iterator[None]:
    """Read `/metrics` once a second, as Prometheus would at its fastest; the first time before anything else."""
    is_over = threading.Event()

    def scrape() -> None:
        with urllib.request.urlopen(f"http://{admin}/metrics", timeout=_QUIET_S) as answer:
            answer.read()

    def scrape_on() -> None:
        while not is_over.wait(1.0):
            scrape()

    scrape()
    thread = threading.Thread(target=scrape_on)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@dataclass(frozen=True, slots=True)
class Start:
    """From the launch of the processor until it says that it is ready."""

    def run(self, scene: Scene, subject: Subject) -> Figures:
        """One measurement."""
        with scene.running(subject) as running:
            while not _is_ready(running.admin):
                running.require_alive()
                time.sleep(0.005)
            return {"ready_ms": (time.monotonic() - running.started_s) * 1e3}


def _is_ready(admin: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{admin}/readyz", timeout=_QUIET_S) as answer:
            return bool(answer.status == 200)
    except OSError:  # not listening yet, or 503
        return False


@dataclass(frozen=True, slots=True)
class Held:
    """Spans whose root never comes: what holding one costs in memory, in bytes on the wire."""

    spans: int = 200_000

    def run(self, scene: Scene, subject: Subject) -> Figures:
        """One measurement."""
        workload = Workload(rooted=False)
        with scene.running(subject) as running:
            scene.settle()
            idle_mib = running.meter.resident_mib()
            scene.sink.ask("reset")
            ca = scene.sink.ready["ca"]
            with Worker("load.py", endpoint=running.endpoints[GRPC], workload=asdict(workload), ca=ca) as load:
                sent = load.ask("closed", seconds=0, requests=self.spans // workload.spans_per_request)
                scene.settle()
                held_mib = running.meter.resident_mib() - idle_mib
            running.require_alive()
            early = scene.sink.ask("count")["spans"]
            running.kill()
        return {"held_ratio": held_mib * _MIB / sent["bytes"], "held_mib": held_mib, "early": early}


@dataclass(frozen=True, slots=True)
class Release:
    """One trace whose root comes last: from its sending until the last span is out, and the longest standstill."""

    shape: str
    spans: int

    def run(self, scene: Scene, subject: Subject) -> Figures:
        """One measurement."""
        with scene.running(subject) as running:
            endpoint = running.endpoints[GRPC]
            with (
                Worker("bigtrace.py", endpoint=endpoint, shape=self.shape, spans=self.spans) as trace,
                Worker("probe.py", endpoint=endpoint) as probe,
            ):
                scene.sink.ask("reset")
                waiting = trace.ask("descendants")["spans"]
                early = scene.sink.ask("count")["spans"]
                probe.ask("start")
                root = trace.ask("root")
                arrived = scene.drain(waiting + root["spans"])
                report = scene.sink.ask("report", keys=("user.id", "session.id"))
                paused = probe.ask("stop", from_ns=root["sent_ns"], to_ns=report["last_arrival_ns"])
            running.require_alive()
        return {
            "release_ms": (report["last_arrival_ns"] - root["sent_ns"]) / 1e6,
            "pause_ms": paused["slowest_ms"],
            "early": early,
            "lost": waiting + root["spans"] - arrived,
            "wrong": report["wrong"],
        }


@dataclass(frozen=True, slots=True)
class Outage:
    """A downstream that is not there: memory at the first refusal, beyond what is idle, in shares of MEMORY_LIMIT."""

    limit_mib: int

    def run(self, scene: Scene, subject: Subject) -> Figures:
        """One measurement."""
        with scene.running(subject) as running:
            scene.settle()
            idle_mib = running.meter.resident_mib()
            endpoint, ca = running.endpoints[GRPC], scene.sink.ready["ca"]
            with Worker("load.py", endpoint=endpoint, workload=asdict(Workload()), ca=ca) as load:
                sent = load.ask("until_refused")
                full_mib = running.meter.resident_mib() - idle_mib
            running.require_alive()
            running.kill()
        return {"outage_ratio": full_mib / self.limit_mib, "outage_mib": full_mib, "accepted": sent["spans"]}


@dataclass(frozen=True, slots=True)
class Recovery:
    """A process that was killed with so many spans in its journal: how soon the next one accepts, and how fast it sends."""

    spans: int = 1_000_000

    def run(self, scene: Scene, subject: Subject) -> Figures:
        """One measurement. The first process has a downstream that is not there."""
        if not isinstance(subject, Processor):
            raise SubjectError("only the processor has a journal to recover")
        workload, ca = Workload(), scene.sink.ready["ca"]
        with TemporaryDirectory(prefix="bench-") as folder:
            with Running(subject.without_downstream(), scene.sink.ready, Path(folder)) as running:
                with Worker("load.py", endpoint=running.endpoints[GRPC], workload=asdict(workload), ca=ca) as load:
                    sent = load.ask("closed", seconds=0, requests=self.spans // workload.spans_per_request)
                running.kill()
            scene.sink.ask("reset")
            started_ns = time.monotonic_ns()
            with Running(subject, scene.sink.ready, Path(folder)) as running:
                with Worker("load.py", endpoint=running.endpoints[GRPC], workload=asdict(workload), ca=ca) as load:
                    load.ask("closed", seconds=0, requests=1)
                    accepted_ns = time.monotonic_ns()
                arrived = scene.drain(sent["spans"] + workload.spans_per_request)
                report = scene.sink.ask("report")
                running.require_alive()
        took_s = (report["last_arrival_ns"] - started_ns) / 1e9
        return {
            "accepting_ms": (accepted_ns - started_ns) / 1e6,
            "spans_per_s": arrived / took_s,
            "lost": max(sent["spans"] + workload.spans_per_request - arrived, 0),
        }


Scenario = Steady | Start | Held | Release | Outage | Recovery
