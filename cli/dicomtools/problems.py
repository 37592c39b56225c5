"""What ends a command, in words for the person at the terminal; the command line's error table."""

from __future__ import annotations

from dicomcore.errors import (
    BusUnavailable,
    Conflict,
    DicomToolsError,
    IndexUnavailable,
    InvalidInstance,
    InvalidRequest,
    InvalidUid,
    KeyValueUnavailable,
    NotFound,
    ObjectStoreFull,
    ObjectStoreUnavailable,
    PeerRefused,
    PeerUnavailable,
    Rejected,
    SopClassMismatch,
    Unavailable,
    Unreadable,
)


class CommandProblem(InvalidRequest):
    """What the user asked for cannot be done as asked.

    Parameters
    ----------
    words
        For the user's own terminal only: they may quote what the user typed, a path or a label
        for example. They are no part of `str(error)`, so that a log cannot pick them up.
    """

    def __init__(self, words: str) -> None:
        super().__init__("the command cannot be carried out as it was given")
        self.words = words


_ADVICE: tuple[tuple[type[DicomToolsError], str], ...] = (
    # The first class that fits counts: the special before the general.
    (ObjectStoreFull, "The disk is (nearly) full. Make room, then run the same command again."),
    (
        ObjectStoreUnavailable,
        "The folder that holds the objects cannot be used. Check that it exists and that you may "
        "write to it, then run the same command again.",
    ),
    (
        PeerUnavailable,
        "The DICOM system did not answer. Check --hostName and --hostPort, the firewall, and that "
        "its DICOM service is running. What has arrived is kept: run the same command again.",
    ),
    (
        BusUnavailable,
        "The event store cannot be used. Check the disk, then run the same command again.",
    ),
    (
        KeyValueUnavailable,
        "The job store cannot be used. Check the disk, then run the same command again.",
    ),
    (
        IndexUnavailable,
        "The index cannot be used. It can be rebuilt from the objects; none of them is lost.",
    ),
    (Unavailable, "Something this command needs is away. Run the same command again later."),
    (
        PeerRefused,
        "The DICOM system refused. Check that --callingAet is registered there with this "
        "computer's address and port, that --calledAet is its name, and that Query/Retrieve is "
        "allowed.",
    ),
    (InvalidUid, "A UID in the request or in the answer is not valid."),
    (InvalidInstance, "An object lacks what identifies it; it cannot be used."),
    (SopClassMismatch, "An object is not of the kind it was announced as; it cannot be used."),
    (Unreadable, "An object or a file cannot be read as DICOM."),
    (Conflict, "Another program changed the same data at the same moment. Run the command again."),
    (InvalidRequest, "The request cannot be carried out as it was given."),
    (Rejected, "The request was rejected; the same request will fail again."),
    (NotFound, "What was asked for does not exist."),
)


def advice(error: DicomToolsError, *, facts: bool = True) -> str:
    """Return what the user can do about an error, in one or two sentences.

    Parameters
    ----------
    facts
        Whether UIDs and keys of originals may be shown.
    """
    if isinstance(error, CommandProblem):
        return error.words
    words = next((text for kind, text in _ADVICE if isinstance(error, kind)), "")
    said = str(error) if facts else error.sentence
    return f"{words} [{said}]" if words else said


def fault_of_ours(error: Exception) -> str:
    """Return what is said of an error that nobody foresaw: its kind and place, not its message.

    The message may quote what an object holds.
    """
    place = ""
    import traceback  # what is rarely needed, and takes a while to load
    from pathlib import PurePath

    if frames := traceback.extract_tb(error.__traceback__):
        place = f" at {PurePath(frames[-1].filename).name}:{frames[-1].lineno}"
    return (
        f"A fault of this program ({type(error).__name__}{place}); what has arrived is kept. "
        "Please report it with these words."
    )
