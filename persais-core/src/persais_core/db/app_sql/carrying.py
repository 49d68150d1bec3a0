"""What keeps a renamed column and the one that took its place the same, while the table has both.

The release that serves writes into the one, the release that is to serve into the other, and each must read what the
other has written; so it is done by the database, row by row, before a row is stored. One function does it for all
tables: which columns it is about stands in the arguments of the trigger. It lies beside what is put aside, where no
agent has rights, and it does nothing in a table in which one of its columns is missing.
"""

from __future__ import annotations

from psycopg import sql

from persais_core.db.app_schema import Carry
from persais_core.db.app_sql.definitions import in_public

FUNCTION = sql.SQL("""create or replace function attic.carry() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $carry$
declare
  before text := tg_argv[0];
  after text := tg_argv[1];
  given jsonb := to_jsonb(new);
  is_newer boolean;
begin
  if not (given ? before and given ? after) then
    return new;
  end if;
  if tg_op = 'INSERT' then
    is_newer := given ->> after is not null;
  elsif given -> after is distinct from to_jsonb(old) -> after then
    is_newer := true;
  elsif given -> before is distinct from to_jsonb(old) -> before then
    is_newer := false;
  else
    return new;
  end if;
  if not is_newer then
    if given ->> before is null and tg_argv[2] is not null then
      given := given || jsonb_build_object(before, tg_argv[2]::jsonb);
    end if;
    return jsonb_populate_record(new, jsonb_build_object(after, given -> before));
  end if;
  begin
    return jsonb_populate_record(new, jsonb_build_object(before, given -> after));
  exception when data_exception then
    -- It has more room by its new name; the old one holds nothing rather than something else.
    return jsonb_populate_record(new, jsonb_build_object(before, null));
  end;
end $carry$""")


def couple(table: str, carry: Carry) -> sql.Composed:
    """Keep two columns the same from now on."""
    told = [carry.before, carry.after, *([] if carry.fill is None else [carry.fill])]
    return sql.SQL(
        "create or replace trigger {} before insert or update on {} for each row execute function attic.carry({})"
    ).format(sql.Identifier(carry.trigger), in_public(table), sql.SQL(", ").join(map(sql.Literal, told)))


def uncouple(table: str, carry: Carry) -> sql.Composed:
    """Do so no more."""
    return sql.SQL("drop trigger if exists {} on {}").format(sql.Identifier(carry.trigger), in_public(table))
