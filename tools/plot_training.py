#!/usr/bin/env python3
"""Draws the loss, the evaluation loss and the learning rate of a training run as a PNG."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import pathlib
import sys

from PIL import Image, ImageDraw, ImageFont

SCALE = 3  # drawn larger and shrunk: smooth lines and text
INK, FAINT, GRID, PAPER = (40, 44, 52), (120, 126, 138), (229, 231, 235), (255, 255, 255)
BLUE, PALE_BLUE, ORANGE, GREEN = (37, 99, 235), (178, 203, 252), (234, 88, 12), (5, 150, 105)

Points = list[tuple[float, float]]


@dataclasses.dataclass
class Curve:
    name: str
    points: Points
    color: tuple[int, int, int]
    width: float = 2.0
    dots: bool = False
    in_legend: bool = True


def find_state(path: pathlib.Path) -> pathlib.Path:
    """The file of a run: itself, or in its folder, or in the folder's newest checkpoint."""
    if not path.is_dir():
        return path
    checkpoints = [p for p in path.glob("checkpoint-*") if p.name.removeprefix("checkpoint-").isdigit()]
    newest = sorted(checkpoints, key=lambda p: int(p.name.removeprefix("checkpoint-")), reverse=True)
    for folder in [path, *newest]:
        if (folder / "trainer_state.json").exists():
            return folder / "trainer_state.json"
    raise SystemExit(f"plot_training: no trainer_state.json in {path} or in a checkpoint below it")


def read_history(path: pathlib.Path) -> list[dict]:
    """The logs of a trainer_state.json, or of a file of JSON lines."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SystemExit(f"plot_training: cannot read {path}: {error.strerror}") from None
    try:
        data = json.loads(text)
        history = data["log_history"] if isinstance(data, dict) and "log_history" in data else [data]
    except ValueError:
        try:
            history = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError as error:
            raise SystemExit(f"plot_training: {path} is neither a trainer_state.json nor JSON lines: {error}") from None
    if not isinstance(history, list) or not all(isinstance(log, dict) for log in history):
        raise SystemExit(f"plot_training: {path} holds no list of logs")
    return history


def series(history: list[dict], name: str) -> Points:
    """(step, value) wherever a log has both as numbers; a value that is not finite stays, as a gap."""
    found = [(log["step"], log[name]) for log in history if name in log and "step" in log]
    return [(float(x), float(y)) for x, y in found if isinstance(x, int | float) and isinstance(y, int | float)]


def smooth(points: Points, weight: float) -> Points:
    """Exponential moving average, unbiased at its beginning."""
    out, average, total = [], 0.0, 0.0
    for x, y in points:
        if math.isfinite(y):
            average, total = weight * average + (1 - weight) * y, weight * total + (1 - weight)
            out.append((x, average / total))
    return out


def ticks(low: float, high: float, count: int, least: float = 0.0) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) between low and high, at least `least` apart."""
    rough = max((high - low) / count, least)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def label(value: float, step: float) -> str:
    if value == 0:
        return "0"
    if abs(value) < 1e-3 or abs(value) >= 1e6:
        digits = max(0, math.floor(math.log10(abs(value)) + 1e-9) - math.floor(math.log10(step) + 1e-9))
        mantissa, exponent = f"{value:.{digits}e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:,.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


class Panel:
    """One pair of axes: `box` is the inside (left, top, right, bottom) in final pixels."""

    def __init__(
        self,
        draw: ImageDraw.ImageDraw,
        box: tuple[int, int, int, int],
        curves: list[Curve],
        x_range: tuple[float, float],
        log: bool = False,
    ):
        self.draw, self.box, self.curves, self.log = draw, box, curves, log
        self.x_low, self.x_high = x_range
        values = [y for curve in curves for _, y in curve.points if math.isfinite(y)]
        self.log = log and bool(values) and min(values) > 0
        values = [self.scaled(y) for y in values] or [0.0, 1.0]
        low, high = min(values), max(values)
        margin = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
        self.y_low, self.y_high = low - margin, high + margin
        if not self.log and low >= 0:
            self.y_low = max(self.y_low, 0.0) if 0.25 * high < low < high else 0.0

    def scaled(self, y: float) -> float:
        return math.log10(y) if self.log else y

    def at(self, x: float, y: float) -> tuple[float, float]:
        left, top, right, bottom = self.box
        u = (x - self.x_low) / (self.x_high - self.x_low)
        v = (self.scaled(y) - self.y_low) / (self.y_high - self.y_low)
        return (left + u * (right - left)) * SCALE, (bottom - v * (bottom - top)) * SCALE

    def text(self, at: tuple[float, float], text: str, size: int, anchor: str, color: tuple[int, int, int] = FAINT) -> None:
        self.draw.text((at[0] * SCALE, at[1] * SCALE), text, fill=color, font=font(size), anchor=anchor)

    def line(self, points: Points, color: tuple[int, int, int], width: float) -> None:
        self.draw.line(points, fill=color, width=round(width * SCALE), joint="curve")

    def axes(self, title: str, show_steps: bool) -> None:
        left, top, right, bottom = self.box
        across = ticks(self.x_low, self.x_high, 8, least=1)
        for x in across:
            u, _ = self.at(x, 10**self.y_low if self.log else self.y_low)
            self.line([(u, top * SCALE), (u, bottom * SCALE)], GRID, 1)
            if show_steps:
                self.text((u / SCALE, bottom + 9), label(x, across[1] - across[0] if len(across) > 1 else 1), 13, "mt")
        if self.log and self.y_high - self.y_low > 1:
            up = [10.0**e for e in range(math.ceil(self.y_low), math.floor(self.y_high) + 1)]
            labels = [f"{y:g}" for y in up]
        else:
            ends = (10**self.y_low, 10**self.y_high) if self.log else (self.y_low, self.y_high)
            up = ticks(*ends, max(2, (bottom - top) // 50))
            labels = [label(y, up[1] - up[0] if len(up) > 1 else 1) for y in up]
        for y, name in zip(up, labels, strict=True):
            _, v = self.at(self.x_low, y)
            self.line([(left * SCALE, v), (right * SCALE, v)], GRID, 1)
            self.text((left - 9, v / SCALE), name, 13, "rm")
        self.line([(left * SCALE, top * SCALE), (left * SCALE, bottom * SCALE), (right * SCALE, bottom * SCALE)], FAINT, 1.2)
        self.text((left, top - 12), title, 15, "lb", INK)
        if show_steps:
            self.text(((left + right) / 2, bottom + 32), "step", 13, "mt")

    def curve(self, curve: Curve) -> None:
        piece: Points = []
        for x, y in [*curve.points, (0.0, math.nan)]:
            if math.isfinite(y):
                piece.append(self.at(x, y))
                continue
            if len(piece) > 1:
                self.line(piece, curve.color, curve.width)
            elif piece:
                self.dot(piece[0], curve.color, 2.5)
            piece = []
        if curve.dots and len(curve.points) <= 100:
            for x, y in curve.points:
                if math.isfinite(y):
                    self.dot(self.at(x, y), curve.color, 3.5)

    def dot(self, at: tuple[float, float], color: tuple[int, int, int], radius: float) -> None:
        r = radius * SCALE
        self.draw.ellipse((at[0] - r, at[1] - r, at[0] + r, at[1] + r), fill=color, outline=PAPER, width=SCALE)

    def legend(self) -> None:
        shown = [curve for curve in self.curves if curve.in_legend]
        widest = max(self.draw.textlength(curve.name, font=font(13)) for curve in shown) / SCALE
        _, top, right, _ = self.box
        width, height = widest + 58, 22 * len(shown) + 12
        left, top = right - width - 10, top + 10
        rectangle = (left * SCALE, top * SCALE, (left + width) * SCALE, (top + height) * SCALE)
        self.draw.rounded_rectangle(rectangle, radius=6 * SCALE, fill=PAPER, outline=GRID, width=SCALE)
        for i, curve in enumerate(shown):
            y = top + 17 + 22 * i
            self.line([((left + 12) * SCALE, y * SCALE), ((left + 38) * SCALE, y * SCALE)], curve.color, 2.5)
            if curve.dots:
                self.dot(((left + 25) * SCALE, y * SCALE), curve.color, 3.5)
            self.text((left + 46, y), curve.name, 13, "lm", INK)


def font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size * SCALE)


def draw(history: list[dict], title: str, width: int, height: int, weight: float, log: bool) -> Image.Image:
    loss, eval_loss, rate = (series(history, name) for name in ("loss", "eval_loss", "learning_rate"))
    upper = []
    if len(loss) >= 20 and weight > 0:
        upper += [Curve("loss, each log", loss, PALE_BLUE, 1.3), Curve("loss, smoothed", smooth(loss, weight), BLUE)]
    elif loss:
        upper.append(Curve("loss", loss, BLUE, dots=len(loss) < 20))
    if eval_loss:
        upper.append(Curve("evaluation loss", eval_loss, ORANGE, dots=True))
    panels = [("Loss", upper)] if upper else []
    if rate:
        panels.append(("Learning rate", [Curve("learning rate", rate, GREEN)]))
    if not panels:
        raise SystemExit("plot_training: the logs hold neither loss, eval_loss nor learning_rate with a step")
    steps = [x for _, curves in panels for curve in curves for x, _ in curve.points]
    x_range = (min(0.0, min(steps)), max(steps) if max(steps) > min(0.0, min(steps)) else 1.0)

    image = Image.new("RGB", (width * SCALE, height * SCALE), PAPER)
    canvas = ImageDraw.Draw(image)
    canvas.text((74 * SCALE, 18 * SCALE), title, fill=INK, font=font(19), anchor="lt")
    finite = [y for _, y in loss if math.isfinite(y)], [y for _, y in eval_loss if math.isfinite(y)]
    facts = [f"{max(steps):,.0f} steps"] + ([f"last loss {finite[0][-1]:.4g}"] if finite[0] else [])
    facts += [f"best evaluation loss {min(finite[1]):.4g}"] if finite[1] else []
    canvas.text((74 * SCALE, 46 * SCALE), "   ·   ".join(facts), fill=FAINT, font=font(14), anchor="lt")
    top, bottom, gap = 102, height - 58, 52
    share = [0.66, 0.34] if len(panels) == 2 else [1.0]
    room = bottom - top - gap * (len(panels) - 1)
    y = float(top)
    for i, (name, curves) in enumerate(panels):
        box = (74, round(y), width - 30, round(y + room * share[i]))
        panel = Panel(canvas, box, curves, x_range, log and name == "Loss")
        panel.axes(name, show_steps=i == len(panels) - 1)
        for curve in curves:
            panel.curve(curve)
        if name == "Loss":
            panel.legend()
        y += room * share[i] + gap
    return image.resize((width, height), Image.Resampling.LANCZOS)


def main() -> None:
    parser = argparse.ArgumentParser(prog="plot_training", description=__doc__)
    parser.add_argument("path", type=pathlib.Path, help="trainer_state.json, a file of JSON lines, a checkpoint, or a run's folder")
    parser.add_argument("-o", "--output", type=pathlib.Path, help="the PNG to write (default: training.png beside the file that is read)")
    parser.add_argument("--title", help="default: the name of the run's folder")
    parser.add_argument(
        "--smooth", type=float, default=0.6, metavar="WEIGHT", help="of the moving average, 0 (none) to below 1 (default 0.6)"
    )
    parser.add_argument("--log", action="store_true", help="logarithmic loss axis")
    parser.add_argument("--width", type=int, default=1100, help="pixels (default 1100)")
    parser.add_argument("--height", type=int, default=760, help="pixels (default 760)")
    arguments = parser.parse_args()
    if not 0 <= arguments.smooth < 1:
        parser.error(f"--smooth: got {arguments.smooth}, expected 0 to below 1")
    if arguments.width < 400 or arguments.height < 300:
        parser.error(f"--width and --height: got {arguments.width} x {arguments.height}, expected at least 400 x 300")
    state = find_state(arguments.path)
    folder = state.resolve().parent
    run = folder.parent if folder.name.startswith("checkpoint-") else folder
    output = arguments.output or state.with_name("training.png")
    image = draw(read_history(state), arguments.title or run.name, arguments.width, arguments.height, arguments.smooth, arguments.log)
    output.parent.mkdir(parents=True, exist_ok=True)
    image.save(output)
    print(output)


if __name__ == "__main__":
    sys.exit(main())
