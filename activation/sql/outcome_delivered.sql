-- Every member of a batch that was still open; one that was settled before stays as it is.
update operations
set
    state = 'delivered',
    is_open = null,
    reason = null,
    attempts = attempts + 1,
    finished_at = :now,
    ledger_seq = :ledger_seq
where
    batch_id = :batch_id
    and state in ('in_flight', 'accepted', 'in_doubt')
