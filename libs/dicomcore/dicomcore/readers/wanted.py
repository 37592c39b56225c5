"""The attributes a header is made of; all others are skipped by their length, never decoded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dicomcore.dictionary import tags_by_keyword

TEXT_KEYWORDS = (
    # identity and context
    *("SpecificCharacterSet", "ImageType", "SOPClassUID", "SOPInstanceUID", "StudyDate"),
    *("SeriesDate", "AcquisitionDate", "ContentDate", "ContentTime", "Modality", "Manufacturer"),
    *("StudyDescription", "SeriesDescription", "ManufacturerModelName", "PatientName"),
    *("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "InstanceNumber"),
    *("FrameOfReferenceUID", "ApprovalStatus"),
    # references
    *("ReferencedSOPClassUID", "ReferencedSOPInstanceUID", "ReferencedBeamNumber"),
    *("ReferencedBrachyApplicationSetupNumber", "RTPlanRelationship"),
    # plan
    *("RTPlanLabel", "RTPlanName", "RTPlanDate", "RTPlanTime", "PlanIntent", "RTPlanGeometry"),
    *("DoseReferenceDescription", "DoseReferenceType", "TargetPrescriptionDose"),
    *("NumberOfFractionsPlanned", "TreatmentMachineName", "BeamNumber", "BeamName", "BeamType"),
    *("RadiationType", "TreatmentDeliveryType", "NumberOfControlPoints", "BrachyTreatmentType"),
    *("ApplicationSetupType", "ApplicationSetupNumber", "ApplicationSetupName"),
    *("ApplicationSetupManufacturer",),
    # structure set
    *("StructureSetLabel", "StructureSetName", "StructureSetDate", "ReferencedFrameOfReferenceUID"),
    "RelatedFrameOfReferenceUID",
    # dose
    *("DoseUnits", "DoseType", "DoseSummationType"),
    # RT image
    *("RTImageLabel", "FractionNumber", "RadiationMachineName"),
    # treatment records
    *("TreatmentDate", "TreatmentTime", "CurrentFractionNumber"),
    # registration
    *("ContentLabel", "ContentDescription", "SourceFrameOfReferenceUID"),
)
"""Attributes whose values are characters (PS3.5 table 6.2-1)."""

SEQUENCE_KEYWORDS = (
    # generic references
    *("ReferencedSeriesSequence", "ReferencedImageSequence"),
    *("ReferencedInstanceSequence", "SourceImageSequence"),
    "StudiesContainingOtherReferencedInstancesSequence",
    # radiotherapy references
    *("ReferencedRTPlanSequence", "ReferencedBeamSequence", "ReferencedFractionGroupSequence"),
    *("ReferencedVerificationImageSequence", "ReferencedReferenceImageSequence"),
    *("ReferencedStructureSetSequence", "ReferencedDoseSequence"),
    *("ReferencedTreatmentRecordSequence", "ReferencedSetupImageSequence"),
    # plan
    *("DoseReferenceSequence", "FractionGroupSequence", "BeamSequence", "IonBeamSequence"),
    *("ApplicationSetupSequence", "TreatmentMachineSequence", "PatientSetupSequence"),
    # structure set
    *("ReferencedFrameOfReferenceSequence", "RTReferencedStudySequence"),
    *("RTReferencedSeriesSequence", "ContourImageSequence", "StructureSetROISequence"),
    *("ROIContourSequence", "ContourSequence", "SourceSeriesSequence"),
    *("PredecessorStructureSetSequence", "FrameOfReferenceRelationshipSequence"),
    # treatment records
    *("TreatmentSessionBeamSequence", "TreatmentSessionIonBeamSequence"),
    "TreatmentSessionApplicationSetupSequence",
    # registration
    *("RegistrationSequence", "DeformableRegistrationSequence"),
)


def _by_tag(keywords: Iterable[str]) -> Mapping[int, str]:
    tags = {tags_by_keyword().get(keyword): keyword for keyword in keywords}
    return {tag: keyword for tag, keyword in tags.items() if tag is not None}


TEXTS = _by_tag(TEXT_KEYWORDS)
SEQUENCES = _by_tag(SEQUENCE_KEYWORDS)
LAST = max(*TEXTS, *SEQUENCES)
"""Approval Status (300E,0002): nothing that is wanted at the top level comes after it."""
