-- The positions of the repeated rows whose event_id never came with this content. When it happened is not
-- compared: a sender that tries again may have its clock corrected anew.
with repeated as (
    select accepted.*
    from accepted
    semi join duplicates on accepted.position = duplicates.position
),

-- in two steps, so that of all rows only the ids are read
hits as materialized (
    select row_id, is_reread
    from known_events
    where event_id in (select event_id from repeated)
),

known as materialized (
    select known_events.*
    from known_events
    semi join hits using (row_id, is_reread)
),

originals as (
    select event_id, event_name, user_id, account_id, anonymous_id, consent, properties
    from accepted
    anti join duplicates on accepted.position = duplicates.position
    where event_id in (select event_id from repeated)
    union all
    select event_id, event_name, user_id, account_id, anonymous_id, consent, properties
    from known
    where is_reread
    union all
    select event_id, event_name, user_id, account_id, anonymous_id, consent, properties
    from (from known where not is_reread)
    anti join reread_places using (segment, line)
)

select repeated.position
from repeated
anti join originals
    on repeated.event_id = originals.event_id
    and repeated.event_name = originals.event_name
    and repeated.user_id is not distinct from originals.user_id
    and repeated.account_id is not distinct from originals.account_id
    and repeated.anonymous_id is not distinct from originals.anonymous_id
    and repeated.consent is not distinct from originals.consent
    and repeated.properties = originals.properties
order by repeated.position
