"""How people write durations, sizes and addresses in a variable. Pure functions that raise `ValueError`."""

from __future__ import annotations

import re

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_NUMBER_AND_UNIT = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")


def parse_duration(value: object) -> object:
    """`500ms`, `30s`, `10m`, `1h` to seconds; numbers are seconds already."""
    if not isinstance(value, str):
        return value
    match = _NUMBER_AND_UNIT.fullmatch(value.strip())
    if match is None or match[2] not in _SECONDS:
        raise ValueError("must be a duration such as 500ms, 30s or 10m")
    return float(match[1]) * _SECONDS[match[2]]


def parse_size(value: object) -> object:
    """`64MiB`, `1GiB`, `4096` to bytes."""
    if not isinstance(value, str):
        return value
    match = _NUMBER_AND_UNIT.fullmatch(value.strip())
    units = {unit.lower(): factor for unit, factor in _BYTES.items()}
    if match is None or match[2].lower() not in units:
        raise ValueError("must be a size such as 64MiB or 1GiB")
    return int(float(match[1]) * units[match[2].lower()])


def parse_endpoint(value: object) -> object:
    """`host:port`, `[::1]:port` or `off`; the port may be 0 (the system chooses)."""
    if not isinstance(value, str) or value.lower() == "off":
        return value if not isinstance(value, str) else "off"
    host, colon, port = value.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not colon or not bare or not port.isascii() or not port.isdigit() or int(port) > 65535 or "/" in host:
        raise ValueError("must be host:port such as 127.0.0.1:4317, or off")
    if ":" in bare and not host.startswith("["):
        raise ValueError("must have an IPv6 address in brackets, such as [::1]:4317")
    return value


def split_endpoint(endpoint: str) -> tuple[str, int]:
    """A valid `host:port` as its parts, without brackets."""
    host, _, port = endpoint.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def format_duration(seconds: float) -> str:
    """The shortest form that `parse_duration` reads back."""
    if seconds and seconds < 1:
        return f"{seconds * 1000:g}ms"
    for unit in ("h", "m"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:g}{unit}"
    return f"{seconds:g}s"


def format_size(size: int) -> str:
    """The shortest form that `parse_size` reads back."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return str(size)
