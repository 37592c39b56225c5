"""The reference tree of an export, as text."""

from __future__ import annotations

from pathlib import Path

from dicomcore import render
from dicomcore.export import Manifest
from dicomcore.tree import build_trees
from dicomtools.headers import read_headers


def export_tree(folder: Path, manifest: Manifest) -> str:
    """Return the tree of what one retrieval exported; replaced versions are left out."""
    files = (folder / entry.file for entry in manifest.instances if entry.newest)
    trees = build_trees(read_headers(files).headers)
    return "\n".join(render.text(tree).rstrip("\n") for tree in trees)
