"""Standard Webhooks (standardwebhooks.com): HMAC-SHA256 of id, time and body, good for five minutes."""

from collections.abc import Mapping

from standardwebhooks import Webhook, WebhookVerificationError


class StandardWebhooks:
    """Checks the headers webhook-id, webhook-timestamp and webhook-signature against each valid secret."""

    def __init__(self, secrets: tuple[str, ...]) -> None:
        self._webhooks = tuple(Webhook(secret) for secret in secrets)

    def delivery_id(self, headers: Mapping[str, str], body: bytes) -> str | None:
        """The id that the sender gave this message, or nothing when no secret signed it."""
        found = None
        for webhook in self._webhooks:
            try:
                webhook.verify(body, dict(headers), json_parse=False)
                found = headers["webhook-id"]
            except (WebhookVerificationError, ValueError):
                # the library raises ValueError for base64 or UTF-8 that is none
                continue
        return found
