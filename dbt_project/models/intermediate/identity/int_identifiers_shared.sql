with edges as (

    select * from {{ ref('int_identity_edges') }}

),

identity_rules as (

    select * from {{ ref('identity_rules') }}

),

-- how many different customers has this identifier been seen with?
user_ids_by_identifier as (

    select
        to_key as identifier_key,
        to_type as identifier_type,
        count(distinct from_key) as user_id_count
    from edges
    where from_type = 'user_id'
    group by to_key, to_type

),

shared as (

    select
        user_ids_by_identifier.identifier_key,
        user_ids_by_identifier.identifier_type,
        user_ids_by_identifier.user_id_count,
        identity_rules.max_user_ids
    from user_ids_by_identifier
    inner join identity_rules
        on user_ids_by_identifier.identifier_type = identity_rules.identifier_type
    where user_ids_by_identifier.user_id_count > identity_rules.max_user_ids

)

select * from shared
