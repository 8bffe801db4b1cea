"""The processor's own metrics."""
