with order_summaries as (

    select * from {{ ref('int_people_order_summarised') }}

),

buyers as (

    select
        canonical_id,
        order_count,
        lifetime_pence,
        last_order_at
    from order_summaries
    where order_count > 0

),

-- fifths of all buyers, 5 the best; equals are parted by their id, the same on every engine
scored as (

    select
        canonical_id,
        ntile(5) over (order by last_order_at, canonical_id) as recency_score,
        ntile(5) over (order by order_count, last_order_at, canonical_id) as frequency_score,
        ntile(5) over (order by lifetime_pence, last_order_at, canonical_id) as monetary_score
    from buyers

)

select * from scored
