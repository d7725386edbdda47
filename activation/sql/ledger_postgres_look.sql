-- What marks the ledger in this schema, if one is there, and how many other tables are; an extension's are nobody's.
select
    obj_description(to_regclass(quote_ident(current_schema()) || '.ledger_identity'), 'pg_class'),
    (
        select count(*)
        from pg_class
        where
            relnamespace = to_regnamespace(quote_ident(current_schema()))
            and relkind in ('r', 'p', 'v', 'm')
            and not exists (
                select 1
                from pg_depend
                where
                    pg_depend.classid = 'pg_class'::regclass
                    and pg_depend.objid = pg_class.oid
                    and pg_depend.deptype = 'e'
            )
    )
