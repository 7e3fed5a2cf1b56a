"""``napari-sam-med cache``: the embeddings kept on disk."""

from __future__ import annotations

import typer

from napari_sam_med.cli import console

app = typer.Typer(help="Show or clear the embeddings kept on disk.", no_args_is_help=True)


@app.command("info")
def info() -> None:
    """Where the cache is, how many embeddings it holds, and how much room they take."""
    from napari_sam_med.embeddings import EmbeddingCache

    held = EmbeddingCache.default().info()
    console.facts(
        [
            ("folder", str(held.folder)),
            ("embeddings", str(held.count)),
            ("size", console.size_text(held.bytes)),
            ("budget", console.size_text(held.budget)),
        ]
    )


@app.command("clear")
def clear() -> None:
    """Delete every embedding; they are made again when they are needed."""
    from napari_sam_med.embeddings import EmbeddingCache

    cache = EmbeddingCache.default()
    count = cache.info().count
    freed = cache.clear()
    console.say(f"Deleted {count} embeddings, {console.size_text(freed)}.")
