-- How many lines of each event went from one outcome to another.
select
    event_name,
    outcome_before,
    code_before,
    outcome_after,
    code_after,
    count(*) as lines,
from {schema}.changes
group by all
order by lines desc, event_name, outcome_before, code_before, outcome_after, code_after
