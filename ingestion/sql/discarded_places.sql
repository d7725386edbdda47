-- The places of lines that an operator discarded.
select unnest(from_json(json_extract(properties, '$.places'), '["VARCHAR"]')) as place
from raw.events
where event_name = 'quarantine_discarded'
    and source_system = 'operator'
