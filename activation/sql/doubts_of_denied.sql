-- What may have brought somebody to a destination who is denied by now, once all that was on its way there has ended:
-- her removal must not wait for a person.
update operations
set
    state = 'cancelled',
    is_open = null,
    payload = null,
    reason = 'denied_while_in_doubt',
    finished_at = :now,
    ledger_seq = :ledger_seq
where
    sync_name = :sync_name
    and state = 'in_doubt'
    and holds = 1
    and operation <> 'send'
    and batch_id in (
        select batch_id
        from batches
        where
            sync_name = :sync_name
            and (
                (state = 'unknown' and last_attempt_at <= :sent_before)
                or (state = 'settled' and accepted_at <= :accepted_before)
            )
    )
    and exists (
        select 1
        from denials
        where
            denials.channel in (:channel, '*')
            and (
                denials.identifier_key = operations.identifier_key
                or denials.canonical_id = operations.canonical_id
            )
    )
