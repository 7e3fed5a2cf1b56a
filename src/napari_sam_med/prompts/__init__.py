"""Prompt strategies: how a user's prompt is simulated from the truth of one slice."""

from napari_sam_med.prompts.strategies import STRATEGIES, Strategy

__all__ = ["STRATEGIES", "Strategy"]
