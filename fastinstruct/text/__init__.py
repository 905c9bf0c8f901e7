"""Prompts out, candidates in, heuristic filters: pure functions.

Knows nothing of networks, databases or runs. Only seeds and prompt templates are read from files.
"""
