"""The engine is what the contract says, for random histories: same additions, same moments, nothing else touched."""

from __future__ import annotations

from compare import replay
from histories import History, histories
from hypothesis import HealthCheck, given, settings

DETERMINISTIC = settings(
    max_examples=800, derandomize=True, deadline=None, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip


@DETERMINISTIC
@given(histories())
def test_the_engine_equals_the_oracle(history: History) -> None:
    """Whatever comes in whatever order and encoding, every span leaves as S1 to S18 say, when they say."""
    replay(history.setup, history.events, history.step)
