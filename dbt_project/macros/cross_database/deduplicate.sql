{% macro deduplicate(relation, key, order) -%}
    {{ return(adapter.dispatch('deduplicate', 'cdp')(relation, key, order)) }}
{%- endmacro %}

{% macro default__deduplicate(relation, key, order) -%}
    select *
    from (
        select
            *,
            row_number() over (partition by {{ key }} order by {{ order }}) as deduplicate_rank
        from {{ relation }}
    ) as ranked_for_deduplication
    where deduplicate_rank = 1
{%- endmacro %}
