-- Rows are only ever added: each is copied once.
select
    attempts.batch_id,
    batches.sync_name,
    batches.sync_run_id,
    attempts.token,
    attempts.finished_at,
    attempts.delivered,
    attempts.accepted,
    attempts.rejected,
    attempts.deferred,
    attempts.unknown,
    attempts.reason,
    attempts.is_late,
    attempts.ledger_seq
from attempts
inner join batches
    on batches.batch_id = attempts.batch_id
where attempts.ledger_seq > :since
