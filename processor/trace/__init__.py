"""Trace trees: who inherits what, and when to let go. No I/O, no bytes layout; time is a parameter."""
