-- One row per place of the range that ends otherwise than before.
-- Compared is what became of the line, the reason, and every column of the row but for its batch.
create table {schema}.changes as
with before as (
    select segment, line, 'accepted' as outcome, null as code, event_id, event_name, {accepted} as content
    from raw.events
    semi join {schema}.places as places using (segment, line)
    union all
    select segment, line, 'duplicate', null, event_id, event_name, {duplicate}
    from raw.events_duplicated
    semi join {schema}.places as places using (segment, line)
    union all
    select segment, line, 'quarantined', code, event_id, event_name, {quarantined}
    from raw.events_quarantined
    semi join {schema}.places as places using (segment, line)
),

after as (
    select segment, line, 'accepted' as outcome, null as code, event_id, event_name, {accepted} as content
    from {schema}.events
    union all
    select segment, line, 'duplicate', null, event_id, event_name, {duplicate}
    from {schema}.events_duplicated
    union all
    select segment, line, 'quarantined', code, event_id, event_name, {quarantined}
    from {schema}.events_quarantined
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
from before
full join after using (segment, line)
where before.outcome is distinct from after.outcome
    or before.content is distinct from after.content
order by segment, line
