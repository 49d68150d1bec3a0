"""The first turns of a release, counted for all its processes; a freed lock wakes whoever works elsewhere"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# A job that has ended well is deleted, which no trigger told of yet: what waited for its lock was only found by the
# next poll, unless it happened to be the turn of the same process.
WAKE_SUCCESSORS = """
create function persais_wake_successors() returns trigger language plpgsql as $$
declare waiting record;
begin
  for waiting in select queue_name, min(id) as id from procrastinate_jobs
      where lock = old.lock and status = 'todo' group by queue_name loop
    perform pg_notify('procrastinate_queue_v1#' || waiting.queue_name,
      json_build_object('type', 'job_inserted', 'job_id', waiting.id)::text);
  end loop;
  return null;
end $$;
create trigger persais_wake_successors after delete on procrastinate_jobs for each row
  when (old.status = 'doing' and old.lock is not null) execute function persais_wake_successors();
"""


def upgrade() -> None:
    op.create_table(
        "first_turns",
        sa.Column("commit", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("turns", sa.Integer(), nullable=False),
        sa.Column("broken", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("commit", "agent", name=op.f("pk_first_turns")),
        schema="persais",
    )
    op.execute("set local search_path = persais_queue, public")
    op.execute(WAKE_SUCCESSORS)
    op.execute("reset search_path")
