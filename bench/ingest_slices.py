"""The slices that `ingest.py` sends, how they are sent, and what is noted of it."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from tests.factories import part10
from tests.peers.processes import required_program

ROOT = "2.25.71006"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ASSOCIATIONS = (4, 1)
GB = 1e9


@dataclass
class Figure:
    """What one receiver did over one number of associations."""

    rates: list[float] = field(default_factory=list)
    cpu_s_per_gb: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    @property
    def cpu(self) -> float:
        return statistics.median(self.cpu_s_per_gb) if self.cpu_s_per_gb else float("nan")


def make_slices(folder: Path, count: int, parts: int) -> int:
    """Write Part 10 files into `folder`/0 … `folder`/`parts`-1; return the size of one."""
    size = 0
    for number in range(count):
        dataset = Dataset()
        dataset.SOPClassUID = CT_IMAGE
        dataset.SOPInstanceUID = f"{ROOT}.3.{number}"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{ROOT}.1", f"{ROOT}.2"
        dataset.FrameOfReferenceUID = f"{ROOT}.4"
        dataset.PatientID, dataset.PatientName, dataset.Modality = "MADE-UP", "Made^Up", "CT"
        dataset.StudyDate, dataset.StudyTime = "20260101", "120000"
        dataset.Manufacturer, dataset.SeriesDescription = "Nobody", "Planning"
        dataset.ImagePositionPatient, dataset.InstanceNumber = [0, 0, number], number + 1
        dataset.ImageOrientationPatient, dataset.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.98, 0.98]
        dataset.SliceThickness, dataset.KVP, dataset.RescaleSlope = 2, 120, 1
        dataset.Rows = dataset.Columns = 512
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
        dataset.PixelRepresentation, dataset.SamplesPerPixel = 0, 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.add_new(0x7FE00010, "OW", os.urandom(512 * 512 * 2))
        body = part10(dataset, ExplicitVRLittleEndian)
        path = folder / str(number * parts // count) / f"{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        size = len(body)
    return size


def send_all(folder: Path, port: int, ae_title: str, associations: int) -> float:
    """Send every slice in `folder`; return the seconds it took."""
    folders = [str(folder / str(number)) for number in range(max(ASSOCIATIONS))]
    started = time.perf_counter()
    senders = [
        subprocess.Popen(
            [
                *(required_program("dcmsend"), "-aec", ae_title, "127.0.0.1", str(port)),
                *("+sd", "+r", *folders[number::associations]),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for number in range(associations)
    ]
    outputs = [sender.communicate(timeout=600)[0] for sender in senders]
    seconds = time.perf_counter() - started
    if any(sender.returncode for sender in senders):
        raise SystemExit(b"\n".join(outputs)[-2000:].decode(errors="replace"))
    return seconds
