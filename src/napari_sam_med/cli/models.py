"""``napari-sam-med models``: what can be given to ``--model``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_sam_med.cli import console


def models() -> None:
    """List the models, their licences, and whether their weights are here."""
    from napari_sam_med.models import describe_models

    rows = describe_models()
    console.table(
        ("name", "title", "licence", "size", "weights"),
        [
            (
                row["name"],
                row["title"],
                row["licence"],
                console.size_text(row["size_bytes"]),
                _weights(row),
            )
            for row in rows
        ],
        right=("size",),
    )
    console.say(
        "\n--model also takes a SAM checkpoint (.pth) or weights of the built-in model (.safetensors)."
    )


def _weights(row: Mapping[str, Any]) -> str:
    if row["installed"]:
        return str(row["path"])
    return f"downloaded at first use from {row['url']}" if row["url"] else f"missing: {row['path']}"
