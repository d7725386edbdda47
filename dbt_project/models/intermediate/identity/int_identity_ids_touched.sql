{#-
  Published ids that were ever those of an identifier that was resolved again, or to which the last build gave an id: that
  one is among the published ids only now. None in a full build.
-#}
-- depends_on: {{ ref('int_identity_build_begun') }}
with published as (

    {{ published_before() }}

),

resolved_again as (

    select * from {{ ref('int_identifiers_resolved_again') }}

),

published_since as (

    {{ published_by_last_build() }}

),

ids_touched as (

    select distinct canonical_id
    from published
    where
        canonical_id is not null
        and (
            {{ is_touched('resolved_again', ['identifier_key']) }}
            or {{ is_touched('published_since', ['identifier_key']) }}
        )

)

select * from ids_touched
