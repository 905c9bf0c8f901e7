"""Ways to look at a run, as plain values: what the verbs of the command line print, and what else may show them."""
