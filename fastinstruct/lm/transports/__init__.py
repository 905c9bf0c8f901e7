"""The ways to a server, and what is written and read on them."""
