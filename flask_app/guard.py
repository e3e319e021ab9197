"""Protects the service against web pages of other sites: only pages that the service itself sent may use it.

The service listens on loopback or inside a network, and a browser there may open a hostile page. Three attacks are
blocked: requests across sites (recognised by `Sec-Fetch-Site`, or by `Origin` in older browsers), DNS rebinding, where
the hostile page's name resolves to this machine (recognised by `Host`), and framing of our page or foreign scripts in
it (prevented by headers on every response).
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import Flask, Response, request

from flask_app.problems import CROSS_SITE, WRONG_HOST, Problem
from upbit_elt.settings import Settings

# Hashes of the <style> elements that Plotly's script inserts: an empty one that it adds rules to, and that of its maps.
PLOTLY_STYLES = (
    "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='",
    "'sha256-ji27qzEtxXZW+7dun6UwjHXJ18e6WAin1VvNtkzIE/o='",
)
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self'; "
    f"style-src 'self' {' '.join(PLOTLY_STYLES)}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
SAFE = ("GET", "HEAD", "OPTIONS")


def register(app: Flask, settings: Settings) -> None:
    """Reject requests of other sites' pages, and put HEADERS on every response, also on errors and files."""
    named = {name for url in (settings.page_url, settings.flask_url) if (name := urlsplit(url).hostname)}

    @app.before_request
    def reject_foreign_requests() -> None:
        if not is_own_host(request.host, named):
            raise Problem(WRONG_HOST, f"{_WRONG_HOST} (this request named {request.host!r})")
        if _crosses_sites():
            raise Problem(
                CROSS_SITE,
                "this request comes from a page of another site; open the page of this service, or use no browser",
            )

    @app.after_request
    def harden(response: Response) -> Response:
        response.headers.update(HEADERS)
        return response


_WRONG_HOST = "set UPBIT_ELT_PAGE_URL to the address under which people open the page, and start the service again"


def is_own_host(host: str, named: Collection[str]) -> bool:
    """Whether a request's `Host` cannot be a foreign domain: an IP address, a name without a dot, or one of `named`."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if "." not in name or name in named or name.endswith(".localhost"):
        return bool(name)
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _crosses_sites() -> bool:
    """Whether a page of another site sends this request.

    Browsers say so in headers; other programs send none of these and pass. Following a link from another site is fine.
    """
    headers = request.headers
    if site := headers.get("Sec-Fetch-Site"):
        followed_link = request.method in SAFE and headers.get("Sec-Fetch-Dest") == "document"
        return site not in ("same-origin", "none") and not followed_link
    return request.method not in SAFE and "Origin" in headers and urlsplit(headers["Origin"]).netloc != request.host
