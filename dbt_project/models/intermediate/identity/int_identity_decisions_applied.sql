-- the decisions that this build has applied: the next one looks here for what is new
-- depends_on: {{ ref('int_identity_components') }}
select
    from_key,
    to_key,
    decision,
    event_id,
    decided_at
from {{ ref('int_identity_decisions') }}
