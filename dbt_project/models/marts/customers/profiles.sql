with identifiers_resolved as (

    select * from {{ ref('int_identifiers_resolved') }}

),

identifiers_seen as (

    select * from {{ ref('int_identifiers_seen') }}

),

traits as (

    select * from {{ ref('int_people_traits_pivoted') }}

),

order_summaries as (

    select * from {{ ref('int_people_order_summarised') }}

),

rfm_scores as (

    select * from {{ ref('int_people_rfm_scored') }}

),

engagement as (

    select * from {{ ref('int_people_engagement_summarised') }}

),

last_carts as (

    select * from {{ ref('int_people_last_carted') }}

),

legacy_engagement as (

    select * from {{ ref('int_legacy_engagement_summarised') }}

),

identifiers_with_activity as (

    select
        identifiers_resolved.canonical_id,
        identifiers_resolved.identifier_type,
        identifiers_resolved.identifier_key,
        identifiers_resolved.identifier_value,
        identifiers_seen.first_seen_at,
        identifiers_seen.last_seen_at
    from identifiers_resolved
    inner join identifiers_seen
        on identifiers_resolved.identifier_key = identifiers_seen.identifier_key

),

people as (

    select
        canonical_id,
        count(*) as identifier_count,
        min(first_seen_at) as first_seen_at,
        max(last_seen_at) as last_seen_at
    from identifiers_with_activity
    group by canonical_id

),

latest_by_type as (

    {{ deduplicate(
        'identifiers_with_activity',
        'canonical_id, identifier_type',
        'last_seen_at desc, identifier_key',
    ) }}

),

latest_identifiers as (

    select
        canonical_id,
        max(case when identifier_type = 'user_id' then identifier_value end) as user_id,
        max(case when identifier_type = 'email' then identifier_value end) as email,
        max(case when identifier_type = 'phone' then identifier_value end) as phone
    from latest_by_type
    group by canonical_id

),

profiles as (

    select
        people.canonical_id,
        latest_identifiers.user_id,
        latest_identifiers.email,
        latest_identifiers.phone,
        traits.first_name,
        traits.last_name,
        traits.country_code,
        cast(people.identifier_count as bigint) as identifier_count,
        cast(coalesce(order_summaries.order_count, 0) as bigint) as order_count,
        cast(coalesce(order_summaries.cancellation_count, 0) as bigint) as cancellation_count,
        cast(coalesce(order_summaries.lifetime_pence, 0) as double) / 100 as lifetime_value,
        order_summaries.first_order_at,
        order_summaries.last_order_at,
        cast(rfm_scores.recency_score as bigint) as recency_score,
        cast(rfm_scores.frequency_score as bigint) as frequency_score,
        cast(rfm_scores.monetary_score as bigint) as monetary_score,
        last_carts.last_cart_total,
        last_carts.last_cart_at,
        cast(coalesce(legacy_engagement.send_count, 0) as bigint) as legacy_send_count,
        cast(coalesce(legacy_engagement.click_count, 0) as bigint) as legacy_click_count,
        legacy_engagement.last_clicked_at as legacy_last_clicked_at,
        engagement.last_active_at,
        cast(coalesce(engagement.events_30d, 0) as bigint) as events_30d,
        cast(coalesce(engagement.events_90d, 0) as bigint) as events_90d,
        cast(coalesce(engagement.active_days_90d, 0) as bigint) as active_days_90d,
        people.first_seen_at,
        people.last_seen_at
    from people
    left join latest_identifiers
        on people.canonical_id = latest_identifiers.canonical_id
    left join traits
        on people.canonical_id = traits.canonical_id
    left join order_summaries
        on people.canonical_id = order_summaries.canonical_id
    left join rfm_scores
        on people.canonical_id = rfm_scores.canonical_id
    left join engagement
        on people.canonical_id = engagement.canonical_id
    left join last_carts
        on people.canonical_id = last_carts.canonical_id
    left join legacy_engagement
        on people.canonical_id = legacy_engagement.canonical_id

)

select * from profiles
