"""Which attributes are carried, and what a span says for itself. Knows nothing of trees."""
