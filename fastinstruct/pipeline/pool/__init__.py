"""The task pool, and what is asked next."""
