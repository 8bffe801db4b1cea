from __future__ import annotations
from compare import replay
from engine import Setup
from oracle import Delivery
from build import *

def test_smoke():
    replay(Setup(max_wait_s=93.0), [Delivery(5.0, request(span(3,2),span(2,1,{"user.id":5}))), Delivery(15.0, request(span(1,0,{"gen_ai.user":"u"}))), Delivery(25.0, request(span(9,8))), 205.0])
