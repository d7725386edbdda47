-- What is the same for all of a run stands in its own row, and is not copied with each operation.
select
    operation_id,
    sync_run_id,
    operation,
    holds,
    destination_key,
    canonical_id,
    identifier_key,
    state,
    reason,
    attempts,
    batch_id,
    receipt,
    finished_at,
    superseded_at,
    payload_hash,
    ledger_seq
from operations
where
    sync_run_id in (select sync_runs.sync_run_id from sync_runs where sync_runs.ledger_seq > :since)
    and ledger_seq > :since
