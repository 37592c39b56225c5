"""Small pictures of images, RT images and doses, rendered here: pixels in, PNG out."""

from indexer.thumbnails.picture import RENDERER, thumbnail

__all__ = ["RENDERER", "thumbnail"]
