"""pynetdicom's and pydicom's process-wide switches, set in one place."""

from __future__ import annotations

from pydicom import config
from pynetdicom import _config


def configure() -> None:
    """Set what both keep for the whole process; any number of calls, from any thread.

    Call it before an `AE` is made.
    """
    # what peers send is what they send; the warnings about it quote values, which are patients'
    config.settings.reading_validation_mode = config.IGNORE
    # any UID may be a storage class: private ones, and those younger than the library
    _config.UNRESTRICTED_STORAGE_SERVICE = True
    # its default handlers write each message, identifiers of patients included, to the log
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = False
    _config.LOG_RESPONSE_IDENTIFIERS = False
    # a UID that is none is answered with a status by whoever handles it; the library aborts
    _config.VALIDATORS["UI"] = lambda _value: (True, "")
