"""Why a DICOM system cannot be reached, or does not deliver; and what to do about it."""
