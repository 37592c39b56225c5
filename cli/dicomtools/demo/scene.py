"""Studies, series and images of a made-up patient, and what is drawn on and registered to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydicom import Dataset

from dicomcore.uids import parse_ref
from dicomtools.demo.builders import images, registrations, structures
from dicomtools.demo.builders.base import ImageSet, Person, Series, Study
from dicomtools.demo.identity import made_up_uid
from dicomtools.demo.made_up import MadeUpInstance, Role
from dicomtools.demo.sizes import Sizes

SliceBuilder = Callable[[Person, Series, images.Slice], Dataset]


@dataclass(slots=True)
class Imaging:
    """An image series, the structure set on it, and what is registered to their frame."""

    images: ImageSet
    structure_set_uid: str
    roles: dict[str, Role]


class Scene:
    """Adds images, structure sets and registrations; keeps every instance in the order of making."""

    def __init__(self, person: Person, sizes: Sizes, *, seed: int) -> None:
        self.person = person
        self.sizes = sizes
        self.instances: list[MadeUpInstance] = []
        self._root = (seed, person.patient_id, sizes)
        self._series_in: dict[str, int] = {}

    def study(self, name: str, date: str, description: str) -> Study:
        """Return a new study; `name` makes its UID."""
        return Study(made_up_uid(*self._root, name), date, description, name)

    def frame(self, name: str) -> str:
        """Return the Frame of Reference UID of this name."""
        return made_up_uid(*self._root, "frame", name)

    def series(self, study: Study, modality: str, description: str, frame: str = "") -> Series:
        """Return the next series of a study."""
        number = self._series_in.get(study.uid, 0) + 1
        self._series_in[study.uid] = number
        return Series(study, made_up_uid(study.uid, number), modality, description, number, frame)

    def image_series(
        self, series: Series, build: SliceBuilder, *, slices: int, matrix: int, spacing_mm: float
    ) -> ImageSet:
        """Add an image series of `slices` (scaled) slices around the isocentre."""
        count = self.sizes.slices(slices)
        uids, positions, sop_class_uid = [], [], ""
        for index in range(count):
            z_mm = (index - (count - 1) / 2) * spacing_mm
            uid = made_up_uid(series.uid, index)
            at = images.Slice(uid, index, z_mm, spacing_mm, self.sizes.matrix(matrix))
            dataset = build(self.person, series, at)
            self.add(dataset)
            uids.append(uid)
            positions.append(z_mm)
            sop_class_uid = str(dataset.SOPClassUID)
        return ImageSet(series, sop_class_uid, tuple(uids), tuple(positions))

    def pet(self, series: Series, *, slices: int, matrix: int, spacing_mm: float) -> ImageSet:
        """Add a PET series."""
        count = self.sizes.slices(slices)

        def build(person: Person, series: Series, at: images.Slice) -> Dataset:
            return images.pet_slice(person, series, at, slices=count)

        return self.image_series(series, build, slices=slices, matrix=matrix, spacing_mm=spacing_mm)

    def imaging(self, image_set: ImageSet, study: Study, label: str) -> Imaging:
        """Add a structure set on an image series."""
        uid = self._structure_set(image_set, study, label)
        roles = dict.fromkeys(image_set.uids, Role.IMAGE)
        return Imaging(image_set, uid, {uid: Role.STRUCTURE_SET, **roles})

    def register(
        self,
        imaging: Imaging,
        moving: ImageSet,
        study: Study,
        *,
        deformable: bool = False,
        structure_set_label: str = "",
    ) -> None:
        """Add a registration of `moving` onto the planning images; with a structure set on it."""
        series = self.series(
            study,
            "REG",
            f"{moving.series.modality} to planning CT",
            imaging.images.series.frame_of_reference_uid,
        )
        uid = made_up_uid(series.uid, 0)
        build = (
            registrations.deformable_registration
            if deformable
            else registrations.spatial_registration
        )
        self.add(build(self.person, series, uid, fixed=imaging.images, moving=moving))
        imaging.roles[uid] = Role.REGISTRATION
        imaging.roles.update(dict.fromkeys(moving.uids, Role.REGISTERED_IMAGE))
        if structure_set_label:
            other = self._structure_set(moving, study, structure_set_label)
            imaging.roles[other] = Role.REGISTERED_STRUCTURE_SET

    def unrelated(self, study: Study) -> None:
        """Add a scout, a secondary capture and a PDF: nothing that any plan references."""
        scout = self.series(study, "CT", "Scout", self.frame(f"scout {study.study_id}"))
        self.image_series(scout, images.scout, slices=1, matrix=512, spacing_mm=1.0)
        capture = self.series(study, "OT", "Screenshot")
        uid, rows = made_up_uid(capture.uid, 0), self.sizes.matrix(512)
        self.add(images.secondary_capture(self.person, capture, uid, rows=rows))
        paper = self.series(study, "DOC", "Report")
        self.add(registrations.report(self.person, paper, made_up_uid(paper.uid, 0)))

    def add(self, dataset: Dataset) -> None:
        """Add any instance."""
        ref = parse_ref(dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID)
        instance = MadeUpInstance(ref, str(dataset.SOPClassUID), str(dataset.Modality), dataset)
        self.instances.append(instance)

    def _structure_set(self, image_set: ImageSet, study: Study, label: str) -> str:
        frame = image_set.series.frame_of_reference_uid
        series = self.series(study, "RTSTRUCT", label, frame)
        uid = made_up_uid(series.uid, 0)
        self.add(structures.structure_set(self.person, series, uid, label=label, images=image_set))
        return uid
