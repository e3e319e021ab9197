"""Sends lines to a chat by an incoming webhook of Slack or Discord, whose address is in a file.

The address is a secret: it is read again for each line, and logs and errors name no more of it than the host.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from urllib.parse import urlsplit

import requests

from upbit_elt.http_timeout import keep_alive_session

log = logging.getLogger(__name__)
TIMEOUT = 5.0
# Discord refuses more than 2,000 characters.
LONGEST = 1_500


class Webhook:
    """The webhook whose address is in `file`; without the file, or with an empty one, nothing is sent.

    `timeout` is the time in seconds for the whole response.
    """

    def __init__(self, file: Path, timeout: float = TIMEOUT) -> None:
        self._file, self._timeout = file, timeout

    @property
    def is_there(self) -> bool:
        """Whether the file holds an address."""
        return bool(self._address())

    def send(self, line: str) -> bool:
        """Send a line; give whether the webhook accepted it. Takes seconds at most, logs failures, never raises."""
        address = self._address()
        if not address:
            return False
        try:
            host = urlsplit(address).hostname
            with keep_alive_session(time.monotonic) as session:
                response = session.post(
                    address, json=_body(address, line[:LONGEST]), timeout=self._timeout, allow_redirects=False
                )
        except ValueError:  # requests raises ValueErrors for malformed addresses too
            log.warning("%s holds no valid address of a webhook", self._file)
            return False
        except requests.RequestException as error:
            log.warning("the webhook at %s does not answer (%s)", host, type(error).__name__)
            return False
        if not response.ok or response.is_redirect:
            log.warning("the webhook at %s refused with status %d", host, response.status_code)
        return response.ok and not response.is_redirect

    def _address(self) -> str:
        try:
            return self._file.read_text().strip()
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            log.warning("the webhook's address cannot be read from %s: %s", self._file, type(error).__name__)
            return ""


def _body(address: str, line: str) -> dict[str, object]:
    """JSON body of a line: Discord's form for its addresses (`/api/webhooks/...`), otherwise Slack's.

    Neither lets a name in the line mention a person.
    """
    if urlsplit(address).path.startswith("/api/webhooks/") and not address.rstrip("/").endswith("/slack"):
        return {"content": line, "allowed_mentions": {"parse": []}}
    return {"text": line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}
