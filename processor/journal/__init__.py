"""A crash-safe, bounded log of items on disk. Knows nothing of spans, trees or exporters."""
