"""span-processor: an OpenTelemetry sidecar that says whose every span is.

Read `processor/README.md` for the way of a span through the rooms.
"""

__version__ = "0.1.0"
