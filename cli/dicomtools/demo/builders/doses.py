"""RT Doses: multi-frame grids of 16 or 32 bits."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom import Dataset
from pydicom.uid import RTDoseStorage, RTStructureSetStorage

from dicomtools.demo.builders.base import (
    Person,
    Series,
    item,
    new_instance,
    reference,
    with_attributes,
)
from dicomtools.demo.phantom import dose_grid


@dataclass(frozen=True, slots=True)
class Grid:
    """The shape of a dose grid."""

    frames: int
    matrix: int
    """Rows and columns."""
    bits: int = 32

    @property
    def spacing_mm(self) -> float:
        """Isotropic; the grid covers the phantom's width whatever the matrix."""
        return 320.0 / self.matrix


@dataclass(frozen=True, slots=True)
class DoseSpec:
    """What a dose is of."""

    summation_type: str
    """Dose Summation Type (3004,000A): PLAN, BEAM, MULTI_PLAN …"""
    plans: tuple[tuple[str, str], ...] = ()
    """SOP class and instance UIDs of Referenced RT Plan Sequence (300C,0002)."""
    structure_set_uid: str | None = None
    beam_number: int | None = None


def dose(person: Person, series: Series, uid: str, spec: DoseSpec, grid: Grid) -> Dataset:
    """Return an RT Dose (PS3.3 A.18)."""
    ds = new_instance(person, series, sop_class_uid=RTDoseStorage, uid=uid)
    half = grid.spacing_mm * (grid.matrix - 1) / 2
    half_z = grid.spacing_mm * (grid.frames - 1) / 2
    ds.SliceThickness = f"{grid.spacing_mm:g}"
    ds.ImagePositionPatient = [f"{-half:.3f}", f"{-half:.3f}", f"{-half_z:.3f}"]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.NumberOfFrames = grid.frames
    ds.FrameIncrementPointer = 0x3004000C
    ds.Rows = ds.Columns = grid.matrix
    ds.PixelSpacing = [f"{grid.spacing_mm:g}"] * 2
    ds.BitsAllocated = ds.BitsStored = grid.bits
    ds.HighBit = grid.bits - 1
    ds.PixelRepresentation = 0
    ds.DoseUnits = "GY"
    ds.DoseType = "PHYSICAL"
    ds.DoseSummationType = spec.summation_type
    ds.GridFrameOffsetVector = [f"{index * grid.spacing_mm:g}" for index in range(grid.frames)]
    ds.DoseGridScaling = "0.0002"
    ds.TissueHeterogeneityCorrection = "IMAGE"
    if spec.plans:
        items = [_plan_item(plan, spec) for plan in spec.plans]
        with_attributes(ds, ReferencedRTPlanSequence=items)
    if spec.structure_set_uid:
        with_attributes(
            ds,
            ReferencedStructureSetSequence=[
                reference(RTStructureSetStorage, spec.structure_set_uid)
            ],
        )
    ds.PixelData = dose_grid(grid.frames, grid.matrix, grid.matrix, grid.spacing_mm, grid.bits)
    ds["PixelData"].VR = "OW"
    return ds


def _plan_item(plan: tuple[str, str], spec: DoseSpec) -> Dataset:
    if spec.beam_number is None:
        return reference(*plan)
    beams = [item(ReferencedBeamNumber=spec.beam_number)]
    groups = [item(ReferencedFractionGroupNumber=1, ReferencedBeamSequence=beams)]
    return reference(*plan, ReferencedFractionGroupSequence=groups)
