-- What the gate did not let pass ends, whether it was put off before or never claimed.
insert into outcomes (
    operation_number,
    sync_name,
    lane,
    state,
    reason,
    finished_at,
    ledger_seq
)
values (
    :operation_number,
    :sync_name,
    :lane,
    :state,
    :reason,
    :finished_at,
    :ledger_seq
)
on conflict (operation_number) do update set
    state = excluded.state,
    reason = excluded.reason,
    finished_at = excluded.finished_at,
    ledger_seq = excluded.ledger_seq
