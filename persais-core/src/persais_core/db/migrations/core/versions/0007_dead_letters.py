"""Dead letters, the pace of sending, and what is known of messages that may have arrived twice"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letters")),
        schema="persais",
    )
    op.create_index(
        "uq_dead_letters_waiting",
        "dead_letters",
        ["kind", "subject"],
        unique=True,
        schema="persais",
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_table(
        "send_limits",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("spent_until", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("paused_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_send_limits")),
        schema="persais",
    )
    op.add_column("outbox", sa.Column("done", sa.Integer(), server_default="0", nullable=False), schema="persais")
    op.add_column("outbox", sa.Column("doubts", sa.Integer(), server_default="0", nullable=False), schema="persais")
    op.add_column("people", sa.Column("blocked_at", sa.DateTime(timezone=True), nullable=True), schema="persais")
