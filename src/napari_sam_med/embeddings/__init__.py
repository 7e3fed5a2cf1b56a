"""Content-addressed embeddings: memory over disk, with byte budgets. No pickle."""

from napari_sam_med.embeddings.cache import CacheInfo, EmbeddingCache, default_folder
from napari_sam_med.embeddings.key import embedding_key
from napari_sam_med.embeddings.store import DiskStore

__all__ = ["CacheInfo", "DiskStore", "EmbeddingCache", "default_folder", "embedding_key"]
