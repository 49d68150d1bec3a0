"""The core's own tables, all in schema `persais`.

One module per subject. Importing this package makes `METADATA` complete, which is what Alembic compares with.
"""

from persais_core.db.tables import chats as chats
from persais_core.db.tables import configs as configs
from persais_core.db.tables import evolution as evolution
from persais_core.db.tables import people as people
from persais_core.db.tables import sending as sending
from persais_core.db.tables import tracks as tracks
from persais_core.db.tables.base import METADATA as METADATA
