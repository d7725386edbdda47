with events_identified as (

    select * from {{ ref('int_events_identified') }}

),

-- what an operator recorded is no act of the person
acts as (

    select
        canonical_id,
        occurred_at
    from events_identified
    where
        canonical_id is not null
        and source_system <> 'operator'

),

summarised as (

    select
        canonical_id,
        max(occurred_at) as last_active_at,
        sum(case when occurred_at > {{ days_before_as_of(30) }} then 1 else 0 end) as events_30d,
        sum(case when occurred_at > {{ days_before_as_of(90) }} then 1 else 0 end) as events_90d,
        count(
            distinct case
                when occurred_at > {{ days_before_as_of(90) }} then cast(occurred_at as date)
            end
        ) as active_days_90d
    from acts
    group by canonical_id

)

select * from summarised
