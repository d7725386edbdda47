insert into intents (
    operation_number,
    operation_id,
    sync_run_id,
    operation,
    holds,
    destination_key,
    canonical_id,
    identifier_key,
    payload,
    payload_hash,
    expires_at
)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
