-- What may have brought somebody to a destination who is denied by now, once all that was on its way there has ended:
-- her removal must not wait for a person.
update outcomes
set
    state = 'cancelled',
    reason = 'denied_while_in_doubt',
    finished_at = :now,
    ledger_seq = :ledger_seq
where
    sync_name = :sync_name
    and finished_at is null
    and state = 'in_doubt'
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
        from intents
        inner join denials
            on (
                denials.identifier_key = intents.identifier_key
                or denials.canonical_id = intents.canonical_id
            )
            and denials.channel in (:channel, '*')
        where
            intents.operation_number = outcomes.operation_number
            and intents.holds = 1
            and intents.operation <> 'send'
    )
