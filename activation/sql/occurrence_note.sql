-- An occurrence that needs no message, now or ever.
insert into acknowledged (
    sync_name,
    destination_key,
    canonical_id,
    identifier_key,
    payload_hash,
    acknowledged_at,
    ledger_seq
)
values (?, ?, ?, ?, '', ?, ?)
on conflict do nothing
