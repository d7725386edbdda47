-- One row per event since $since whose person may not be reached for the purpose, with the reason.
select coalesce(contact_points.rule, 'no_address') as reason
from marts.event_stream
left join marts.contact_points
    on contact_points.canonical_id = event_stream.canonical_id
    and contact_points.channel = $channel
    and contact_points.purpose = $purpose
    and contact_points.is_preferred
where
    event_stream.event_name = $name
    and event_stream.occurred_at > $since
    and coalesce(contact_points.decision, 'deny') <> 'allow'
