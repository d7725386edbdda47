{{ config(materialized='view') }}

-- by the number of the build, because two builds may be of one moment
-- a view: it is read when somebody is assigned to something, and follows from the redirects alone
with redirects as (

    select * from {{ ref('identity_redirects') }}

),

of_people as (

    select
        current_canonical_id as canonical_id,
        canonical_id as first_canonical_id,
        first_published_at,
        first_published_in
    from redirects
    where current_canonical_id is not null

),

identity_first_ids as (

    {{ deduplicate('of_people', 'canonical_id', 'first_published_in, first_canonical_id') }}

)

select
    canonical_id,
    first_canonical_id,
    first_published_at
from identity_first_ids
