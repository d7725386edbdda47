"""Destinations that report to the collector of a test, and what they sign."""

from datetime import UTC, datetime

from standardwebhooks import Webhook as Signer

from ingestion.collector.webhooks import SecretWebhook, Webhook

OLD, NEW = "whsec_b2xkIG9sZCBvbGQgb2xkIG9sZA==", "whsec_bmV3IG5ldyBuZXcgbmV3IG5ldw=="
MAILER = SecretWebhook(
    Webhook(destination="mailer", verifier="standard_webhooks", secrets=("MAILER", "MAILER_NEXT")), (OLD, NEW)
)
TEXTER = SecretWebhook(
    Webhook(
        destination="texter",
        verifier="hmac_sha256",
        secrets=("TEXTER",),
        header="X-Hub-Signature-256",
        prefix="sha256=",
        id_header="X-GitHub-Delivery",
    ),
    ("It's a Secret to Everybody",),
)
BODY = b'{"type": "email.bounced",\n "timestamp": "2026-11-24T09:00:00Z", "data": {"user_id": "u-1"}}'


def signed(
    body: bytes = BODY, secret: str = NEW, message_id: str = "msg_1", at: datetime | None = None
) -> dict[str, str]:
    moment = at or datetime.now(tz=UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Signer(secret).sign(message_id, moment, body.decode("latin-1")),
    }
