"""Prompt strategies: how a user's prompt is simulated from the truth of one slice."""

from napari_sam_med.prompts.clicks import next_click
from napari_sam_med.prompts.components import components
from napari_sam_med.prompts.points import VARIANTS, Variant
from napari_sam_med.prompts.strategies import STRATEGIES, Strategy, check_variant

__all__ = ["STRATEGIES", "VARIANTS", "Strategy", "Variant", "check_variant", "components", "next_click"]
