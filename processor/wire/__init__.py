"""OTLP bytes to records and back. No I/O, no policy: what a value means is decided elsewhere."""
