"""Bounds of what the Hub answers: how many bytes it unpacks to, and what may be packed. It reads no answer."""

import zlib
from collections.abc import Iterator

import httpx2

# The listing of a thousand models takes 3 MB, the largest index of weights there is 20 MB.
MOST_BYTES = 256 << 20
_SLICE = 1 << 16
_PACKED = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


class Bounded(httpx2.SyncByteStream):
    """The body of an answer, unpacked, that ends with an error beyond `most` bytes."""

    def __init__(self, stream: httpx2.SyncByteStream, most: int, encoding: str) -> None:
        self._stream = stream
        self._most = most
        self._encoding = encoding

    def __iter__(self) -> Iterator[bytes]:
        count = 0
        for chunk in self._stream if self._encoding in {"", "identity"} else self._unpacked():
            count += len(chunk)
            if count > self._most:
                raise httpx2.DecodingError(f"the answer has more than {self._most >> 20} MB")
            yield chunk

    def _unpacked(self) -> Iterator[bytes]:
        unpack = zlib.decompressobj(_PACKED[self._encoding])
        try:
            for packed in self._stream:
                rest = packed
                while rest and not unpack.eof:
                    yield unpack.decompress(rest, _SLICE)
                    rest = unpack.unconsumed_tail
            while tail := unpack.decompress(unpack.unconsumed_tail, _SLICE):
                yield tail
        except zlib.error as error:
            raise httpx2.DecodingError(f"the answer cannot be unpacked: {error}") from error

    def close(self) -> None:
        """Close the body itself."""
        self._stream.close()


def bound(response: httpx2.Response, stream: httpx2.SyncByteStream) -> httpx2.SyncByteStream:
    """Return the body to read in place of `stream`: what is packed, or JSON, in bounds; else unchanged.

    Raises DecodingError for a packing that was not asked for.
    """
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding in {"", "identity"}:
        told = response.headers.get("content-type", "")
        return Bounded(stream, MOST_BYTES, "") if "json" in told else stream
    if encoding not in _PACKED:
        raise httpx2.DecodingError(f"the answer is packed as {encoding[:40]!r}, which nobody asked for")
    # Unpacked here, and no second time by the client.
    del response.headers["content-encoding"]
    if "content-length" in response.headers:
        del response.headers["content-length"]
    return Bounded(stream, MOST_BYTES, encoding)
