"""Managed variables: which label a configuration gives a span."""
