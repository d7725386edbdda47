-- One row per event since $since of a person with an address that may be used for the purpose.
select
    event_stream.*,
    event_stream.event_id as occurrence_key,
    contact_points.identifier_type,
    contact_points.identifier_key,
    contact_points.identifier_value
from marts.event_stream
inner join marts.contact_points
    on contact_points.canonical_id = event_stream.canonical_id
    and contact_points.channel = $channel
    and contact_points.purpose = $purpose
    and contact_points.decision = 'allow'
    and contact_points.is_preferred
where
    event_stream.event_name = $name
    and event_stream.occurred_at > $since
