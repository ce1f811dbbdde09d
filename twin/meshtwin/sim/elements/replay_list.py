"""The replay protection list of a node's transport layer."""

__all__ = ["ReplayList"]


class ReplayList:
    """The last sequence number of each source, for up to ``size`` sources; none is ever forgotten.

    Source: Mesh Protocol 1.1, 3.8.8. (An IV Index update would free entries; runs are shorter than one.)
    """

    __slots__ = ("_free", "_last")

    def __init__(self, size: int, used: int = 0) -> None:
        """``used`` entries belong to sources that do not send here."""
        self._free = size - used
        self._last: dict[int, int] = {}

    def admit(self, source: int, sequence: int, *, is_segment: bool) -> bool:
        """Whether a PDU may be processed: newer than all before from its source, which has or gets an entry.

        Segments of one message share a sequence number (SeqAuth) and come in any order.
        """
        last = self._last.get(source)
        if last is None:
            if self._free == 0:
                return False
            self._free -= 1
        elif sequence < last or (sequence == last and not is_segment):
            return False
        self._last[source] = sequence
        return True
