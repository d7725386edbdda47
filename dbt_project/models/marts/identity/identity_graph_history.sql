with assignments as (

    select * from {{ ref('int_identity_assignments') }}

),

-- a row stands until the next one about the same identifier
intervals as (

    select
        identifier_key,
        canonical_id,
        assigned_at as valid_from,
        lead(assigned_at) over (partition by identifier_key order by assigned_at) as valid_to
    from assignments

),

identity_graph_history as (

    select
        identifier_key,
        canonical_id,
        valid_from,
        valid_to
    from intervals
    where canonical_id is not null

)

select * from identity_graph_history
