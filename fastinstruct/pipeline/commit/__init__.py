"""From an answer to a durable row: admission, and the order in which answers are committed."""
