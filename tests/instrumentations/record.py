"""Records the programs in `applications/`, or those that are named, with the libraries that each asks for: `make record`

Each runs in an environment of its own, for their libraries cannot be installed beside each other.
The model they call is a server on loopback that gives one answer.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
APPLICATIONS = HERE / "applications"
BUILT = HERE.parent.parent / "build" / "instrumentations"
sys.path.append(str(HERE.parent / "e2e"))

from recording import clean, record, write  # noqa: E402  # after the path is set

COMPLETION = {
    "id": "c-1",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "m",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


class Model(BaseHTTPRequestHandler):
    """A model that always says the same."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        body = json.dumps(COMPLETION).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


def install_python(application: Path) -> list[str]:
    """Make the application's environment from what is written at its top; the command to run it."""
    block = re.search(r"(?ms)^# /// script\n(.*?)^# ///$", application.read_text(encoding="utf-8"))
    assert block is not None, application
    metadata = tomllib.loads(re.sub(r"(?m)^# ?", "", block[1]))
    python = BUILT / application.stem / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(BUILT / application.stem)], check=True)
    pip = (str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check")
    subprocess.run([*pip, *metadata["dependencies"]], check=True)
    return [str(python), str(application)]


def install_js(application: Path) -> list[str]:
    """Install beside a copy of the application, where Node looks; the command to run it."""
    target = BUILT / application.name
    shutil.copytree(application, target, dirs_exist_ok=True)
    subprocess.run(["npm", "ci", "--silent", "--ignore-scripts"], cwd=target, check=True)
    return ["node", str(target / "application.mjs")]


def main(names: list[str]) -> None:
    """Write every recording anew, or those that are named."""
    model = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    threading.Thread(target=model.serve_forever, daemon=True).start()
    environment = {
        "OPENAI_BASE_URL": f"http://127.0.0.1:{model.server_address[1]}/v1",
        "OPENAI_API_KEY": "any",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "{sink}",
        "OTEL_SERVICE_NAME": "shop",
    }
    for application in sorted(APPLICATIONS.iterdir()):
        if not names or application.stem in names:
            install = install_js if application.is_dir() else install_python
            requests = record(install(application), "http/protobuf", environment)
            for request in requests:
                clean(request)
            write(HERE / "recorded" / f"{application.stem}.bin", requests)
    model.shutdown()


if __name__ == "__main__":
    main(sys.argv[1:])
