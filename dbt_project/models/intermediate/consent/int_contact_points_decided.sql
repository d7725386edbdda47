{% set rules = identity_rules() %}

with identifiers_resolved as (

    select * from {{ ref('int_identifiers_resolved') }}

),

identifiers_seen as (

    select * from {{ ref('int_identifiers_seen') }}

),

channels as (

    select * from {{ ref('channels') }}

),

consent_policies as (

    select * from {{ ref('consent_policies') }}

),

purposes as (

    select distinct purpose from consent_policies

),

traits as (

    select * from {{ ref('int_people_traits_pivoted') }}

),

consent_states as (

    select * from {{ ref('int_consent_states_derived') }}

),

suppressions as (

    select distinct
        identifier_key,
        channel
    from {{ ref('int_suppressions_collected') }}

),

addresses as (

    select
        identifiers_resolved.canonical_id,
        channels.channel,
        purposes.purpose,
        identifiers_resolved.identifier_type,
        identifiers_resolved.identifier_key,
        identifiers_resolved.identifier_value,
        identifiers_resolved.identity_tier,
        traits.country_code,
        identifiers_seen.last_seen_at
    from identifiers_resolved
    inner join channels
        on identifiers_resolved.identifier_type = channels.identifier_type
    cross join purposes
    inner join identifiers_seen
        on identifiers_resolved.identifier_key = identifiers_seen.identifier_key
    left join traits
        on identifiers_resolved.canonical_id = traits.canonical_id

),

-- the first rule that applies decides; whatever no rule allows is denied
ruled as (

    select
        addresses.canonical_id,
        addresses.channel,
        addresses.purpose,
        addresses.identifier_type,
        addresses.identifier_key,
        addresses.identifier_value,
        addresses.identity_tier,
        addresses.country_code,
        addresses.last_seen_at,
        consent_policies.regime,
        consent_policies.policy_version,
        consent_states.consent_status,
        consent_states.consent_event_id,
        case
            when suppressions.identifier_key is not null then 'suppressed'
            when consent_states.consent_status = 'withdrawn' then 'withdrawn'
            when
                consent_states.consent_status = 'pending_double_opt_in'
                then 'pending_double_opt_in'
            when addresses.country_code is null then 'unknown_jurisdiction'
            when consent_policies.regime is null then 'no_policy'
            when
                {{ tier_rank('addresses.identity_tier') }}
                > {{ least_tier_rank(rules, 'addresses.purpose') }}
                then 'weak_identity'
            when consent_states.consent_status = 'granted' then 'granted'
            when consent_policies.regime = 'opt_out' then 'opt_out_regime'
            else 'no_consent'
        end as rule
    from addresses
    left join suppressions
        on
            addresses.identifier_key = suppressions.identifier_key
            and addresses.channel = suppressions.channel
    left join consent_states
        on
            addresses.identifier_key = consent_states.identifier_key
            and addresses.channel = consent_states.channel
            and addresses.purpose = consent_states.purpose
    left join consent_policies
        on
            addresses.country_code = consent_policies.country_code
            and addresses.channel = consent_policies.channel
            and addresses.purpose = consent_policies.purpose

),

decided as (

    select
        canonical_id,
        channel,
        purpose,
        identifier_type,
        identifier_key,
        identifier_value,
        identity_tier,
        country_code,
        last_seen_at,
        regime,
        policy_version,
        consent_status,
        consent_event_id,
        rule,
        case when rule in ('granted', 'opt_out_regime') then 'allow' else 'deny' end as decision
    from ruled

),

ranked as (

    select
        canonical_id,
        channel,
        purpose,
        identifier_type,
        identifier_key,
        identifier_value,
        identity_tier,
        country_code,
        last_seen_at,
        regime,
        policy_version,
        consent_status,
        consent_event_id,
        rule,
        decision,
        row_number() over (
            partition by canonical_id, channel, purpose
            order by
                case when decision = 'allow' then 0 else 1 end,
                last_seen_at desc,
                identifier_key asc
        ) as preference_rank
    from decided

)

select * from ranked
