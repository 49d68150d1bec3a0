"""Indexes for the sums that the cost caps ask for before each call of a model"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_model_calls_user_id_at", "model_calls", ["user_id", "at"], schema="persais")
    op.create_index("ix_model_calls_change_id", "model_calls", ["change_id"], schema="persais")
