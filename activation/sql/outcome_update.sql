update operations
set
    state = :state,
    reason = :reason,
    receipt = :receipt,
    attempts = attempts + :attempt,
    not_before = :not_before,
    finished_at = :finished_at,
    ledger_seq = :ledger_seq
where
    batch_id = :batch_id
    and position = :position
    and state in ('in_flight', 'accepted', 'in_doubt')
