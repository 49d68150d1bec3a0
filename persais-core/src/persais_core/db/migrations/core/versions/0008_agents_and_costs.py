"""Whose agent it is and who may see it; which agent a call of a model was for"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "agents",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.BigInteger(), nullable=True),
        sa.Column("visibility", sa.Text(), server_default="shared", nullable=False),
        sa.CheckConstraint("visibility in ('private', 'shared')", name=op.f("ck_agents_visibility")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_agents")),
        schema="persais",
    )
    op.add_column("model_calls", sa.Column("agent", sa.Text(), nullable=True), schema="persais")
