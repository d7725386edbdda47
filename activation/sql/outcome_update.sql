-- A member that fared otherwise than its batch. One that was delivered with it, or has ended, stays as it is.
insert into outcomes (
    operation_number,
    sync_name,
    lane,
    state,
    reason,
    receipt,
    attempts,
    not_before,
    batch_id,
    finished_at,
    ledger_seq
)
select
    cast(:operation_number as bigint),
    sync_name,
    cast(:lane as bigint),
    :state,
    :reason,
    :receipt,
    cast(:attempt as bigint),
    cast(:not_before as bigint),
    batch_id,
    cast(:finished_at as bigint),
    cast(:ledger_seq as bigint)
from batches
where
    batch_id = :batch_id
    and (
        answered_at is null
        or exists (
            select 1
            from outcomes
            where outcomes.operation_number = :operation_number
        )
    )
on conflict (operation_number) do update set
    state = excluded.state,
    reason = excluded.reason,
    receipt = coalesce(excluded.receipt, outcomes.receipt),
    attempts = outcomes.attempts + excluded.attempts,
    not_before = excluded.not_before,
    finished_at = excluded.finished_at,
    ledger_seq = excluded.ledger_seq
where
    outcomes.batch_id = excluded.batch_id
    and outcomes.state in ('in_flight', 'accepted', 'in_doubt')
