"""Where everything that the bot says goes out.

A reply is stored under a key before it is sent, in the transaction of what caused it; a second try with the same key
changes nothing (`messages`). One job at a time sends to one chat, oldest message first (`sending`). A card is a message
whose text is put again: it is edited in the chat, at most once a second and behind what is new, and versions that were
overtaken are never sent.

Nothing is promised that cannot be kept: sending has no key on the other side, so a message whose sender died, or whose
request got no answer, is sent again and counted as a doubt.
"""

from persais_core.queue.outbox.messages import (
    SET_ASIDE,
    Claimed,
    Counts,
    answer,
    counts,
    is_put,
    key_of,
    put,
    show,
    shown,
    wake,
)
from persais_core.queue.outbox.sending import EDIT_PAUSE, MAX_ATTEMPTS, Outbox

__all__ = [
    "EDIT_PAUSE",
    "MAX_ATTEMPTS",
    "SET_ASIDE",
    "Claimed",
    "Counts",
    "Outbox",
    "answer",
    "counts",
    "is_put",
    "key_of",
    "put",
    "show",
    "shown",
    "wake",
]
