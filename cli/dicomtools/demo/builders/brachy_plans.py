"""RT Plans for brachytherapy."""

from __future__ import annotations

from pydicom import Dataset
from pydicom.uid import RTPlanStorage

from dicomtools.demo.builders.base import Person, Series, item, with_attributes
from dicomtools.demo.builders.plans import PlanSpec, plan_of_class


def brachy_plan(person: Person, series: Series, uid: str, spec: PlanSpec) -> Dataset:
    """Return an RT Plan with brachy application setups and no Beam Sequence (PS3.3 C.8.8.15)."""
    ds = plan_of_class(person, series, uid, spec, RTPlanStorage)
    group = item(
        FractionGroupNumber=1,
        NumberOfFractionsPlanned=spec.fractions,
        NumberOfBeams=0,
        NumberOfBrachyApplicationSetups=spec.beams,
        ReferencedBrachyApplicationSetupSequence=[
            item(ReferencedBrachyApplicationSetupNumber=number)
            for number in range(1, spec.beams + 1)
        ],
    )
    with_attributes(
        ds,
        FractionGroupSequence=[group],
        PatientSetupSequence=[item(PatientPosition="HFS", PatientSetupNumber=1)],
        TreatmentMachineSequence=[
            item(TreatmentMachineName=spec.machine, Manufacturer="DicomTools demo")
        ],
        SourceSequence=[
            item(
                SourceNumber=1,
                SourceType="POINT",
                SourceIsotopeName="Ir-192",
                SourceIsotopeHalfLife="73.83",
                ReferenceAirKermaRate="40000",
                SourceStrengthReferenceDate=series.study.date,
                SourceStrengthReferenceTime="080000",
            )
        ],
        ApplicationSetupSequence=[
            _application_setup(number) for number in range(1, spec.beams + 1)
        ],
    )
    ds.BrachyTreatmentTechnique = "INTRACAVITARY"
    ds.BrachyTreatmentType = "HDR"
    return ds


def _application_setup(number: int) -> Dataset:
    stops = [
        item(
            ControlPointIndex=index,
            ControlPointRelativePosition=f"{5 * index}",
            ControlPoint3DPosition=["0", "0", f"{5 * index}"],
            CumulativeTimeWeight=f"{100 * index}",
        )
        for index in range(2)
    ]
    channel = item(
        ChannelNumber=1,
        ChannelLength="1000",
        ChannelTotalTime="100",
        TransferTubeNumber=None,
        SourceMovementType="STEPWISE",
        SourceApplicatorNumber=1,
        SourceApplicatorID="A1",
        SourceApplicatorType="RIGID",
        SourceApplicatorLength="200",
        SourceApplicatorStepSize="5",
        ReferencedSourceNumber=1,
        NumberOfControlPoints=2,
        FinalCumulativeTimeWeight="100",
        BrachyControlPointSequence=stops,
    )
    return item(
        ApplicationSetupType="RECTAL",
        ApplicationSetupNumber=number,
        ApplicationSetupName=f"Setup {number}",
        TotalReferenceAirKerma="100",
        ChannelSequence=[channel],
    )
