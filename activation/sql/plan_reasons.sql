-- One row per kind and reason: rows set apart as invalid, operations held back, people kept out of the source,
-- whose reasons are {{ held_back }}.
select
    'invalid' as kind,
    invalid_code as reason,
    sum(row_count)::bigint as rows,
from plan_desired
where invalid_code is not null
group by invalid_code
union all
select
    'blocked' as kind,
    blocked_by as reason,
    count(*) as rows,
from plan_changes
where blocked_by is not null
group by blocked_by
union all
select
    'held_back' as kind,
    reason,
    count(*) as rows,
from ({{ held_back }}) as held_back
group by reason
order by kind, reason
