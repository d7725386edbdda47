{{ config(
    materialized='identity_components',
    nodes='int_identity_nodes',
    decisions='int_identity_decisions',
    touched='int_identifiers_touched'
) }}

-- depends_on: {{ ref('int_identity_nodes') }}
-- depends_on: {{ ref('int_identity_decisions') }}
-- depends_on: {{ ref('int_identifiers_touched') }}
-- what is only suspected makes nobody one person, however often and however surely
with links as (

    select * from {{ ref('int_identity_links') }}
    where not is_suspected

)

select
    from_key,
    to_key,
    tier_rank,
    first_seen_at
from links
