-- One row per place of the range that ends otherwise than before.
create table {schema}.changes as
with after as (
    select segment, line, 'accepted' as outcome, null as code, event_id, event_name
    from {schema}.changed_events
    union all
    select segment, line, 'duplicate', null, event_id, event_name
    from {schema}.changed_events_duplicated
    union all
    select segment, line, 'quarantined', code, event_id, event_name
    from {schema}.changed_events_quarantined
),

before as (
    select segment, line, 'accepted' as outcome, null as code, event_id, event_name
    from raw.events
    semi join after using (segment, line)
    union all
    select segment, line, 'duplicate', null, event_id, event_name
    from raw.events_duplicated
    semi join after using (segment, line)
    union all
    select segment, line, 'quarantined', code, event_id, event_name
    from raw.events_quarantined
    semi join after using (segment, line)
)

select
    segment,
    line,
    coalesce(after.event_id, before.event_id) as event_id,
    -- a refused line may only say what its sender called the event
    case
        when before.outcome = 'accepted' then before.event_name
        else coalesce(after.event_name, before.event_name)
    end as event_name,
    before.outcome as outcome_before,
    before.code as code_before,
    after.outcome as outcome_after,
    after.code as code_after,
from after
left join before using (segment, line)
order by segment, line
