-- written when every model that is maintained by what was touched stands
-- depends_on: {{ ref('int_identity_decisions_applied') }}
-- depends_on: {{ ref('int_identity_components') }}
select
    build_id,
    is_full,
    is_full_because,
    as_of
from {{ ref('int_identity_build_begun') }}
