"""Listeners: OTLP/gRPC and OTLP/HTTP in, one `Request` type out. Knows nothing of trees."""
