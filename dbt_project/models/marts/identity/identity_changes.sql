{{ config(
    materialized='incremental',
    incremental_strategy='append',
    full_refresh=false
) }}

{% set touched = ref('int_identifiers_named_again') %}
{% set by_delta = is_delta() %}

with identifiers_resolved as (

    select * from {{ ref('int_identifiers_resolved') }}

),

identifiers_named_again as (

    select * from identifiers_resolved
    where {{ touched_only(by_delta, touched, ['identifier_key']) }}

),

edges as (

    select * from {{ ref('int_identity_edges') }}
    -- a suspicion joins nobody, so it is no reason for a join or a merge
    where score is null

),

links_held as (

    select * from {{ ref('int_identity_links_held') }}

),

decisions as (

    select * from {{ ref('int_identity_decisions') }}
    where decision = 'keep_apart'

),

ever_published as (

    {{ published_before(schema_of=ref('int_identity_assignments')) }}

),

published as (

    select * from ever_published
    where
        {{ touched_only(by_delta, touched, ['identifier_key']) }}
        -- of a build that was killed half way nobody has been told yet what it changed
        and build_number <= {{ last_build_told() }}

),

former_assignments as (

    {{ deduplicate('published', 'identifier_key', 'build_number desc') }}

),

former_ids as (

    select canonical_id
    from former_assignments
    where canonical_id is not null
    {% if by_delta %}
    union
    -- whoever is not named again is who he was
    select canonical_id
    from identifiers_resolved
    where
        canonical_id in (select canonical_id from identifiers_named_again)
        and not {{ is_touched(touched, ['identifier_key']) }}
    {% else %}
    group by canonical_id
    {% endif %}

),

moved as (

    select
        coalesce(identifiers_named_again.identifier_key, former_assignments.identifier_key)
            as identifier_key,
        identifiers_named_again.canonical_id,
        former_assignments.canonical_id as former_canonical_id
    from identifiers_named_again
    full join former_assignments
        on identifiers_named_again.identifier_key = former_assignments.identifier_key
    where
        coalesce(identifiers_named_again.canonical_id, '')
        <> coalesce(former_assignments.canonical_id, '')

),

current_ids as (

    select distinct canonical_id
    from identifiers_resolved
    where {{ is_touched('moved', ['canonical_id'], touched_column='former_canonical_id') }}

),

-- an identifier that nobody had joins a person who was there before
joins as (

    select
        'join' as change_type,
        moved.canonical_id,
        cast(null as {{ dbt.type_string() }}) as former_canonical_id,
        moved.identifier_key,
        cast(1 as bigint) as identifier_count
    from moved
    inner join former_ids
        on moved.canonical_id = former_ids.canonical_id
    where moved.former_canonical_id is null

),

-- a person's id is no more and its identifiers are another's: a merge. The id lives on: a split.
merges_and_splits as (

    select
        case when current_ids.canonical_id is null then 'merge' else 'split' end as change_type,
        moved.canonical_id,
        moved.former_canonical_id,
        min(moved.identifier_key) as identifier_key,
        count(*) as identifier_count
    from moved
    left join current_ids
        on moved.former_canonical_id = current_ids.canonical_id
    where
        moved.canonical_id is not null
        and moved.former_canonical_id is not null
    group by
        case when current_ids.canonical_id is null then 'merge' else 'split' end,
        moved.canonical_id,
        moved.former_canonical_id

),

-- erased, blocked or shared by now
leaves as (

    select
        'leave' as change_type,
        cast(null as {{ dbt.type_string() }}) as canonical_id,
        former_canonical_id,
        identifier_key,
        cast(1 as bigint) as identifier_count
    from moved
    where canonical_id is null

),

changes as (

    select * from joins
    union all
    select * from merges_and_splits
    union all
    select * from leaves

),

-- the first record that ties an identifier that moved to one that had been the other's or nobody's
edges_both_ways as (

    select
        from_key,
        to_key,
        source_system,
        tier,
        evidence_id,
        first_seen_at,
        identity_edge_id
    from edges
    union all
    select
        to_key as from_key,
        from_key as to_key,
        source_system,
        tier,
        evidence_id,
        first_seen_at,
        identity_edge_id
    from edges

),

evidence as (

    select
        moved.canonical_id,
        moved.former_canonical_id,
        case when moved.former_canonical_id is null then moved.identifier_key end
            as joined_key,
        edges_both_ways.source_system,
        edges_both_ways.tier,
        edges_both_ways.evidence_id,
        edges_both_ways.first_seen_at,
        edges_both_ways.identity_edge_id
    from moved
    inner join edges_both_ways
        on moved.identifier_key = edges_both_ways.from_key
    inner join identifiers_resolved as other_ends
        on
            edges_both_ways.to_key = other_ends.identifier_key
            and moved.canonical_id = other_ends.canonical_id
    inner join former_assignments as other_ends_before
        on
            edges_both_ways.to_key = other_ends_before.identifier_key
            and moved.canonical_id = other_ends_before.canonical_id

),

first_evidence as (

    {{ deduplicate(
        'evidence',
        'canonical_id, former_canonical_id, joined_key',
        'first_seen_at, identity_edge_id'
    ) }}

),

-- what parted a person is no record but the lack of one, or an operator's word
decided_splits as (

    select
        moved.canonical_id,
        moved.former_canonical_id,
        decisions.event_id,
        decisions.decided_at
    from moved
    inner join decisions
        on moved.identifier_key in (decisions.from_key, decisions.to_key)
    where
        moved.canonical_id is not null
        and moved.former_canonical_id is not null

),

last_decided_splits as (

    {{ deduplicate(
        'decided_splits', 'canonical_id, former_canonical_id', 'decided_at desc, event_id desc'
    ) }}

),

changes_with_evidence as (

    select
        changes.change_type,
        changes.canonical_id,
        changes.former_canonical_id,
        changes.identifier_key,
        cast(null as {{ dbt.type_string() }}) as other_identifier_key,
        changes.identifier_count,
        case
            when changes.change_type = 'split' and last_decided_splits.event_id is not null
                then 'kept_apart'
        end as reason,
        case
            when changes.change_type = 'split'
                then
                    case when last_decided_splits.event_id is not null then 'operator' end
            else first_evidence.source_system
        end as source_system,
        case when changes.change_type <> 'split' then first_evidence.tier end as tier,
        case
            when changes.change_type = 'split' then last_decided_splits.event_id
            else first_evidence.evidence_id
        end as evidence_id
    from changes
    left join last_decided_splits
        on
            changes.canonical_id = last_decided_splits.canonical_id
            and changes.former_canonical_id = last_decided_splits.former_canonical_id
    left join first_evidence
        on
            changes.canonical_id = first_evidence.canonical_id
            and coalesce(changes.former_canonical_id, '')
            = coalesce(first_evidence.former_canonical_id, '')
            and (
                first_evidence.joined_key is null
                or changes.identifier_key = first_evidence.joined_key
            )

),

-- links held before and not released since
{% if is_incremental() %}
former_holds as (

    {{ deduplicate(
        "(select * from " ~ this ~ " where change_type in ('hold', 'release')) as hold_rows",
        'identifier_key, other_identifier_key',
        'build_number desc'
    ) }}

),
{% else %}
former_holds as (

    select
        identifier_key,
        cast(null as {{ dbt.type_string() }}) as other_identifier_key,
        cast(null as {{ dbt.type_string() }}) as change_type,
        cast(null as {{ dbt.type_string() }}) as reason
    from identifiers_resolved
    where 1 = 0

),
{% endif %}

standing_holds as (

    select
        identifier_key,
        other_identifier_key
    from former_holds
    where change_type = 'hold'

),

holds_changed as (

    select
        case when links_held.from_key is null then 'release' else 'hold' end as change_type,
        links_held.from_key,
        links_held.to_key,
        coalesce(links_held.from_key, standing_holds.identifier_key) as identifier_key,
        coalesce(links_held.to_key, standing_holds.other_identifier_key) as other_identifier_key,
        links_held.reason,
        links_held.tier,
        links_held.identity_link_id
    from links_held
    full join standing_holds
        on
            links_held.from_key = standing_holds.identifier_key
            and links_held.to_key = standing_holds.other_identifier_key
    where
        links_held.from_key is null
        or standing_holds.identifier_key is null

),

ends_of_holds as (

    select from_key as identifier_key from holds_changed
    union
    select to_key as identifier_key from holds_changed

),

people_at_holds as (

    select
        identifier_key,
        canonical_id
    from identifiers_resolved
    where {{ is_touched('ends_of_holds', ['identifier_key']) }}

),

holds as (

    select
        holds_changed.change_type,
        from_people.canonical_id,
        to_people.canonical_id as former_canonical_id,
        holds_changed.identifier_key,
        holds_changed.other_identifier_key,
        cast(2 as bigint) as identifier_count,
        holds_changed.reason,
        cast(null as {{ dbt.type_string() }}) as source_system,
        holds_changed.tier,
        holds_changed.identity_link_id as evidence_id
    from holds_changed
    left join people_at_holds as from_people
        on holds_changed.from_key = from_people.identifier_key
    left join people_at_holds as to_people
        on holds_changed.to_key = to_people.identifier_key

),

all_changes as (

    select * from changes_with_evidence
    union all
    select * from holds

),

identity_changes as (

    select
        {{ dbt.hash(
            "change_type || '>' || coalesce(canonical_id, '') || '>' || coalesce(former_canonical_id, '') || '>' || identifier_key"
            ~ " || '>' || coalesce(other_identifier_key, '') || '>" ~ next_build_number() ~ "'"
        ) }} as identity_change_id,
        {{ as_of() }} as changed_at,
        change_type,
        canonical_id,
        former_canonical_id,
        identifier_key,
        other_identifier_key,
        cast(identifier_count as bigint) as identifier_count,
        reason,
        source_system,
        tier,
        evidence_id,
        cast({{ next_build_number() }} as bigint) as build_number,
        (
            select max(assignments.build_number)
            from {{ ref('int_identity_assignments') }} as assignments
        ) as told_build_number
    from all_changes
    {% if not is_newest_moment('changed_at') %}
    where 1 = 0
    {% endif %}

)

select * from identity_changes
