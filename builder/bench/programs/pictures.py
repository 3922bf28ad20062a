"""The report on programs as one HTML page, its pictures drawn in SVG."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_WIDTH, _LABEL, _BAR = 760, 230, 18
_HEIGHT, _MARGIN = 260, 48
_MOST_BARS = 40
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; }
td { padding: 0.1em 1.5em 0.1em 0; }
td + td { text-align: right; }
svg { display: block; max-width: 100%; height: auto; }
text { font-size: 12px; fill: currentColor; }
rect, polyline { fill: #4878a8; }
polyline { fill: none; stroke: #4878a8; stroke-width: 2; }
line { stroke: currentColor; stroke-opacity: 0.4; }
@media (prefers-color-scheme: dark) { body { background: #181a1c; color: #ddd; } }
"""
_BARS = {
    "core_seconds": "Core-seconds by stage",
    "gates": "Rejections by gate",
    "levels": "Levels of difficulty",
    "dtypes": "Types of inputs",
    "outputs": "Outputs a program",
    "input_elements": "Elements of the largest input",
    "families": "Programs by family",
}


def page(result: Mapping[str, Any]) -> str:
    """An HTML page that needs nothing else.

    Args:
        result: what ``measure`` of ``builder.bench.programs.bench`` returns.
    """
    parts = [_figures(result)]
    parts += [_section(title, bars(result[key])) for key, title in _BARS.items() if result[key]]
    if len(result["distinct_growth"]) > 1:
        curve = line(result["distinct_growth"])
        parts.append(_section("Distinct structures per thousand programs drawn", curve))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n<title>Programs</title>\n'
        f"<style>{_STYLE}</style>\n<h1>Programs</h1>\n" + "\n".join(parts) + "\n</html>\n"
    )


def bars(counts: Mapping[str, float]) -> str:
    """A bar for each count, with its name; the largest of many."""
    shown = sorted(counts.items(), key=lambda item: -item[1])[:_MOST_BARS]
    top = max((count for _, count in shown), default=0) or 1
    rows = []
    for place, (name, count) in enumerate(shown):
        y = place * (_BAR + 4)
        length = (_WIDTH - _LABEL - 80) * count / top
        rows.append(
            f'<text x="{_LABEL - 8}" y="{y + 13}" text-anchor="end">{escape(str(name))}</text>'
            f'<rect x="{_LABEL}" y="{y}" width="{length:.1f}" height="{_BAR}"/>'
            f'<text x="{_LABEL + length + 6:.1f}" y="{y + 13}">{count:,}</text>'
        )
    return _svg(len(shown) * (_BAR + 4), "".join(rows))


def line(values: Sequence[float]) -> str:
    """A curve through the values at one thousand, two thousand, ..."""
    top, last = max(*values, 1), len(values)
    step = (_WIDTH - 2 * _MARGIN) / max(last - 1, 1)
    scale = (_HEIGHT - 2 * _MARGIN) / top
    points = [
        (_MARGIN + place * step, _HEIGHT - _MARGIN - value * scale)
        for place, value in enumerate(values)
    ]
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    base = _HEIGHT - _MARGIN
    axes = (
        f'<line x1="{_MARGIN}" y1="{base}" x2="{_WIDTH - _MARGIN}" y2="{base}"/>'
        f'<line x1="{_MARGIN}" y1="{_MARGIN}" x2="{_MARGIN}" y2="{base}"/>'
        f'<text x="{_MARGIN}" y="{base + 18}">1,000</text>'
        f'<text x="{_WIDTH - _MARGIN}" y="{base + 18}" text-anchor="end">{last * 1000:,}</text>'
        f'<text x="{_MARGIN + 6}" y="{_MARGIN - 6}">{top:,}</text>'
    )
    return _svg(_HEIGHT, f'{axes}<polyline points="{drawn}"/>')


def _svg(height: float, content: str) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" role="img">{content}</svg>'


def _section(title: str, content: str) -> str:
    return f"<h2>{escape(title)}</h2>\n{content}"


def _figures(result: Mapping[str, Any]) -> str:
    plain = {key: value for key, value in result.items() if not isinstance(value, (list, dict))}
    plain |= {f"calls, {key}": value for key, value in result["calls"].items()}
    plain |= {
        f"rechecked: {key}": value
        for key, value in result["rechecked"].items()
        if not isinstance(value, list)
    }
    rows = "".join(
        f"<tr><td>{escape(key.replace('_', ' '))}</td><td>{value:,}</td></tr>\n"
        for key, value in plain.items()
    )
    return f"<table>\n{rows}</table>"
