{{ config(materialized='linked_groups') }}

with people_suspected as (

    select * from {{ ref('int_people_suspected') }}

)

select
    from_canonical_id as from_id,
    to_canonical_id as to_id
from people_suspected
