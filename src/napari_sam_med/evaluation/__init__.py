"""Simulated prompts over real volumes with truth: scores, factors, statistics and comparisons."""
