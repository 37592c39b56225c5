"""The reference tree of a patient: plans, what they reference, what references them, and the rest.

Reads in this order: `nodes` (the values), `branches` and `plan_branch` (the parts), `build` (the whole),
`lines` (what people read; `dicomcore.render` puts it together).
"""

from dicomcore.tree.build import build_trees
from dicomcore.tree.nodes import PatientTree

__all__ = ["PatientTree", "build_trees"]
