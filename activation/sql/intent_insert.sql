insert into operations (
    operation_id,
    sync_run_id,
    sync_name,
    operation,
    lane,
    holds,
    destination_key,
    canonical_id,
    identifier_key,
    payload,
    payload_hash,
    expires_at,
    state,
    ledger_seq
)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'planned', ?)
