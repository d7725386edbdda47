-- Occurrence keys of people who are in the audience still, and only may not be reached at present.
select identity_redirects.canonical_id as destination_key
from marts.audience_exclusions
inner join marts.identity_redirects
    on identity_redirects.current_canonical_id = audience_exclusions.canonical_id
where
    audience_exclusions.audience_name = $name
    and audience_exclusions.channel = $channel
