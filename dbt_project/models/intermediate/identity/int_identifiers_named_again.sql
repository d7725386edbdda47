{#-
  Identifiers of every component whose id has to be looked at again, and those that are in none any
  more; none in a full build.
-#}
{% set ids_touched = ref('int_identity_ids_touched') %}
-- depends_on: {{ ref('int_identity_build_begun') }}
with resolved_again as (

    select * from {{ ref('int_identifiers_resolved_again') }}

),

components as (

    select * from {{ ref('int_identity_components') }}

),

ids_placed as (

    select * from {{ ref('int_identity_ids_placed') }}
    where {{ is_touched(ids_touched, ['canonical_id'], touched_column='canonical_id') }}

),

components_again as (

    select component
    from components
    where {{ is_touched('resolved_again', ['node']) }}
    union
    select component
    from ids_placed
    where component is not null

),

named_again as (

    select identifier_key from resolved_again
    union
    select node as identifier_key
    from components
    where {{ is_touched('components_again', ['component'], touched_column='component') }}

)

select * from named_again
