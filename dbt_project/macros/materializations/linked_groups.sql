{#
  Who hangs together: the model's SQL selects pairs of ids (from_id, to_id), strings, never one id with itself.

  The table has one row per id that is in a pair: `member_id`; `group_id`, the smallest id of those that it can be reached
  from over any number of pairs. It is made anew by each build, by `contraction_labels`, with no recursion.
#}
{% materialization linked_groups, supported_languages=['sql'] %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set existing_relation = load_cached_relation(this) -%}
    {%- set made = [] -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {%- set pairs = scratch(made, 'pairs', 'select * from (' ~ sql ~ ') as pairs') -%}
    {%- set nodes = scratch(made, 'nodes',
        'select ' ~ row_id() ~ ' as node_id, member_id from (select from_id as member_id from ' ~ pairs
        ~ ' union select to_id as member_id from ' ~ pairs ~ ') as members'
    ) -%}
    {%- set labels = contraction_labels(made, 'groups',
        'select distinct least(from_nodes.node_id, to_nodes.node_id) as a, greatest(from_nodes.node_id, to_nodes.node_id) as b from '
        ~ pairs ~ ' as pairs inner join ' ~ nodes ~ ' as from_nodes on pairs.from_id = from_nodes.member_id '
        ~ 'inner join ' ~ nodes ~ ' as to_nodes on pairs.to_id = to_nodes.member_id'
    ) -%}
    {#- without pairs there are no labels, and no rows -#}
    {%- set groups_sql -%}
        select
            nodes.member_id,
            {{ 'min(nodes.member_id) over (partition by labels.label)' if labels else 'nodes.member_id' }} as group_id
        from {{ nodes }} as nodes
        {%- if labels %}
        inner join {{ labels }} as labels
            on nodes.node_id = labels.node_id
        {%- endif %}
    {%- endset -%}
    {%- if existing_relation is not none -%}{%- do adapter.drop_relation(existing_relation) -%}{%- endif -%}
    {% call statement('main') -%}
        {{ create_table_as(False, target_relation, groups_sql) }}
    {%- endcall %}
    {%- do drop_scratch(made) -%}

    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do persist_docs(target_relation, model) %}
    {{ adapter.commit() }}
    {{ run_hooks(post_hooks, inside_transaction=False) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}
