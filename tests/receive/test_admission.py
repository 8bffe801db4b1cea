from __future__ import annotations

import pytest

from processor.errors import ComeBackLater, RequestTooLarge, SenderError
from processor.receive.admission import REFUSALS, Admission, Hold, RequestLoop
from processor.signals import HOP_HEADER


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_bytes_are_counted_until_the_answer():
    """S17: what is in flight is what entered and has not left."""
    admission = Admission(100)
    admission.enter(60)
    admission.enter(40)
    assert 100 == admission.in_flight_bytes
    admission.leave(60)
    assert 40 == admission.in_flight_bytes


def test_a_request_over_the_limit_comes_back_later():
    """S26: a request that finds no room is refused retryably, counted, and takes no room."""
    admission = Admission(100)
    admission.enter(60)
    with pytest.raises(ComeBackLater) as refused:
        admission.enter(41)
    assert 1 == refused.value.retry_after_s
    assert 60 == admission.in_flight_bytes
    assert 1 == admission.refused["memory"]


def test_a_lasting_overload_asks_for_two_seconds():
    """S26: 1 s at first, 2 s when the overload has lasted, 1 s again after it was over."""
    clock = Clock()
    admission = Admission(100, clock=clock)
    waits = []

    def refuse() -> None:
        with pytest.raises(ComeBackLater) as refused:
            admission.enter(41)
        waits.append(refused.value.retry_after_s)

    admission.enter(60)
    for now in (100.0, 104.9, 105.0, 500.0):
        clock.now = now
        refuse()
    admission.leave(60)
    admission.enter(60)
    refuse()
    assert [1, 1, 2, 2, 1] == waits


def test_a_request_that_can_never_enter_is_the_senders_fault():
    """R8: what even an idle process has no room for is too large: coming back would not help."""
    admission = Admission(100)
    with pytest.raises(RequestTooLarge, match="101 bytes"):
        admission.enter(101)


def test_draining_refuses_new_requests_and_lets_old_ones_grow():
    """S29: with `draining` set, each new request is refused retryably; one that is in may finish."""
    admission = Admission(100)
    hold = Hold(admission, 10)
    admission.draining = True
    with pytest.raises(ComeBackLater) as refused:
        admission.enter(1)
    assert 2 == refused.value.retry_after_s
    assert 1 == admission.refused["draining"]
    hold.cover(50)
    assert 50 == admission.in_flight_bytes


def test_a_hold_grows_and_gives_everything_back_once():
    """S17: a hold covers the most it was asked for; releasing twice gives back once."""
    admission = Admission(100)
    hold = Hold(admission, 10)
    hold.cover(30)
    hold.cover(20)
    assert 30 == admission.in_flight_bytes
    hold.release()
    hold.release()
    assert 0 == admission.in_flight_bytes


def test_a_hold_that_cannot_grow_keeps_what_it_has():
    """S26: growth over the limit is refused; over the whole limit it is the sender's fault."""
    admission = Admission(100)
    admission.enter(60)
    hold = Hold(admission, 30)
    with pytest.raises(ComeBackLater):
        hold.cover(41)
    with pytest.raises(RequestTooLarge):
        hold.cover(101)
    assert 90 == admission.in_flight_bytes
    hold.release()
    assert 60 == admission.in_flight_bytes


@pytest.mark.parametrize(
    ("path", "is_loop"),
    [("me", True), ("a, me ,b", True), ("you", False), ("mean,ame", False), ("", False), (None, False)],
)
def test_a_request_that_came_through_here_is_refused_for_good(path: str | None, is_loop: bool):
    """S30: a hop header that lists this process's id is a loop; any other is not."""
    admission = Admission(100, hop="me")
    headers = {} if path is None else {HOP_HEADER: path}
    if not is_loop:
        admission.check_hop(headers)
        return
    with pytest.raises(RequestLoop, match="span-processor me"):
        admission.check_hop(headers)
    assert 1 == admission.refused["loop"]


def test_without_an_id_nothing_is_a_loop():
    """S30: an empty id matches no header, not even an empty one."""
    Admission(100).check_hop({HOP_HEADER: ",,"})


def test_reasons_are_a_closed_list():
    """The counter knows every reason from the start, and a loop is the sender's fault."""
    assert set(REFUSALS) == set(Admission(1).refused)
    assert issubclass(RequestLoop, SenderError)
