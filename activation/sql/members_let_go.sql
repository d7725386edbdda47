-- Payloads of members that have ended: nothing of them is sent again.
update intents
set payload = null
where
    payload is not null
    and operation_number in (
        select members.operation_number
        from members
        where
            members.batch_id = :batch_id
            and members.state in ('delivered', 'rejected', 'expired')
    )
