"""What is told of a mask to the judges of the built-in model, in this order; ``builtin_judge`` tells it."""

from __future__ import annotations

NAMES = (
    *("fill", "over", "touched", "least_reach", "mean_reach", "rim", "corners"),
    *("perimeter", "thin", "thick", "bays", "doubt"),
    *("sd_in", "sd_ring", "contrast_ring", "contrast_edge", "contrast_rest", "contrast_out", "mean_in"),
    *("edge", "edge_over_box", "edge_one_way", "edge_along", "edge_inside", "edge_seen", "edge_box"),
    *(
        "same_rest",
        "same_out",
        "same_ring",
        "leak",
        "alike_out",
        "alike_rest",
        "tone_in",
        "tone_rest",
        "two_classes",
    ),
    *("beyond", "like_beyond", "like_inside", "like_rest", "goes_on"),
    *("scale", "size", "agreement", "nearest", "from_middle", "from_box_middle", "clicked", "boxed"),
)
N_FACTS = len(NAMES)
_OF_THE_NETWORK = {
    *("doubt", "tone_in", "tone_rest", "agreement", "nearest"),
    *("clicked", "from_middle", "from_box_middle"),
}
BOX_FACTS = tuple(place for place, name in enumerate(NAMES) if name not in _OF_THE_NETWORK)
"""Places of what the judge of boxes goes by: the slice alone.

What the network thinks, and what lies in the middle of the box, speaks for masks that fill it, also where they are
wrong: a judge without these facts chooses as well, and minds careless boxes less.
"""
