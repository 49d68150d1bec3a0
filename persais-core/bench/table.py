"""The printout: one aligned table, a row for each figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.memory import Memory

HEADS = ("", "ours", "plain", "kept", "ratio", "aim", "")


@dataclass(frozen=True)
class Row:
    """One figure.

    Args:
        label: what was measured.
        ours: already with its unit.
        kept: of the minimal bot that keeps conversations in Postgres; empty where there is none.
        plain: of the one that keeps nothing.
        ratio: ours / kept.
        aim: the most it should be, as words.
        met: whether the aim is met; None without one.
    """

    label: str
    ours: str
    kept: str = ""
    ratio: float | None = None
    aim: str = ""
    met: bool | None = None
    plain: str = ""

    def cells(self) -> tuple[str, ...]:
        """What stands in the columns."""
        verdict = {True: "met", False: "MISSED", None: ""}[self.met]
        ratio = f"{self.ratio:.2f}x" if self.ratio else ""
        return self.label, self.ours, self.plain, self.kept, ratio, self.aim, verdict


FAILED = Row("did not work; the reason is told above the table", "-")


def compared(
    label: str, ours: float, kept: float, *, unit: str, most: float | None = None, plain: float | None = None
) -> Row:
    """A figure of several bots; `unit` is s or ms, and the values are seconds."""
    ratio = ours / kept if kept else None
    aim = f"<= {most:g}x" if most else ""
    met = ratio <= most if most and ratio else None
    return Row(
        label, shown(ours, unit), shown(kept, unit), ratio, aim, met, shown(plain, unit) if plain is not None else ""
    )


def seconds(label: str, value: float, *, most: float | None = None) -> Row:
    """A figure of ours alone, in seconds."""
    return Row(label, shown(value, "s"), aim=f"< {most:g} s" if most else "", met=value < most if most else None)


def memory(
    label: str, ours: Memory, kept: Memory | None = None, *, most: float | None = None, plain: Memory | None = None
) -> list[Row]:
    """Resident and proportional memory; the aim (MB) is about the resident."""
    aim, met = (f"< {most:g} MB", ours.rss < most) if most else ("", None)
    rows = []
    for name in ("rss", "pss"):
        mine, theirs, least = (getattr(held, name) if held else None for held in (ours, kept, plain))
        if mine is not None:
            cells = ["" if value is None else _megabytes(value) for value in (mine, theirs, least)]
            ratio = mine / theirs if theirs else None
            rows.append(Row(f"{label}, {name.upper()}", cells[0], cells[1], ratio, aim, met, cells[2]))
        aim, met = "", None
    return rows


def shown(value: float, unit: str) -> str:
    """Seconds as a cell."""
    return f"{value * 1000:.1f} ms" if unit == "ms" else f"{value:.2f} s"


def _megabytes(value: float) -> str:
    return f"{value:.0f} MB"


def render(sections: Sequence[tuple[str, Sequence[Row]]]) -> str:
    """The whole table."""
    lines: list[tuple[str, ...]] = [HEADS]
    for title, rows in sections:
        lines.append((title, *[""] * (len(HEADS) - 1)))
        lines += [(f"  {row.cells()[0]}", *row.cells()[1:]) for row in rows]
    # A title may be longer than any label: nothing stands to its right.
    widths = [max(len(line[n]) for line in lines if n or any(line[1:])) for n in range(len(HEADS))]
    out = []
    for line in lines:
        if not any(line[1:]):
            out += ["", line[0]]
            continue
        cells = [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:5], widths[1:5], strict=True))]
        cells += [line[5].ljust(widths[5]), line[6]]
        out.append("  ".join(cells).rstrip())
    return "\n".join(out)
