-- One row per sync: its last run, and what its destination has acknowledged.
with last_runs as (
    select
        sync_runs.*,
        row_number() over (partition by sync_name order by ledger_seq desc, sync_run_id desc) as recency
    from activation.sync_runs
),

acknowledged as (
    select
        sync_name,
        count(*) as keys
    from activation.acknowledged
    group by sync_name
)

select
    last_runs.sync_name,
    last_runs.destination,
    last_runs.sync_run_id,
    last_runs.planned_at,
    last_runs.finished_at,
    last_runs.adds,
    last_runs.updates,
    last_runs.removes,
    last_runs.erases,
    last_runs.sends,
    last_runs.delivered,
    last_runs.accepted,
    last_runs.rejected,
    last_runs.suppressed,
    last_runs.deferred,
    last_runs.in_doubt,
    coalesce(acknowledged.keys, 0) as acknowledged
from last_runs
left join acknowledged
    on last_runs.sync_name = acknowledged.sync_name
where last_runs.recency = 1
order by last_runs.sync_name
