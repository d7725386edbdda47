-- The places that are read again, and those of the range that stay as they are because they were discarded.
create table {schema}.kept as
with discarded as (
    {discarded}
)

select
    segment,
    line,
from raw.events_quarantined
where segment || ':' || line in (select place from discarded);

create table {schema}.places as
select
    places.batch,
    places.segment,
    places.line,
from (select batch, segment, unnest(range(first, last + 1)) as line from slices) as places
anti join {schema}.kept using (segment, line)
