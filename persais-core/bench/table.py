"""The printout: one aligned table, a row for each figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.memory import Memory

HEADS = ("", "ours", "bare", "ratio", "aim", "")


@dataclass(frozen=True)
class Row:
    """One figure.

    Args:
        label: what was measured.
        ours: already with its unit.
        bare: of the minimal bot; empty where there is none.
        ratio: ours / bare.
        aim: the most it should be, as words.
        met: whether the aim is met; None without one.
    """

    label: str
    ours: str
    bare: str = ""
    ratio: float | None = None
    aim: str = ""
    met: bool | None = None

    def cells(self) -> tuple[str, ...]:
        """What stands in the columns."""
        verdict = {True: "met", False: "MISSED", None: ""}[self.met]
        return self.label, self.ours, self.bare, f"{self.ratio:.2f}x" if self.ratio else "", self.aim, verdict


FAILED = Row("did not work; the reason is told above the table", "-")


def compared(label: str, ours: float, bare: float, *, unit: str, most: float | None = None) -> Row:
    """A figure of both bots; `unit` is s or ms, and the values are seconds."""
    ratio = ours / bare
    aim = f"<= {most:g}x" if most else ""
    return Row(label, shown(ours, unit), shown(bare, unit), ratio, aim, ratio <= most if most else None)


def seconds(label: str, value: float, *, most: float | None = None) -> Row:
    """A figure of ours alone, in seconds."""
    return Row(label, shown(value, "s"), aim=f"< {most:g} s" if most else "", met=value < most if most else None)


def memory(label: str, ours: Memory, bare: Memory | None = None, *, most: float | None = None) -> list[Row]:
    """Resident and proportional memory; the aim (MB) is about the resident."""
    ratio = ours.rss / bare.rss if bare else None
    aim, met = (f"< {most:g} MB", ours.rss < most) if most else ("", None)
    rows = [Row(f"{label}, RSS", _megabytes(ours.rss), _megabytes(bare.rss) if bare else "", ratio, aim, met)]
    if ours.pss is not None:
        other = bare.pss if bare else None
        proportion = ours.pss / other if other else None
        rows.append(Row(f"{label}, PSS", _megabytes(ours.pss), _megabytes(other) if other else "", proportion))
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
        cells = [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:4], widths[1:4], strict=True))]
        cells += [line[4].ljust(widths[4]), line[5]]
        out.append("  ".join(cells).rstrip())
    return "\n".join(out)
