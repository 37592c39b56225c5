"""The object store on S3: MinIO, SeaweedFS, Ceph, AWS. The only module that knows minio."""

from __future__ import annotations

import re
import ssl
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import SplitResult, quote, urlsplit
from uuid import uuid4

import urllib3
from minio import Minio
from minio.credentials.credentials import Credentials
from minio.error import MinioException, S3Error
from minio.signer import sign_v4_s3
from urllib3.exceptions import HTTPError

from dicomcore.errors import (
    InvalidRequest,
    NotFound,
    ObjectStoreFull,
    ObjectStoreUnavailable,
)
from dicomcore.keys import check_key, check_prefix
from dicomcore.ports import ObjectStat
from dicomio.kept_connections import KeptConnections, Server
from dicomio.parts import CHUNK_BYTES, Parts, PartsReader
from dicomio.usage import UsageEstimate

MULTIPART_BYTES = 64 << 20
"""An object above it is uploaded in parts, each of which can be tried again by itself."""
_PART_BYTES = 16 << 20
MAX_OBJECT_BYTES = 10_000 * _PART_BYTES
"""S3 takes 10,000 parts."""
_PUT_ATTEMPTS = 5
_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_NOT_FOUND = {"NoSuchKey", "NoSuchObject"}
_INVALID = {"KeyTooLongError", "XMinioInvalidObjectName", "InvalidObjectName", "EntityTooLarge"}
_FULL = {
    "InsufficientStorage",
    "QuotaExceeded",
    "XMinioStorageFull",
    "XMinioAdminBucketQuotaExceeded",
}


@dataclass(frozen=True, slots=True)
class S3Options:
    """Where a bucket is and how to reach it."""

    endpoint: str
    """`host:port`."""
    bucket: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"
    """Given, so that the client does not ask for the region of each bucket."""
    secure: bool = True
    ca_file: Path | None = None
    """PEM; None: the system's authorities."""
    connect_timeout_s: float = 3.0
    read_timeout_s: float = 30.0
    retries: int = 2
    """After the first try; every request here may be repeated."""
    pool_size: int = 64
    """Connections; at least as many as there are threads that use the store."""
    public_url: str = ""
    """`https://host[:port]`, as callers reach the same server; empty: as we do. Addresses that are
    signed for them carry it, for the host's name is part of what is signed."""
    capacity_bytes: int | None = None
    """What the bucket may hold; above it a put raises `ObjectStoreFull`. S3 itself does not tell."""


@dataclass(frozen=True, slots=True)
class _Server:
    """What a server can do on PUT; older ones ignore what they do not know."""

    is_conditional: bool
    """`If-None-Match: *`."""
    checks_sha256: bool
    """`x-amz-checksum-sha256`."""


def _server(base: SplitResult, options: S3Options) -> Server:
    tls = ssl.create_default_context(cafile=options.ca_file) if options.secure else None
    return Server(
        host=base.hostname or "",
        port=base.port or (443 if options.secure else 80),
        connect_timeout_s=options.connect_timeout_s,
        read_timeout_s=options.read_timeout_s,
        tls=tls,
    )


class S3Store:
    """`ObjectStore` in one bucket.

    `put` is one conditional PUT (`If-None-Match: *`), which the server decides. Whether the server
    knows it is tried once, on a key of its own below `probe/`; where it does not, a HEAD goes before
    the PUT, and of two writers at one key the last one wins: harmless for keys with a content digest.
    So it is with large objects, which are uploaded in parts: few servers know a condition there.

    A PUT whose answer is lost is sent again, and then finds its own object: it returns False.

    Raises
    ------
    InvalidRequest
        The bucket or the endpoint cannot be one.
    """

    def __init__(self, options: S3Options) -> None:
        if not options.endpoint or _BUCKET_NAME.fullmatch(options.bucket) is None:
            raise InvalidRequest("not an address of a bucket", length=len(options.bucket))
        self._bucket = options.bucket
        self._capacity_bytes = options.capacity_bytes
        self._http = urllib3.PoolManager(
            maxsize=options.pool_size,
            block=True,
            blocksize=1 << 18,
            timeout=urllib3.Timeout(connect=options.connect_timeout_s, read=options.read_timeout_s),
            retries=urllib3.Retry(
                total=options.retries,
                backoff_factor=0.2,
                status_forcelist=(500, 502, 503, 504),
                allowed_methods=None,
                # the last answer says more than "too many retries"
                raise_on_status=False,
            ),
            cert_reqs="CERT_REQUIRED",
            ca_certs=None if options.ca_file is None else str(options.ca_file),
        )
        self._client = self._client_at(options.endpoint, options, secure=options.secure)
        self._signer = self._client
        if options.public_url:
            public = urlsplit(options.public_url)
            extra = public.path.strip("/") or public.query
            if public.scheme not in ("http", "https") or not public.netloc or extra:
                raise InvalidRequest("the public address is not https://host or https://host:port")
            self._signer = self._client_at(public.netloc, options, secure=public.scheme == "https")
        self._region = options.region
        self._credentials = Credentials(options.access_key, options.secret_key)
        # whether the bucket is in the host's name or in the path, the client knows
        address = urlsplit(self._client.get_presigned_url("PUT", options.bucket, "k"))
        self._base = address._replace(path=address.path.removesuffix("k"), query="")
        self._quick = KeptConnections(_server(self._base, options))
        self._usage = UsageEstimate(lambda start_after: self.list("", start_after=start_after))
        self._known: _Server | None = None

    def _client_at(self, endpoint: str, options: S3Options, *, secure: bool) -> Minio:
        try:
            return Minio(
                endpoint,
                access_key=options.access_key,
                secret_key=options.secret_key,
                region=options.region,
                secure=secure,
                http_client=self._http,
            )
        except ValueError as exc:
            raise InvalidRequest("not an endpoint of an object store") from exc

    def ensure_bucket(self) -> None:
        """Make the bucket if it is absent."""
        with mapped_errors():
            if self._client.bucket_exists(self._bucket):
                return
            try:
                self._client.make_bucket(self._bucket)
            except S3Error as exc:
                if exc.code not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                    raise

    def put(self, key: str, parts: Sequence[bytes | memoryview], *, sha256: str = "") -> bool:
        check_key(key)
        body = Parts(parts)
        if body.size_bytes > MAX_OBJECT_BYTES:
            raise InvalidRequest("object is too large", size_bytes=body.size_bytes)
        self._refuse_above_capacity(body.size_bytes)
        server = self._server()
        sha256 = sha256 if server.checks_sha256 else ""
        if server.is_conditional and body.size_bytes <= MULTIPART_BYTES:
            created = self._put(key, body, sha256)
        else:
            created = not self._exists(key)
            if created and body.size_bytes <= MULTIPART_BYTES:
                self._put(key, body, sha256, conditional=False)
            elif created:
                self._put_in_parts(key, body)
        if created:
            self._usage.written(body.size_bytes)
        return created

    def get(self, key: str) -> bytes:
        return self._read(check_key(key))

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0:
            raise InvalidRequest("range is negative", offset=offset, length=length)
        if length == 0:
            self.stat(key)
            return b""
        return self._read(check_key(key), offset=offset, length=length)

    def stat(self, key: str) -> ObjectStat:
        with mapped_errors(key):
            found = self._client.stat_object(self._bucket, check_key(key))
            return _stat(key, found.size, found.last_modified)

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectStat]:
        return self._list(check_prefix(prefix), start_after)

    def delete(self, key: str) -> None:
        with mapped_errors(key):
            self._client.remove_object(self._bucket, check_key(key))

    def presign(self, key: str, *, expires_s: int) -> str | None:
        with mapped_errors(key):
            return self._signer.presigned_get_object(
                self._bucket, check_key(key), expires=timedelta(seconds=expires_s)
            )

    def fill_ratio(self) -> float | None:
        if self._capacity_bytes is None:
            return None
        return self._usage.used_bytes() / self._capacity_bytes

    def close(self) -> None:
        self._http.clear()
        self._quick.close()

    def _put(self, key: str, body: Parts, sha256: str, *, conditional: bool = True) -> bool:
        """PUT, signed; return whether it was new.

        The client's own put takes one contiguous buffer and no conditions; this one streams the parts
        as they are. A checksum lets the server refuse what was damaged on the way: `sha256`, which is
        part of what is signed, or else Content-MD5. The signature is in headers: with a presigned
        address, urllib3 takes longer to look through it than the body takes to be hashed.
        """
        headers = {
            "Content-Type": _content_type(key),
            "Content-Length": str(body.size_bytes),
        }
        if not sha256:
            headers["Content-MD5"] = body.md5_base64()
        if conditional:
            headers["If-None-Match"] = "*"
        url = self._base._replace(path=f"{self._base.path}{quote(key, safe='/~')}")
        if body.size_bytes <= CHUNK_BYTES:
            status = self._quick.put(url.path, {**headers, **self._signed(url, sha256)}, body)
            if status in (HTTPStatus.OK, HTTPStatus.PRECONDITION_FAILED):
                return status == HTTPStatus.OK
            # whatever it was, the client says it better, and tries again where that may help
        for _attempt in range(_PUT_ATTEMPTS):
            with mapped_errors(key):
                response = self._http.urlopen(
                    "PUT", url.geturl(), body=body, headers={**headers, **self._signed(url, sha256)}
                )
            if response.status == HTTPStatus.OK:
                return True
            if response.status == HTTPStatus.PRECONDITION_FAILED:
                return False
            # another conditional PUT at this key is under way: the answer is known soon
            if response.status != HTTPStatus.CONFLICT:
                raise _refusal(response)
        raise ObjectStoreUnavailable("writers at one key keep each other off", key=key)

    def _signed(self, url: SplitResult, sha256: str) -> Mapping[str, str]:
        """Return the headers that sign a PUT (AWS Signature Version 4)."""
        now, payload = datetime.now(UTC), sha256 or "UNSIGNED-PAYLOAD"
        headers: dict[str, str | list[str] | tuple[str]] = {
            "Host": url.netloc,
            "x-amz-content-sha256": payload,
            "x-amz-date": now.strftime("%Y%m%dT%H%M%SZ"),
        }
        if sha256:
            checksum = b64encode(bytes.fromhex(sha256)).decode("ascii")
            headers["x-amz-checksum-sha256"] = checksum
        signed = sign_v4_s3(
            method="PUT",
            url=url,
            region=self._region,
            headers=headers,
            credentials=self._credentials,
            content_sha256=payload,
            date=now,
        )
        return {name: str(value) for name, value in signed.items()}

    def _put_in_parts(self, key: str, body: Parts) -> None:
        with mapped_errors(key):
            self._client.put_object(
                self._bucket,
                key,
                cast(BinaryIO, PartsReader(body)),  # it reads, and does nothing else
                body.size_bytes,
                content_type=_content_type(key),
                part_size=_PART_BYTES,
                num_parallel_uploads=1,
            )

    def _read(self, key: str, *, offset: int = 0, length: int = 0) -> bytes:
        with mapped_errors(key):
            try:
                response = self._client.get_object(self._bucket, key, offset=offset, length=length)
            except S3Error as exc:
                if exc.code == "InvalidRange":
                    return b""
                raise
            try:
                return bytes(response.read())
            finally:
                response.close()
                response.release_conn()

    def _list(self, prefix: str, start_after: str) -> Iterator[ObjectStat]:
        with mapped_errors():
            for found in self._client.list_objects(
                self._bucket, prefix=prefix, recursive=True, start_after=start_after or None
            ):
                if not found.is_dir:
                    yield _stat(str(found.object_name), found.size, found.last_modified)

    def _exists(self, key: str) -> bool:
        try:
            self.stat(key)
        except NotFound:
            return False
        return True

    def _server(self) -> _Server:
        """Return what the server can do on PUT; it is tried once, with five bytes."""
        # no lock: two threads that try it find the same, and none waits for the other's time-out
        if self._known is None:
            key, probe = f"probe/{uuid4().hex}", Parts([b"probe"])
            self._put(key, probe, "", conditional=False)
            self._known = _Server(
                is_conditional=not self._put(key, probe, ""),
                checks_sha256=not self._takes_damaged(key, probe),
            )
            with suppress(ObjectStoreUnavailable):  # without the right to delete, five bytes stay
                self.delete(key)
        return self._known

    def _takes_damaged(self, key: str, probe: Parts) -> bool:
        try:
            return self._put(key, probe, "0" * 64, conditional=False)
        except ObjectStoreUnavailable:
            # refused, as it should be; were the server away, the next PUT finds that out
            return False

    def _refuse_above_capacity(self, size_bytes: int) -> None:
        if self._capacity_bytes is None:
            return
        if self._usage.used_bytes() + size_bytes > self._capacity_bytes:
            raise ObjectStoreFull("capacity is used up", capacity_bytes=self._capacity_bytes)


@contextmanager
def mapped_errors(key: str = "") -> Iterator[None]:
    """Turn errors of the client, and of the network below it, into ours."""
    try:
        yield
    except S3Error as exc:
        code = exc.code or ""
        if code in _NOT_FOUND:
            raise NotFound("no such object", key=key) from exc
        if code in _INVALID:
            raise InvalidRequest("object store refuses the request", code=code) from exc
        if code in _FULL:
            raise ObjectStoreFull("object store is full", code=code) from exc
        # NoSuchBucket, AccessDenied and the like: an operator can repair it, so "later" is true
        raise ObjectStoreUnavailable("object store refuses", code=code) from exc
    except (MinioException, HTTPError, OSError) as exc:
        raise ObjectStoreUnavailable(
            "object store does not answer", error=type(exc).__name__
        ) from exc


def _content_type(key: str) -> str:
    return "application/dicom" if key.endswith(".dcm") else "application/json"


def _refusal(response: urllib3.BaseHTTPResponse) -> Exception:
    if response.status == HTTPStatus.INSUFFICIENT_STORAGE or any(
        code.encode() in response.data for code in _FULL
    ):
        return ObjectStoreFull("object store is full", status=response.status)
    return ObjectStoreUnavailable("object store refuses a PUT", status=response.status)


def _stat(key: str, size: int | None, modified_at: datetime | None) -> ObjectStat:
    return ObjectStat(key, size or 0, modified_at or datetime.fromtimestamp(0, UTC))
