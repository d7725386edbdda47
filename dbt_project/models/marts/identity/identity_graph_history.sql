{{ config(
    materialized='maintained',
    touched='int_identifiers_named_again',
    touched_by=['identifier_key']
) }}

{% set touched = ref('int_identifiers_named_again') %}
{% set by_delta = is_delta() %}

with assignments as (

    select * from {{ ref('int_identity_assignments') }}
    where {{ touched_only(by_delta, touched, ['identifier_key']) }}

),

-- a row stands until the next one about the same identifier
intervals as (

    select
        identifier_key,
        canonical_id,
        assigned_at as valid_from,
        lead(assigned_at) over (partition by identifier_key order by build_number) as valid_to
    from assignments

),

identity_graph_history as (

    select
        identifier_key,
        canonical_id,
        valid_from,
        valid_to
    from intervals
    -- what a later build of the same moment replaced stood for no time
    where
        canonical_id is not null
        and (valid_to is null or valid_from < valid_to)

)

select * from identity_graph_history
