"""Figures as inline SVG: small, without ids that collide, coloured by the style sheet of the page.

Matplotlib repeats a style at every element, writes six decimals and gives figures the same ids. In
a page, styles become classes (its security policy forbids them at elements, and in the dark they
have other colours), decimals that nobody sees are dropped, and ids are numbered anew.
"""

from __future__ import annotations

import colorsys
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

DECIMALS = 1
"""Of coordinates in points."""
DECIMALS_OF_PARTS = 2
"""Of what is drawn many times: marks and ticks, a few points wide."""
FONTS = "font-family: 'DejaVu Sans', Verdana, sans-serif"
_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_KEPT = frozenset("x y width height d points transform cx cy r rx ry x1 y1 x2 y2".split())
"""Attributes of shapes, beside those that are treated one by one."""
_DECLARED = ("fill", "stroke", "stroke-width", "opacity")
"""Attributes that say what a style may say."""
_TAGS = frozenset(
    "g path use text tspan defs clipPath rect circle ellipse line polyline polygon pattern".split()
)
_NUMBER = re.compile(r"-?\d*\.?\d+(?:[eE][-+]?\d+)?")
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_COMMAND = re.compile(r"([A-Za-z])([^A-Za-z]*)")
_AROUND = re.compile(r"(title|note)-(\d+\.\d)")
"""Ids of title and note of a figure, with their heights in points."""
_FONT = re.compile(r"font: *(?:(oblique|italic) +)?(?:[a-z0-9]+ +)*?([0-9.]+px) [^;]*")


@dataclass
class Classes:
    """The styles of all figures of a page, each once.

    Attributes:
        prefix: of the classes.
        dark: whether figures have other colours on a dark page; else they stand on white there.
        names: class by style.
    """

    prefix: str = "c"
    dark: bool = True
    names: dict[str, str] = field(default_factory=dict)

    def of(self, style: str) -> str:
        """Return the class of a style, a list of CSS declarations."""
        return self.names.setdefault(style, f"{self.prefix}{len(self.names)}")

    def sheet(self) -> str:
        """Return the rules, and those that replace colours in the dark."""
        rules = [f".{name}{{{style}}}" for style, name in self.names.items()]
        dark = [
            f".{name}{{{changed}}}"
            for style, name in self.names.items()
            if self.dark and (changed := _in_the_dark(style))
        ]
        return "".join(rules) + (
            f"@media screen and (prefers-color-scheme:dark){{{''.join(dark)}}}" if dark else ""
        )


@dataclass(frozen=True)
class Drawing:
    """A figure as SVG for a page.

    Attributes:
        inner: its elements.
        box: its view box.
        width: at which its text has its natural size, in CSS pixels.
        height: of the same.
        note: what stands below it in its file, perhaps nothing.
    """

    inner: str
    box: str
    width: int
    height: int
    note: str = ""


def inline(path: Path, prefix: str, classes: Classes) -> Drawing:
    """Return a figure of Matplotlib's as elements of a page, without its title and its note.

    The page has a heading of its own, and sets the note as text, which wraps on a phone.

    Args:
        path: of the SVG file.
        prefix: of its ids, different for all figures of the page.
        classes: of the page, to which its styles are added.
    """
    root = ET.fromstring(path.read_bytes())
    note, above, below = _taken_off(root)
    text = ET.tostring(root, encoding="unicode")
    referred = [*_REFERENCE.findall(text), *(u.get(_LINK, "")[1:] for u in root.iter(f"{_SVG}use"))]
    ids = {name: f"{prefix}-{k}" for k, name in enumerate(dict.fromkeys(referred))}
    writer = _Writer(ids, classes)
    inner = "".join(writer.element(child) for child in root)
    width, height = (
        float(root.get(side, "0pt").removesuffix("pt")) for side in ("width", "height")
    )
    height -= above + below
    box = f"0 {above:g} {width:g} {height:g}"
    return Drawing(inner, box, round(width * 96 / 72), round(height * 96 / 72), note)


def _taken_off(root: ET.Element) -> tuple[str, float, float]:
    """Take title and note out of a figure; return the note, and the heights that are free.

    Heights are those of the strips at its upper and its lower end, in points.
    """
    note, free = "", {"title": 0.0, "note": 0.0}
    for parent in list(root.iter()):
        for child in list(parent):
            around = _AROUND.fullmatch(child.get("id", ""))
            if around is None:
                continue
            if around[1] == "note":
                lines = ("".join(line.itertext()).strip() for line in child.iter(f"{_SVG}text"))
                note = " ".join(lines)
            free[around[1]] = float(around[2])
            parent.remove(child)
    return note, free["title"], free["note"]


class _Writer:
    """Writes elements of one figure."""

    def __init__(self, ids: dict[str, str], classes: Classes) -> None:
        self.ids, self.classes = ids, classes

    def element(self, one: ET.Element, decimals: int = DECIMALS) -> str:
        tag = one.tag.removeprefix(_SVG)
        if tag not in _TAGS:
            return ""
        name = self.ids.get(one.get("id", ""))
        if name is not None or tag == "defs":
            decimals = DECIMALS_OF_PARTS
        attributes = {} if name is None else {"id": name}
        attributes |= self._attributes(one, decimals)
        content = escape(one.text, quote=False) if tag in ("text", "tspan") and one.text else ""
        for child in one:
            content += self.element(child, decimals)
            if tag == "text" and child.tail and child.tail.strip():
                content += escape(child.tail, quote=False)
        if tag in ("g", "defs") and (not content or not attributes):
            return content if tag == "g" else f"<defs>{content}</defs>" if content else ""
        written = "".join(f' {key}="{escape(value)}"' for key, value in attributes.items())
        return f"<{tag}{written}>{content}</{tag}>" if content else f"<{tag}{written}/>"

    def _attributes(self, one: ET.Element, decimals: int) -> dict[str, str]:
        found: dict[str, str] = {}
        declared = [f"{key}: {one.attrib[key]}" for key in _DECLARED if key in one.attrib]
        style = self._referring(_style("; ".join([*declared, one.get("style", "")])))
        if style:
            found["class"] = self.classes.of(style)
        for key, value in one.items():
            if key == _LINK:
                found["href"] = f"#{self.ids[value[1:]]}"
            elif key == "clip-path":
                found[key] = self._referring(value)
            elif key in ("patternUnits", "patternTransform"):
                found[key] = value
            elif key == "transform":
                if not value.startswith("rotate(-0 "):
                    found[key] = _rounded(value, 3)
            elif key in _KEPT:
                short = _rounded(value, decimals)
                found[key] = _path(short) if key == "d" else short
        return found

    def _referring(self, text: str) -> str:
        return _REFERENCE.sub(lambda match: f"url(#{self.ids[match[1]]})", text)


def _rounded(text: str, decimals: int) -> str:
    r"""Return a list of coordinates or a path with fewer decimals and no blanks to spare.

    Example:
        >>> _rounded("M 61.2 190.935 \nL 255.604 190.04 z", 1)
        'M61.2 190.9L255.6 190z'
    """

    def short(match: re.Match[str]) -> str:
        number = f"{float(match[0]):.{decimals}f}"
        number = number.rstrip("0").rstrip(".") if "." in number else number
        return "0" if number in ("-0", "") else number

    text = " ".join(_NUMBER.sub(short, text).split())
    return re.sub(r" ?([MLHVCQZz]) ?", r"\1", text)


def _path(text: str) -> str:
    """Return a path with one command for stretches that go straight across, up or down.

    Example:
        >>> _path("M0 5L0 5L1 5L2 5L2 3L4 1z")
        'M0 5H2V3L4 1z'
    """
    parts = _COMMAND.findall(text)
    if any(command not in "MLz" for command, _ in parts):
        return text
    written: list[tuple[str, str]] = []
    x = y = ""
    for command, numbers in parts:
        if command == "L":
            new_x, new_y = numbers.split()
            if new_x == x and new_y == y:
                continue
            step = ("V", new_y) if new_x == x else ("H", new_x) if new_y == y else ("L", numbers)
            # Within one stretch only if it goes on in the same direction.
            if step[0] in "HV" and written[-1][0] == step[0] and _goes_on(written, step, x, y):
                written.pop()
            written.append(step)
            x, y = new_x, new_y
        else:
            x, y = numbers.split() if command == "M" else ("", "")
            written.append((command, numbers))
    return "".join(command + numbers for command, numbers in written)


def _goes_on(written: list[tuple[str, str]], step: tuple[str, str], x: str, y: str) -> bool:
    """Return whether a stretch is in the direction of the one before it."""
    middle = float(x if step[0] == "H" else y)
    before = _at(written[:-1], step[0])
    return before is not None and (middle - before) * (float(step[1]) - middle) > 0


def _at(written: list[tuple[str, str]], axis: str) -> float | None:
    """Return the coordinate of the last point along an axis, "H" or "V"."""
    for command, numbers in reversed(written):
        if command == axis:
            return float(numbers)
        if command in "ML":
            return float(numbers.split()[axis == "V"])
    return None


def _style(text: str) -> str:
    """Return CSS declarations without what the page says of all figures."""
    text = _FONT.sub(lambda m: f"font-size: {m[2]}" + (f"; font-style: {m[1]}" * bool(m[1])), text)
    kept = []
    for declaration in text.split(";"):
        key, colon, value = declaration.partition(":")
        key, value = key.strip(), value.strip()
        if colon and key != "font-family" and (key, value) not in _USUAL:
            kept.append(f"{key}:{value}")
    return ";".join(kept)


_DARK = {"#0072b2": "#4a90ff", "#7a3b00": "#d9a273"}
"""Lighter, and apart from the other colours of figures."""
_USUAL = {("stroke-dashoffset", "0"), ("stroke-linejoin", "round"), ("stroke-linecap", "butt")}


def _in_the_dark(style: str) -> str:
    """Return the declarations of a style whose colours are others on a dark page."""
    changed = []
    for declaration in style.split(";"):
        other = _COLOUR.sub(lambda match: dark(match[0]), declaration)
        if other != declaration:
            changed.append(other)
    return ";".join(changed)


def dark(colour: str) -> str:
    """Return what stands for a colour on a dark page: greys are inverted, dark hues are lighter.

    Example:
        >>> dark("#ffffff"), dark("#000000"), dark("#7a3b00"), dark("#e69f00"), dark("#000080")
        ('#1b1b1d', '#e8e8e6', '#d9a273', '#e69f00', '#4242ff')
    """
    if colour in _DARK:
        return _DARK[colour]
    red, green, blue = (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
    hue, light, colourful = colorsys.rgb_to_hls(red, green, blue)
    if colourful < 0.05:
        grey = 0.91 - 0.804 * light
        values = (grey, grey, grey + 0.008 * (2 * light - 1))
    else:
        luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
        light = light if luminance > 0.3 else max(light, 0.63)
        values = colorsys.hls_to_rgb(hue, light, colourful)
    return "#" + "".join(f"{round(255 * v):02x}" for v in values)
