-- Payloads of what this transaction closed without an answer.
update intents
set payload = null
where
    operation_number in (
        select outcomes.operation_number
        from outcomes
        where
            outcomes.ledger_seq = :ledger_seq
            and outcomes.state = 'cancelled'
            and outcomes.batch_id in (
                select batches.batch_id
                from batches
                where
                    batches.sync_name = :sync_name
                    and (batches.state = 'unknown' or batches.accepted_at is not null)
            )
    )
