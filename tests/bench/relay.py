"""The anchor of all ratios: a gRPC server that does nothing but pass each request on.

It must never change: a figure of today and one of next year are comparable only through it. One process; a threaded
grpcio server with four workers; raw bytes in a generic handler; one blocking request out for one in; grpcio's defaults
but for the message size.
"""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc  # type: ignore[import-untyped]  # grpcio ships no types
from wire import EXPORT_TRACES

_WORKERS = 4
_ANY_SIZE = [("grpc.max_receive_message_length", -1)]


class _Forward(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio has no annotations
    """Sends the bytes of every trace export downstream and returns the answer's bytes."""

    def __init__(self, channel: Any) -> None:
        send = channel.unary_unary(EXPORT_TRACES)
        self._handler = grpc.unary_unary_rpc_method_handler(lambda request, _context: send(request))

    def service(self, handler_call_details: Any) -> Any:
        return self._handler if handler_call_details.method == EXPORT_TRACES else None


def main(listen: str, downstream: str) -> None:
    """Relay from `listen` to `downstream`, both host:port, until the process is ended."""
    server = grpc.server(ThreadPoolExecutor(_WORKERS), options=_ANY_SIZE)
    server.add_generic_rpc_handlers((_Forward(grpc.insecure_channel(downstream, options=_ANY_SIZE)),))
    server.add_insecure_port(listen)
    server.start()
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
