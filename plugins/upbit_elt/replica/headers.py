"""Headers and compression of the exchange's responses."""

from __future__ import annotations

import gzip
from hashlib import md5

from flask import Response, request

_SMALLEST_TO_COMPRESS = 1024
_VARY = "origin,access-control-request-method,access-control-request-headers,accept-encoding"


def dress(response: Response, remaining: str | None) -> Response:
    """Add the headers of a real response, and compress it.

    `remaining` is the value of `Remaining-Req`; None when the request reached no service and was not counted.
    """
    headers = response.headers
    headers["Vary"] = _VARY
    if remaining is not None:
        headers["Remaining-Req"] = remaining
        headers["Limit-By-Ip"] = "Yes"
        headers["Cache-Control"] = "no-cache, no-store, max-age=0, must-revalidate"
        headers["Pragma"] = "no-cache"
        headers["Expires"] = "0"
    if response.status_code == 200:
        headers["ETag"] = f'W/"0{md5(response.get_data(), usedforsecurity=False).hexdigest()}"'
    return _compressed(response)


def _compressed(response: Response) -> Response:
    body = response.get_data()
    if len(body) >= _SMALLEST_TO_COMPRESS and request.accept_encodings["gzip"] > 0:
        response.set_data(gzip.compress(body, compresslevel=1, mtime=0))
        response.headers["Content-Encoding"] = "gzip"
    return response
