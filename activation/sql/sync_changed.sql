-- Whether anything of one sync has changed that the projection shows.
select 1
from sync_runs
where sync_name = :sync_name and ledger_seq > :since
union all
select 1
from acknowledged
where sync_name = :sync_name and ledger_seq > :since
union all
select 1
from acknowledged_removals
where sync_name = :sync_name and ledger_seq > :since
limit 1
