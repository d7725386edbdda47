"""Which destinations may report by webhook, and how each one signs.

A verifier for one more vendor is one more file in `verifiers/` and one more case of `_verifier`.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Protocol

from pydantic import Field, StringConstraints

from ingestion.collector.verifiers.hmac_sha256 import HmacSha256
from ingestion.collector.verifiers.standard_webhooks import StandardWebhooks
from ingestion.contract import Name
from ingestion.errors import FatalIngestionError
from ingestion.yaml_files import Declared, parse, read_text, refuse_repeats

WEBHOOKS_FILE = Path(__file__).parents[1] / "sources" / "webhooks.yml"
_HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]+$")]
_SecretName = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]*$")]


class Verifier(Protocol):
    """How one vendor signs. Compares in constant time; holds no state."""

    def delivery_id(self, headers: Mapping[str, str], body: bytes) -> str | None:
        """The id under which the sender repeats this message, or nothing when its signature is not good.

        `headers` has lower-case names, `body` is as sent. Raises nothing, whatever the bytes.
        """
        ...


class Webhook(Declared):
    """One destination that reports to us. `secrets` are names of environment variables, all valid at once."""

    destination: Name
    verifier: Literal["standard_webhooks", "hmac_sha256"]
    secrets: Annotated[tuple[_SecretName, ...], Field(min_length=1)]
    header: _HeaderName | None = None
    prefix: str = ""
    id_header: _HeaderName | None = None


class _Document(Declared):
    webhooks: tuple[Webhook, ...]


@dataclass(frozen=True)
class SecretWebhook:
    """A webhook with its secrets themselves, which `repr` does not show."""

    declared: Webhook
    values: tuple[str, ...] = field(repr=False)


class Webhooks:
    """The verifiers of all destinations."""

    def __init__(self, webhooks: tuple[SecretWebhook, ...] = ()) -> None:
        self._verifiers = {each.declared.destination: _verifier(each) for each in webhooks}
        # An unknown destination is checked as long as a known one, so that time does not tell them apart.
        self._nobody = StandardWebhooks(("whsec_" + secrets.token_hex(16),))

    def delivery_id(self, destination: str, headers: Mapping[str, str], body: bytes) -> str | None:
        """As `Verifier.delivery_id`; nothing for an unknown destination."""
        found = self._verifiers.get(destination, self._nobody).delivery_id(headers, body)
        return found if destination in self._verifiers else None


def load_webhooks(
    path: Path, sources: frozenset[str], resolve_secret: Callable[[str], str]
) -> tuple[SecretWebhook, ...]:
    """Every webhook of the file with its secrets; none without the file.

    Raises FatalIngestionError for a file that is wrong, a destination that is no source, and a secret that
    cannot be used; `resolve_secret` raises its own error for one that is not there.
    """
    if not path.exists():
        return ()
    document = parse(path.name, read_text(path), _Document)
    refuse_repeats(path.name, (each.destination for each in document.webhooks))
    found = []
    for each in document.webhooks:
        name = each.destination
        if name not in sources:
            raise FatalIngestionError(
                f"{path.name}: destination {name!r} is no source of event_sources.yml; add it there, with "
                "the events it maps or none."
            )
        if (each.verifier == "hmac_sha256") != (each.header is not None):
            raise FatalIngestionError(
                f"{path.name}: destination {name!r} needs 'header' with verifier hmac_sha256, and only there."
            )
        webhook = SecretWebhook(each, tuple(resolve_secret(secret) for secret in each.secrets))
        try:
            _verifier(webhook)
        except Exception as error:
            raise FatalIngestionError(
                f"{path.name}: a secret of destination {name!r} ({', '.join(each.secrets)}) cannot be used "
                f"with {each.verifier}; expected one of the form whsec_ and base64."
            ) from error
        found.append(webhook)
    return tuple(found)


def _verifier(webhook: SecretWebhook) -> Verifier:
    declared = webhook.declared
    if declared.verifier == "hmac_sha256":
        return HmacSha256(
            webhook.values,
            header=declared.header or "",
            prefix=declared.prefix,
            id_header=declared.id_header,
        )
    return StandardWebhooks(webhook.values)
