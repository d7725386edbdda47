with people_suspected as (

    select * from {{ ref('int_people_suspected') }}

),

people_grouped as (

    select * from {{ ref('int_people_suspected_grouped') }}

),

scores as (

    select
        from_canonical_id as canonical_id,
        score
    from people_suspected
    union all
    select
        to_canonical_id as canonical_id,
        score
    from people_suspected

),

best_scores as (

    select
        canonical_id,
        max(score) as score
    from scores
    group by canonical_id

),

sizes as (

    select
        group_id,
        count(*) as person_count
    from people_grouped
    group by group_id

),

suspected_people as (

    select
        people_grouped.member_id as canonical_id,
        people_grouped.group_id as suspected_person_id,
        best_scores.score,
        sizes.person_count as size
    from people_grouped
    inner join best_scores
        on people_grouped.member_id = best_scores.canonical_id
    inner join sizes
        on people_grouped.group_id = sizes.group_id

)

select * from suspected_people
