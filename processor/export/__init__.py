"""The way out: a bounded queue, retry, and one client a protocol. Knows nothing of trees."""
