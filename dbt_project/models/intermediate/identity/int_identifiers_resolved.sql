with components as (

    select * from {{ ref('int_identity_components') }}

),

identifiers as (

    select * from {{ ref('stg_ingestion__identifiers') }}
    where is_valid

),

identity_rules as (

    select * from {{ ref('identity_rules') }}

),

-- several raw spellings share one normalised value and one key
identifiers_once as (

    select
        identifier_key,
        identifier_type,
        min(identifier_value) as identifier_value
    from identifiers
    group by identifier_key, identifier_type

),

component_members as (

    select
        components.component,
        identifiers_once.identifier_key,
        identifiers_once.identifier_type,
        identifiers_once.identifier_value,
        identity_rules.priority
    from components
    inner join identifiers_once
        on components.node = identifiers_once.identifier_key
    inner join identity_rules
        on identifiers_once.identifier_type = identity_rules.identifier_type

),

-- the strongest identifier names the person
representatives as (

    {{ deduplicate('component_members', 'component', 'priority, identifier_key') }}

),

resolved as (

    select
        {{ dbt.hash("'person:' || representatives.identifier_key") }} as canonical_id,
        component_members.identifier_key,
        component_members.identifier_type,
        component_members.identifier_value
    from component_members
    inner join representatives
        on component_members.component = representatives.component

)

select * from resolved
