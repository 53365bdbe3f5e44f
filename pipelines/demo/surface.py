"""Render a skeleton of balls as a surface seen from one side.

Every chain becomes a row of overlapping balls; a depth buffer keeps the nearest ball at each pixel. This yields
volume, parts that hide each other, and the position on the body, by which the coat is coloured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.demo.noise import Floats
from pipelines.demo.skeletons import Chain, Joints

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Surface:
    """The visible surface of a body: attributes of its pixels, and the image of their indices."""

    index: NDArray[np.int32]  # (height, width): index into the arrays below; -1: background
    part: NDArray[np.int16]  # (n,): index into part_names
    part_names: list[str]
    along: Floats  # (n,): 0..1 from the root of the chain to its end
    body: Floats  # (n, 3): position on the body, metres, before its rotation
    normals: Floats  # (n, 3): x right, y up, z to the camera
    eyes: list[tuple[float, float]]  # (x, y) of the visible eyes, pixels
    foot: float  # the row at ground level
    centre: float  # the column of the body's origin

    def is_part(self, *names: str) -> Bools:
        """Return a mask (n,) of the pixels of the named parts."""
        return np.array([name in names for name in self.part_names])[self.part]


def rotation_matrix(yaw: float, pitch: float) -> NDArray[np.float64]:
    """Return the matrix from body axes to view axes; a yaw of 0 faces right, pi left."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    about_up = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    cos, sin = np.cos(pitch), np.sin(pitch)
    about_right = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    return about_right @ about_up


def _sample_spline(joints: Joints, count: int) -> Joints:
    """Sample a Catmull-Rom spline through the joints, including their radii."""
    padded = np.concatenate([2 * joints[:1] - joints[1:2], joints, 2 * joints[-1:] - joints[-2:-1]])
    padded[:, 3] = np.maximum(padded[:, 3], joints[:, 3].min())
    position = np.arange(count) * ((len(joints) - 1 - 1e-9) / (count - 1))
    start = position.astype(int)
    t = (position - start)[:, None]
    a, b, c, d = (padded[start + step] for step in range(4))
    return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)


def _sample_chains(chains: list[Chain]) -> tuple[Joints, NDArray[np.int16], Floats]:
    """Sample all chains densely: joints (n, 4), the chain of each, and its relative position along the chain."""
    joints, parts, along = [], [], []
    for index, chain in enumerate(chains):
        steps = np.diff(chain.joints[:, :3], axis=0)
        length = float(np.sqrt((steps * steps).sum(axis=1)).sum())
        count = max(2, min(40, int(2 + 2.4 * length / float(chain.joints[:, 3].mean()))))
        joints.append(_sample_spline(chain.joints, count))
        parts.append(np.full(count, index, np.int16))
        along.append(np.arange(count, dtype=np.float32) / (count - 1))
    return np.vstack(joints), np.concatenate(parts), np.concatenate(along)


def render_surface(chains: list[Chain], yaw: float, pitch: float, pixels_per_metre: float) -> Surface:
    """Render the body rotated by `yaw` and seen from above by `pitch`, on the smallest canvas that fits."""
    joints, parts, along = _sample_chains(chains)
    matrix = rotation_matrix(yaw, pitch)
    positions = joints[:, :3] @ matrix.T * pixels_per_metre
    radii = np.maximum(joints[:, 3] * pixels_per_metre, 0.6)
    left = int(np.floor((positions[:, 0] - radii).min())) - 3
    top = int(np.floor((-positions[:, 1] - radii).min())) - 3
    columns, rows = positions[:, 0] - left, -positions[:, 1] - top
    shape = (int(np.ceil((rows + radii).max())) + 4, int(np.ceil((columns + radii).max())) + 4)
    nearest, ball = _fill_depth_buffer(columns, rows, positions[:, 2], radii, shape)
    down, across = np.nonzero(ball >= 0)
    owner = ball[down, across]
    index = np.full(shape, -1, np.int32)
    index[down, across] = np.arange(len(owner), dtype=np.int32)
    spots = np.column_stack([across + left, -(down + top), nearest[down, across]]).astype(np.float32)
    normals = (spots - positions.astype(np.float32)[owner]) / radii.astype(np.float32)[owner][:, None]
    eyes = [
        (float(columns[i]), float(rows[i]))
        for i in np.flatnonzero(np.diff(parts, prepend=-1)).tolist()
        if chains[parts[i]].part == "eye" and _is_visible(i, parts, columns, rows, ball)
    ]
    body = spots @ (matrix / pixels_per_metre).astype(np.float32)
    names = [chain.part for chain in chains]
    return Surface(index, parts[owner], names, along[owner], body, normals, eyes, -float(top), -float(left))


def _is_visible(index: int, parts: NDArray[np.int16], columns: Joints, rows: Joints, ball: NDArray[np.int16]) -> bool:
    shown = ball[round(float(rows[index])), round(float(columns[index]))]
    return bool(shown >= 0 and parts[shown] == parts[index])


def _fill_depth_buffer(
    columns: Joints, rows: Joints, depths: Joints, radii: Joints, shape: tuple[int, int]
) -> tuple[Floats, NDArray[np.int16]]:
    """Splat the balls, and return the nearest depth and its ball (-1: none) at each pixel."""
    nearest = np.full(shape, -1e6, np.float32)
    ball = np.full(shape, -1, np.int16)
    axis = np.arange(max(shape), dtype=np.float32)
    balls = np.column_stack([columns, rows, depths, radii]).tolist()  # plain numbers are faster in the loop
    with np.errstate(invalid="ignore"):  # outside its disc a ball's height is NaN, which compares as false
        for index, (x, y, depth, r) in enumerate(balls):
            x0, x1, y0, y1 = int(x - r), int(x + r) + 2, int(y - r), int(y + r) + 2
            dx, dy = axis[x0:x1] - x, axis[y0:y1] - y
            height = (r * r - dy * dy)[:, None] - dx * dx
            np.sqrt(height, out=height)
            height += depth
            view = nearest[y0:y1, x0:x1]
            np.copyto(ball[y0:y1, x0:x1], index, where=height > view)
            np.fmax(view, height, out=view)
    return nearest, ball
