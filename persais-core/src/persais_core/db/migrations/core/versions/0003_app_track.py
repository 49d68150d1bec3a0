"""The track of the bot's own tables"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "app_migrations",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("change_id", sa.BigInteger(), nullable=True),
        sa.Column("commit", sa.Text(), nullable=True),
        sa.Column("is_lossy", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.Column("steps", postgresql.JSONB(astext_type=sa.Text()), server_default="[]", nullable=False),
        sa.Column("up_sql", sa.Text(), nullable=False),
        sa.Column("down_sql", sa.Text(), nullable=False),
        sa.Column("again_sql", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=True),
        sa.Column("actor", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("planned_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reverted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_app_migrations")),
        schema="persais",
    )
    op.create_index(op.f("ix_app_migrations_commit"), "app_migrations", ["commit"], unique=False, schema="persais")
    op.create_index(
        "uq_app_migrations_change_id_is_lossy",
        "app_migrations",
        ["change_id", "is_lossy"],
        unique=True,
        schema="persais",
    )
