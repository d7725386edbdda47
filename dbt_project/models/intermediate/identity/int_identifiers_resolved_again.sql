{#-
  Identifiers that were resolved again, whole territories of them, and those that are nobody's any
  more; none in a full build.
-#}
with components as (

    select * from {{ ref('int_identity_components') }}

),

identifiers_touched as (

    select * from {{ ref('int_identifiers_touched') }}

),

resolved_again as (

    select identifier_key from identifiers_touched
    union
    select node as identifier_key
    from components
    where resolved_in = {{ command_number() }}

)

select * from resolved_again
where {{ '1 = 1' if is_delta() else '1 = 0' }}
