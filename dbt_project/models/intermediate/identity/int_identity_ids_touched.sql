{#-
  Published ids that were ever those of an identifier that was resolved again; of those that have lost their own identifier
  also the ones of which the last build gave an identifier to another: such an id goes where most of its own are. None in a
  full build.
-#}
-- depends_on: {{ ref('int_identity_build_begun') }}
{% set by_delta = is_delta() %}
{% set id_column = 'canonical_id' %}
with published as (

    {{ published_before() }}

),

resolved_again as (

    select * from {{ ref('int_identifiers_resolved_again') }}

),

published_since as (

    {{ published_by_last_build() }}

),

ids_without_anchor as (

    select canonical_id
    {% if by_delta %}
    from {{ identity_table('int_identity_ids_placed') }}
    where is_anchor_gone
    {% else %}
    from published
    where 1 = 0
    {% endif %}

),

ids_touched as (

    select distinct canonical_id
    from published
    where
        canonical_id is not null
        and (
            {{ is_touched('resolved_again', ['identifier_key']) }}
            or (
                {{ is_touched('published_since', ['identifier_key']) }}
                and {{ is_touched('ids_without_anchor', [id_column], touched_column=id_column) }}
            )
        )

)

select * from ids_touched
