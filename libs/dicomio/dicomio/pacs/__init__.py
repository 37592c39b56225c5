"""The port `Pacs`: C-ECHO, C-FIND, C-MOVE, C-GET and C-STORE as a user of one peer.

Associations are negotiated with pynetdicom's PDUs; the data phase is our own, synchronous, in the
caller's thread: no thread or timer is left behind whatever the peer does, an idle timer that every
byte resets, and encoded data sets that are copied once between the socket's buffer and the caller.
"""

from dicomio.pacs.client import DicomPacs
from dicomio.pacs.peer import ClientTls, Peer
from dicomio.pacs.storing import Retry

__all__ = ["ClientTls", "DicomPacs", "Peer", "Retry"]
