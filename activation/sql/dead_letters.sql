-- Give up what was deferred too often.
update outcomes
set
    state = 'expired',
    reason = 'dead_letter_' || coalesce(reason, 'deferred'),
    finished_at = :finished_at,
    ledger_seq = :ledger_seq
where
    batch_id = :batch_id
    and state = 'deferred'
    and attempts >= :max_attempts
