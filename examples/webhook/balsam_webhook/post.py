"""A webhook: takes messages as JSON, and says in the log what it could not deliver."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hook:
    """Where messages go; timeout_seconds: how long the server may be silent."""

    url: str
    timeout_seconds: float

    def post(self, message: Mapping[str, object]) -> None:
        """Send one message; a failure is logged, without the path of the URL, which may be a secret."""
        body = json.dumps(message).encode()
        request = Request(self.url, body, {"Content-Type": "application/json"}, method="POST")
        try:
            with urlopen(request, timeout=self.timeout_seconds):
                pass
        except (OSError, HTTPException, ValueError) as error:
            place = urlsplit(self.url)
            server = f"{place.scheme}://{place.hostname}"
            _log.warning("webhook %s was not told of %s: %s", server, message.get("event"), error)
