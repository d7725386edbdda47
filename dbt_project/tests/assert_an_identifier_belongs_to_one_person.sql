select
    identifier_key,
    count(distinct canonical_id) as people
from {{ ref('identity_graph') }}
group by identifier_key
having count(distinct canonical_id) > 1
