"""Volumes, prompts, results and the geometry between them. Depends on numpy alone."""
