-- What deduplication does not count of raw.events: the lines that are not judged yet, and those that end otherwise.
create or replace temp view reread_places as
select segment, line
from {schema}.places
where batch >= {first}
union all
select segment, line
from {schema}.changed_events
union all
select segment, line
from {schema}.changed_events_duplicated
union all
select segment, line
from {schema}.changed_events_quarantined
