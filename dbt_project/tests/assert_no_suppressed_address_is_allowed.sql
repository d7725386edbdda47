select
    contact_points.canonical_id,
    contact_points.identifier_key,
    contact_points.channel
from {{ ref('contact_points') }} as contact_points
inner join {{ ref('suppressions') }} as suppressions
    on
        contact_points.identifier_key = suppressions.identifier_key
        and contact_points.channel = suppressions.channel
where contact_points.decision = 'allow'
