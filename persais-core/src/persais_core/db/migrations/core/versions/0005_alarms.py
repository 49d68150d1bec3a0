"""Alarms: which acts are alarming, which of them were told; and no way around the log that is only added to"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("audit", sa.Column("alarm", sa.Text(), nullable=True), schema="persais")
    op.create_index("ix_audit_at", "audit", ["at"], schema="persais")
    # It holds next to nothing, and is looked at every few seconds.
    op.create_index("ix_audit_alarm", "audit", ["at"], schema="persais", postgresql_where=sa.text("alarm is not null"))
    op.create_table(
        "alerts",
        sa.Column("audit_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("audit_id", name=op.f("pk_alerts")),
        schema="persais",
    )
    op.create_index("ix_alerts_kind_told_at", "alerts", ["kind", "told_at"], schema="persais")
    # As made at first, a session that plays the replica (`session_replication_role`) would not have been refused.
    op.execute("alter table persais.audit enable always trigger audit_is_append_only")
