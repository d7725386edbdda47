{#
  Builds by what changed. `int_identity_build_begun` says of each build whether it is a full one. In one that is not, models
  of the materialization `maintained` compute only the rows about what was touched since the last build and put them in the
  place of their former ones. `int_identity_build_ended` is written last, so a build that was killed, or one that built only
  a part, is followed by a full one. See docs/decisions/0020-identity-by-what-changed.md.
#}

{# Whether the model that is being compiled is built by what was touched. #}
{% macro is_delta() -%}
    {{ return(model.resource_type == 'model' and model.config.materialized != 'unit' and is_begun_by_this_command('not is_full')) }}
{%- endmacro %}

{# Whether this command has begun a build of identity, one that meets a condition. #}
{% macro is_begun_by_this_command(condition='1 = 1') -%}
    {%- set begun = load_relation(identity_build('begun')) if execute else none -%}
    {{ return(begun is not none and number_of(
        'select count(*) as build_count from ' ~ begun ~ " where build_id = '" ~ invocation_id ~ "' and " ~ condition
    ) == 1) }}
{%- endmacro %}

{# A number for this command, another than any before it had: when it started, in microseconds since 1970. #}
{% macro command_number() -%}
    {{ return((run_started_at.timestamp() * 1000000) | int) }}
{%- endmacro %}

{# The table that says how the last build began, or that it ended. #}
{% macro identity_build(edge) -%}
    {{ return(identity_table('int_identity_build_' ~ edge)) }}
{%- endmacro %}

{# A table of the last build, to be read before this build replaces it: that is why it is no `ref`. #}
{% macro identity_table(name) -%}
    {{ return(api.Relation.create(
        database=this.database, schema=generate_schema_name('intermediate', model), identifier=name, type='table'
    )) }}
{%- endmacro %}

{# The id of the build of identity that was begun before this one, or none. #}
{% macro former_identity_build() -%}
    {%- set begun = load_relation(identity_build('begun')) -%}
    {{ return(run_query('select max(build_id) as build_id from ' ~ begun).columns[0].values()[0] if begun else none) }}
{%- endmacro %}

{#
  What this build must agree with the last one in for what is not touched to stand: the rules, the models and whatever the
  caller counts as the project (`cdp run`: a hash of all its files; by hand, a changed macro needs --full-refresh).
#}
{% macro identity_fingerprint() -%}
    {%- set parts = [tojson(identity_rules()), var('project_hash', '')] -%}
    {%- for node in graph.nodes.values() | sort(attribute='unique_id') if node.resource_type == 'model' -%}
        {%- do parts.append(node.unique_id ~ node.checksum.checksum) -%}
    {%- endfor -%}
    {{ return(local_md5(parts | join('/'))) }}
{%- endmacro %}

{#
  Why this build has to be a full one, or none. `batches` are those of which rows came or went; `unfinished` is a query of
  the rows that a killed load left: what is built of them can not be built on.
#}
{% macro reason_for_full_build(fingerprint, batches, unfinished) -%}
    {%- if number_of('select count(*) as open_count from (' ~ unfinished ~ ') as unfinished') > 0 -%}
        {{ return('a load is not finished') }}
    {%- endif -%}
    {%- if target.type != 'duckdb' -%}{{ return('this engine builds in full') }}{%- endif -%}
    {%- if flags.FULL_REFRESH -%}{{ return('it was asked for') }}{%- endif -%}
    {%- set begun, ended = load_relation(identity_build('begun')), load_relation(identity_build('ended')) -%}
    {%- if begun is none or ended is none -%}{{ return('it is the first') }}{%- endif -%}
    {%- for node in graph.nodes.values()
        if node.config.materialized in ('maintained', 'identity_components')
        or node.name in ('int_identity_decisions_applied', 'int_identity_assignments') -%}
        {%- if load_relation(api.Relation.create(
            database=node.database, schema=node.schema, identifier=node.alias, type='table'
        )) is none -%}
            {{ return('there is no ' ~ node.alias ~ ' yet') }}
        {%- endif -%}
    {%- endfor -%}
    {%- set former = run_query(
        'select begun.fingerprint, begun.is_full_because from ' ~ begun ~ ' as begun '
        ~ 'inner join ' ~ ended ~ ' as ended on begun.build_id = ended.build_id'
    ).rows -%}
    {%- if former | length == 0 -%}{{ return('the last build did not build all of it') }}{%- endif -%}
    {%- if former[0].fingerprint != fingerprint -%}{{ return('rules or models changed') }}{%- endif -%}
    {%- if former[0].is_full_because == 'a load is not finished' -%}{{ return('the last build saw an unfinished load') }}{%- endif -%}
    {%- if number_of(
        'select count(*) as later_count from ' ~ identity_table('int_identity_assignments') ~ ' where assigned_at > ' ~ as_of()
        ~ ' or assigned_at > (select max(as_of) from ' ~ begun ~ ')'
    ) > 0 -%}
        {{ return('it or the last is of an earlier moment') }}
    {%- endif -%}
    {%- set changed = number_of('select sum(abs(row_count - former_row_count)) as changed_count from ' ~ batches) -%}
    {%- if changed > 0.3 * number_of('select count(*) as row_count from ' ~ identity_table('int_events_with_identifiers')) -%}
        {{ return('too much changed') }}
    {%- endif -%}
    {{ return(none) }}
{%- endmacro %}

{#
  The batches of which rows came or went, as a query: batch_id, row_count, former_row_count. `now` is the name of a CTE with
  the rows, `before` the relation of the former ones, or none; both have a batch_id. A row of a batch never changes, it
  comes or goes: `sums`, aggregates of any kind, tell which batch lost or won one.
#}
{% macro batches_changed(now, before, sums) -%}
    {%- set columns, conditions = [], [] -%}
    {%- for sum in sums -%}
        {%- do columns.append(sum ~ ' as sum_' ~ loop.index) -%}
        {%- do conditions.append('batches.sum_' ~ loop.index ~ ' <> former_batches.sum_' ~ loop.index) -%}
    {%- endfor -%}
    select
        coalesce(batches.batch_id, former_batches.batch_id) as batch_id,
        cast(coalesce(batches.row_count, 0) as bigint) as row_count,
        cast(coalesce(former_batches.row_count, 0) as bigint) as former_row_count
    from (
        select batch_id, count(*) as row_count, {{ columns | join(', ') }}
        from {{ now }}
        group by batch_id
    ) as batches
    full join (
        select batch_id, count(*) as row_count, {{ columns | join(', ') }}
        from {{ before if before else '(select * from ' ~ now ~ ' where 1 = 0) as none_before' }}
        group by batch_id
    ) as former_batches
        on batches.batch_id = former_batches.batch_id
    where
        batches.row_count is null
        or former_batches.row_count is null
        or batches.row_count <> former_batches.row_count
        or {{ conditions | join(' or ') }}
{%- endmacro %}

{#
  A condition of a build by what was touched: one of the columns is among the touched keys, or with `all_of` every one.
  `touched` is the relation of those keys, `touched_column` its column.
#}
{% macro is_touched(touched, columns, all_of=false, touched_column='identifier_key') -%}
    {%- set conditions = [] -%}
    {%- for column in columns -%}
        {%- do conditions.append(column ~ ' in (select ' ~ touched_column ~ ' from ' ~ touched ~ ')') -%}
    {%- endfor -%}
    ({{ conditions | join(' and ' if all_of else ' or ') }})
{%- endmacro %}

{# `is_touched` in a build by what changed, and always true in a full one. #}
{% macro touched_only(by_delta, touched, columns, all_of=false, touched_column='identifier_key') -%}
    {{ is_touched(touched, columns, all_of, touched_column) if by_delta else '1 = 1' }}
{%- endmacro %}
