-- Payloads of members that have ended: nothing of them is sent again. Asked of the members alone, because nearly all other
-- payloads are gone, and PostgreSQL would look for those first.
update intents
set payload = null
where
    operation_number in (
        select members.operation_number
        from members
        where
            members.batch_id = :batch_id
            and members.payload is not null
            and members.state in ('delivered', 'rejected', 'expired')
    )
