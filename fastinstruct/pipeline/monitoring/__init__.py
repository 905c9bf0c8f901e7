"""How a run is doing, and what the process that carries it does."""
