"""HMAC-SHA256 of the body in hexadecimal, in a header: the form of GitHub and many others.

docs.github.com, "Validating webhook deliveries": header X-Hub-Signature-256 with prefix `sha256=`, id in
X-GitHub-Delivery. Neither the time nor the id is signed: who captured a message can send it again, under its
own id as a duplicate, under another as one more event. Where that matters, leave out the header for the id.
"""

import hashlib
import hmac
from collections.abc import Mapping


class HmacSha256:
    """Checks one header against each valid secret; without a header for the id, the body's hash is it."""

    def __init__(
        self, secrets: tuple[str, ...], *, header: str, prefix: str = "", id_header: str | None = None
    ) -> None:
        self._secrets = tuple(secret.encode() for secret in secrets)
        self._header = header.lower()
        self._prefix = prefix
        self._id_header = id_header.lower() if id_header else None

    def delivery_id(self, headers: Mapping[str, str], body: bytes) -> str | None:
        """The id of this message, or nothing when no secret signed it."""
        given = headers.get(self._header, "")
        is_good = False
        for secret in self._secrets:
            expected = self._prefix + hmac.new(secret, body, hashlib.sha256).hexdigest()
            is_good |= hmac.compare_digest(expected.encode(), given.encode("utf-8", "surrogatepass"))
        if not is_good:
            return None
        own = headers.get(self._id_header) if self._id_header else None
        return own or "sha256:" + hashlib.sha256(body).hexdigest()
