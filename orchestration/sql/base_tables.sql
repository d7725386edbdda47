-- Every base table of the warehouse, for counting its rows.
select
    table_schema,
    table_name
from information_schema.tables
where
    table_type = 'BASE TABLE'
    and table_schema in ('raw', 'activation', 'seeds', 'staging', 'intermediate', 'marts')
order by table_schema, table_name
