"""Coverage-guided fuzzing of the way from request bytes to request bytes: scan, read, trees, write, frame.

    python tests/fuzz/fuzz_request.py -max_total_time=600 [folder of inputs]
    python tests/fuzz/fuzz_request.py crash-…           # an input that was found, again

The options are libFuzzer's. Where atheris is not installed, the seeds and fixed mutations of them are run instead.
What must hold is
`hostile.Checker`'s. The first byte of an input picks settings and form, the rest is a request, or a span between two
good ones.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

FOLDER = Path(__file__).parent
MUTATIONS = 40  # of each seed, where there is no atheris
SPAN_FORM = 0x80  # of the first byte: the rest is one span

Target = Callable[[bytes], None]


def make_target() -> Target:
    """The function that is fuzzed: takes an input, raises where something does not hold."""
    from craft import enclose, span
    from engine import Setup
    from hostile import Checker

    listed = ("langfuse", "tenant")
    setups = [
        Setup(),
        Setup(baggage=listed),
        Setup(baggage=listed, fill="trace", roots_any=True),
        Setup(fill="none", chunk_spans=1),
    ]
    checkers = [Checker(setup) for setup in setups]
    before, after = (span(1, 0, {"user.id": "u"}).SerializeToString(), span(8, 2).SerializeToString())

    def target(data: bytes) -> None:
        form, rest = data[0] if data else 0, bytes(data[1:])
        body = enclose([before, rest, after]) if form & SPAN_FORM else rest
        checkers[form % len(checkers)].check(body)

    return target


def make_seeds() -> list[bytes]:
    """Inputs to begin with: a request with everything in it and its spans, in three field orders."""
    import wires
    from engine import spans_of
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from rich_request import rich_request

    seeds = []
    for form, order in enumerate((wires.ascending, wires.descending, wires.shuffled(1))):
        body = wires.reorder(rich_request(), ExportTraceServiceRequest.DESCRIPTOR, order)
        seeds.append(bytes([form]) + body)
        seeds += [bytes([SPAN_FORM | form]) + left.raw for left in spans_of(body)]
    return seeds


def mutate(seeds: list[bytes], count: int) -> Iterator[bytes]:
    """`count` inputs from each seed, the same every time: a byte changed, a piece gone, a piece of another seed in
    between.
    """
    rng = random.Random(11)
    for seed in seeds:
        for _ in range(count):
            data = bytearray(seed)
            at = rng.randrange(len(data))
            other = rng.choice(seeds)
            start = rng.randrange(len(other))
            match rng.randrange(3):
                case 0:
                    data[at] = rng.randrange(256)
                case 1:
                    del data[at : at + rng.randrange(1, 9)]
                case _:
                    data[at:at] = other[start : start + rng.randrange(1, 33)]
            yield bytes(data)


def replay() -> int:
    """The seeds and their fixed mutations through the target; how many."""
    target = make_target()
    seeds = make_seeds()
    inputs = [*seeds, *mutate(seeds, MUTATIONS)]
    for data in inputs:
        target(data)
    return len(inputs)


def fuzz(arguments: list[str]) -> None:
    """libFuzzer's loop, which ends the process. Without a folder among the arguments the seeds are the first inputs."""
    import atheris

    with atheris.instrument_imports(include=["processor"]):
        target = make_target()
    if all(argument.startswith("-") for argument in arguments):
        folder = tempfile.mkdtemp(prefix="fuzz-request-")
        for index, seed in enumerate(make_seeds()):
            Path(folder, f"seed-{index}").write_bytes(seed)
        arguments = [*arguments, folder]
    atheris.Setup([sys.argv[0], *arguments], target)
    atheris.Fuzz()


def main() -> None:
    """Fuzz, or replay where there is no fuzzer."""
    sys.path.append(str(FOLDER.parent / "contract"))
    try:
        import atheris  # noqa: F401  # whether it is there
    except ImportError:
        print(f"atheris is not installed: replayed {replay()} fixed inputs")
        return
    fuzz(sys.argv[1:])


if __name__ == "__main__":
    main()
