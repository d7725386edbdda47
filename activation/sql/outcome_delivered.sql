-- A member that was put off, accepted or in doubt before; all others are delivered with their batch.
update outcomes
set
    state = 'delivered',
    reason = null,
    attempts = attempts + 1,
    not_before = 0,
    finished_at = :now,
    ledger_seq = :ledger_seq
where
    operation_number = :operation_number
    and batch_id = :batch_id
    and state in ('in_flight', 'accepted', 'in_doubt')
