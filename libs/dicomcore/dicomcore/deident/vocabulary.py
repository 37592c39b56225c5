"""Words of radiotherapy that stay even where a name is a part of them."""

from __future__ import annotations

import re

_WORDS = frozenset(
    re.split(
        r"\s+",
        """
        abdomen accessory acetabulum adaptive adrenal afterloader airway ampulla angle anus aorta apex appendix
        applicator approved arms arteries artery atrium axial axilla backup beam bladder blood body boost boosted
        bolus bone bones boostvolume bowel bowelbag brachial brachialplex brachialplexus brachy brain brainstem
        breast breasts breath bronchus buccal cardiac carina carotid cartilage cauda caudal cavity cavernosum cervical
        cervix chest chestwall chiasm clavicle coccyx cochlea collimator colon colonsigmoid combined cone contour
        contralateral cornea coronal cortex couch cranial cribriform cricoid ctv delivery density diaphragm distal
        dose duodenum ears electron elevation energy esophagus external eyes femoral femur field fields fixation
        foramen fossa fraction fractions frontal gallbladder gantry genitals gland glnd glottis gross gtv hard head
        heart hemisphere hippocampus hip hold humerus hypothalamus iliac immobilization inferior inguinal inner
        internal iso isocenter isocentre ipsilateral itv jaw jejunum joint kidney kidneys kilovolt lacrimal larynx
        lateral left lens lips liver lobe lower lumbar lung lungs lymph lymphnode machine mandible marker markers
        mask mastoid maxilla medial mediastinum megavolt mesorectum midline mucosa muscle musculature nasal
        nasopharynx neck node nodes nodal normal nose occipital optic opticchiasm opticnerve opticnrv oral
        oralcavity orbit oropharynx ovaries ovary palate palliative pancreas parietal parotid parotids patient pelvic
        pelvis penilebulb penis pericardium phase pharynx photon pituitary plan planning plans pons port portal
        position postop posterior prescription primary prone prostate prostatebed proton ptv pulmonary quadrant rad
        range record rectal rectum reference registration renal rescan residual retina ribs right ring sacrum
        salivary scalp sagittal sclera scrotum seminal seminalvesicle setup shoulder sigmoid simulation sinus sinuses
        skin skull smallbowel spaceoar spinal spinalcord spine spleen stent sternum stomach structure structures
        submandibular subclavian superior supine support supraclavicular surgical table target temporal
        testis testes thecal thigh thorax thymus thyroid tongue tonsil trachea treatment treated trochanter tumor
        tumorbed tumour upper ureter urethra uterus vagina valve vein ventricle verification vertebra vertebrae
        volume vulva wall wedge whole wholebrain
        """.strip(),
    )
)


def is_clinical(word: str) -> bool:
    """Return whether a case-folded word is a structure, target or term of planning (AAPM TG-263)."""
    return word in _WORDS
