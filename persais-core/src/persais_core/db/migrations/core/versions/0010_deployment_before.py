"""Which version serves again when a new one does not hold, also after a restart of the supervisor"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deployments", sa.Column("before", sa.Text(), nullable=True), schema="persais")
