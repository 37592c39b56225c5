"""Which storage SOP classes a C-GET offers: those C-FIND reported, else those of the modality."""

from __future__ import annotations

from collections.abc import Iterable

from pydicom import uid

HALCYON_PLAN = "1.2.246.352.70.1.70"

_BY_MODALITY: dict[str, tuple[str, ...]] = {
    "RTPLAN": (
        uid.RTPlanStorage,
        uid.RTIonPlanStorage,
        uid.RTBrachyApplicationSetupDeliveryInstructionStorage,
        HALCYON_PLAN,
    ),
    "RTSTRUCT": (uid.RTStructureSetStorage,),
    "RTDOSE": (uid.RTDoseStorage,),
    "RTIMAGE": (uid.RTImageStorage, uid.ComputedRadiographyImageStorage),
    "RTRECORD": (
        uid.RTBeamsTreatmentRecordStorage,
        uid.RTIonBeamsTreatmentRecordStorage,
        uid.RTBrachyTreatmentRecordStorage,
        uid.RTTreatmentSummaryRecordStorage,
    ),
    "REG": (uid.SpatialRegistrationStorage, uid.DeformableSpatialRegistrationStorage),
    "CT": (
        uid.CTImageStorage,
        uid.EnhancedCTImageStorage,
        uid.LegacyConvertedEnhancedCTImageStorage,
        uid.SecondaryCaptureImageStorage,
    ),
    "MR": (
        uid.MRImageStorage,
        uid.EnhancedMRImageStorage,
        uid.LegacyConvertedEnhancedMRImageStorage,
        uid.SecondaryCaptureImageStorage,
    ),
    "PT": (
        uid.PositronEmissionTomographyImageStorage,
        uid.EnhancedPETImageStorage,
        uid.LegacyConvertedEnhancedPETImageStorage,
        uid.SecondaryCaptureImageStorage,
    ),
    "NM": (uid.NuclearMedicineImageStorage,),
    "US": (uid.UltrasoundImageStorage, uid.UltrasoundMultiFrameImageStorage),
    "SEG": (uid.SegmentationStorage,),
}

_FREQUENT: tuple[str, ...] = (
    *(u for classes in _BY_MODALITY.values() for u in classes),
    uid.DigitalXRayImageStorageForPresentation,
    uid.DigitalXRayImageStorageForProcessing,
    uid.XRayAngiographicImageStorage,
    uid.XRayRadiofluoroscopicImageStorage,
    uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    uid.MultiFrameTrueColorSecondaryCaptureImageStorage,
    uid.EncapsulatedPDFStorage,
    uid.BasicTextSRStorage,
    uid.EnhancedSRStorage,
    uid.ComprehensiveSRStorage,
    uid.XRayRadiationDoseSRStorage,
    uid.KeyObjectSelectionDocumentStorage,
    uid.GrayscaleSoftcopyPresentationStateStorage,
    uid.RawDataStorage,
    uid.SurfaceSegmentationStorage,
    uid.RTBeamsDeliveryInstructionStorage,
)


def classes_for(reported: Iterable[str], modality: str) -> list[str]:
    """Return the SOP classes to offer, those that were reported first, each once.

    Where the PACS did not report the class of every instance, the classes of the modality, or of
    everything frequent, are offered beside.
    """
    reported = list(reported)
    classes = [u for u in reported if u]
    if not classes or len(classes) < len(reported):
        classes += _BY_MODALITY.get(modality, _FREQUENT)
    return list(dict.fromkeys(str(u) for u in classes))
