select
    sync_run_id,
    sync_name,
    destination,
    channel,
    definition_hash,
    planned_at,
    finished_at,
    adds,
    updates,
    removes,
    erases,
    sends,
    delivered,
    rejected,
    suppressed,
    deferred,
    accepted,
    in_doubt,
    ledger_seq
from sync_runs
where ledger_seq > :since
