"""What a web page in somebody's browser may do with this service: nothing, unless the service sent the page itself.

The service listens on loopback or inside a network, where a stranger's page runs in a browser that reaches it. Three
ways are closed: a page that asks across sites (by what the browser says of itself: `Sec-Fetch-Site`, or `Origin` of
older ones), a page whose own name was made to resolve to this machine (DNS rebinding, by the `Host`), and a page that
shows ours in a frame or runs something in it (by headers on every answer).
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import Flask, Response, request

from flask_app.problems import CROSS_SITE, WRONG_HOST, Problem
from upbit_elt.settings import Settings

# The <style> elements that Plotly's script makes: an empty one that it puts rules into, and that of its maps.
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
    """Refuse what comes from other sites' pages, and put HEADERS on every answer, errors and files too."""
    named = {name for url in (settings.page_url, settings.flask_url) if (name := urlsplit(url).hostname)}

    @app.before_request
    def refuse_strangers() -> None:
        if not is_own_host(request.host, named):
            raise Problem(WRONG_HOST, f"{_WRONG_HOST} (this request named {request.host!r})")
        if _crosses_sites():
            raise Problem(CROSS_SITE, "a page of another site asks; open the page of this service, or use no browser")

    @app.after_request
    def harden(response: Response) -> Response:
        response.headers.update(HEADERS)
        return response


_WRONG_HOST = "set UPBIT_ELT_PAGE_URL to the address under which people open the page, and start the service again"


def is_own_host(host: str, named: Collection[str]) -> bool:
    """Whether a request's `Host` cannot be a stranger's domain: an address, a name without a dot, or one of `named`."""
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
    """Browsers tell from where a page asks. A link that somebody follows is no harm; other programs tell nothing."""
    told = request.headers
    if site := told.get("Sec-Fetch-Site"):
        followed = request.method in SAFE and told.get("Sec-Fetch-Dest") == "document"
        return site not in ("same-origin", "none") and not followed
    return request.method not in SAFE and "Origin" in told and urlsplit(told["Origin"]).netloc != request.host
