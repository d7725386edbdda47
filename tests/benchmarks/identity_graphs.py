"""Identity graphs of any size, as two Parquet files: `nodes.parquet` and `links.parquet`."""

from pathlib import Path

import duckdb

# A person has a customer id and one to eight more identifiers, each tied to the id or to the one before it.
# One in a thousand shares a device with the next person: the limit of one customer id must take them apart.
ORDINARY = """
create table members as
select
    person,
    member,
    md5(person || '/' || member) as identifier_key,
    case when member = 0 then 'user_id' when member % 3 = 1 then 'email' else 'anonymous_id' end
        as identifier_type,
    timestamp '2026-01-01' + interval (hash(person, member) % 300) day as first_seen_at
from
    (select range as person from range({people})) as people,
    range(2 + cast(hash(person) % 8 as bigint)) as numbers (member);

create table nodes as
select
    identifier_key,
    identifier_type,
    first_seen_at as received_at,
    first_seen_at,
    first_seen_at as last_seen_at
from members;

create table links as
select
    least(members.identifier_key, others.identifier_key) as from_key,
    greatest(members.identifier_key, others.identifier_key) as to_key,
    case when members.identifier_type = 'email' then 1 else 2 end as tier_rank,
    members.first_seen_at
from members
inner join members as others
    on members.person = others.person
    and others.member
        = case when hash(members.member, members.person) % 2 = 0 then 0 else members.member - 1 end
where members.member > 0
union all
select
    least(members.identifier_key, others.identifier_key),
    greatest(members.identifier_key, others.identifier_key),
    2,
    timestamp '2026-11-01'
from members
inner join members as others on others.person = members.person + 1 and others.member = 0
where members.member = 1 and members.person % 1000 = 7;
"""

# `other` says to which earlier identifier the n-th is tied
SHAPE = """
create table nodes as
select
    md5('n' || i) as identifier_key,
    'anonymous_id' as identifier_type,
    timestamp '2026-01-01' + interval (i) second as received_at,
    received_at as first_seen_at,
    received_at as last_seen_at
from range({links} + 1) as numbers (i);

create table links as
select
    least(md5('n' || i), md5('n' || {other})) as from_key,
    greatest(md5('n' || i), md5('n' || {other})) as to_key,
    2 as tier_rank,
    timestamp '2026-01-01' + interval ({moment}) second as first_seen_at
from range(1, {links} + 1) as numbers (i);
"""
SHAPES = {
    "ordinary": None,
    "hub": ("0", "i"),
    "chain_sorted": ("(i - 1)", "i"),
    "chain_shuffled": ("(i - 1)", "hash(i) % 100000000"),
}


def write_graph(folder: Path, shape: str, links: int) -> int:
    """Write both files; returns the number of links, which is near the one asked for."""
    folder.mkdir(parents=True, exist_ok=True)
    form = SHAPES[shape]
    with duckdb.connect() as connection:
        if form is None:
            # a person has five and a half identifiers on average
            connection.execute(ORDINARY.format(people=int(links / 4.5)))
        else:
            connection.execute(SHAPE.format(links=links, other=form[0], moment=form[1]))
        for table in ("nodes", "links"):
            connection.execute(f"copy {table} to '{folder / table}.parquet'")
        found = connection.execute("select count(*) from links").fetchone()
    assert found is not None
    return int(found[0])
