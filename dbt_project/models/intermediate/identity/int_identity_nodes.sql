{{ config(
    materialized='maintained',
    touched='int_identifiers_touched',
    touched_by=['identifier_key']
) }}

{% set touched = ref('int_identifiers_touched') %}
{% set by_delta = is_delta() %}

with identifiers_seen as (

    select * from {{ ref('int_identifiers_seen') }}

),

identifiers as (

    select * from {{ ref('int_identifiers_checked') }}
    where
        refused_because is null
        and {{ touched_only(by_delta, touched, ['identifier_key']) }}

),

edges as (

    select * from {{ ref('int_identity_edges') }}

),

shared_identifiers as (

    select distinct identifier_key
    from {{ ref('int_identifiers_shared') }}

),

identity_rules as (

    select * from {{ ref('int_identity_rules') }}

),

-- several raw spellings share one normalised value and one key
identifiers_once as (

    select
        identifier_key,
        identifier_type,
        min(identifier_value) as identifier_value,
        min(received_at) as received_at
    from identifiers
    group by identifier_key, identifier_type

),

-- what an operator joined belongs to somebody, however many it was seen with
joined_by_operator as (

    select from_key as identifier_key
    from edges
    where tier = 'operator'
    union
    select to_key as identifier_key
    from edges
    where tier = 'operator'

),

nodes as (

    select
        identifiers_once.identifier_key,
        identifiers_once.identifier_type,
        identifiers_once.identifier_value,
        identity_rules.priority,
        identifiers_once.received_at,
        identifiers_seen.first_seen_at,
        identifiers_seen.last_seen_at
    from identifiers_once
    inner join identifiers_seen
        on identifiers_once.identifier_key = identifiers_seen.identifier_key
    inner join identity_rules
        on identifiers_once.identifier_type = identity_rules.identifier_type
    left join shared_identifiers
        on identifiers_once.identifier_key = shared_identifiers.identifier_key
    left join joined_by_operator
        on identifiers_once.identifier_key = joined_by_operator.identifier_key
    where
        shared_identifiers.identifier_key is null
        or joined_by_operator.identifier_key is not null

)

select * from nodes
