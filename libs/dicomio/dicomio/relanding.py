"""Turn a stored object back into what was received, so that it can be landed, and announced, again."""

from __future__ import annotations

from dicomcore.keys import parse_object_key
from dicomcore.ports import ObjectStore
from dicomcore.readers.part10 import open_object
from dicomcore.received import Received


def received_again(store: ObjectStore, key: str) -> Received:
    """Return the object under `key` as its C-STORE request brought it.

    Landing it gives the same digest, so the same object; what is new is its announcement.

    Raises
    ------
    NotFound, ObjectStoreUnavailable
        From the store.
    InvalidRequest, Unreadable
        The key is not an instance's, or the object is none of ours.
    """
    uid = parse_object_key(key).ref.sop_instance_uid
    body = store.get(key)
    opened = open_object(body)
    return Received(
        sop_class_uid=opened.sop_class_uid,
        sop_instance_uid=uid,
        transfer_syntax_uid=opened.transfer_syntax_uid,
        data=memoryview(body)[opened.start :],
    )
