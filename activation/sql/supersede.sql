-- What ended badly and is planned again by the operations of this range; it blocks nothing any more.
update operations
set
    superseded_at = :now,
    ledger_seq = :ledger_seq
where
    sync_name = :sync_name
    and finished_at is not null
    and state in ('rejected', 'expired')
    and superseded_at is null
    and destination_key in (
        select fresh.destination_key
        from operations as fresh
        where fresh.operation_number between :first and :last
    )
