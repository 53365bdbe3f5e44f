"""Skeletons of the animals: chains of balls, posed by gait, neck and tail.

A chain is an array of joints (x forward, y up, z to the left side, radius) in metres, which `render_surface`
renders. Proportions follow field guides, not any single photograph.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Joints = NDArray[np.float64]
KINDS = ("leopard", "ibex", "fox", "hare")


@dataclass(frozen=True)
class Pose:
    """The pose of one animal in one frame. Angles in radians."""

    stride: float = 0.0  # phase of the gait
    swing: float = 0.35  # amplitude of the legs
    neck: float = 0.0  # negative: head down
    turn: float = 0.0  # head to the left (positive) or right
    tail: float = 0.0  # -1 hanging .. 1 raised
    bulk: float = 1.0  # lean .. stout
    horn: float = 1.0  # length of the horns


@dataclass(frozen=True)
class Chain:
    """One limb or feature: its name, by which the coat is coloured, and its joints."""

    part: str
    joints: Joints


def build_skeleton(kind: str, pose: Pose) -> list[Chain]:
    """Return all chains of an animal of `kind` in `pose`, with its feet at y = 0."""
    return {"leopard": _leopard, "ibex": _ibex, "fox": _fox, "hare": _hare}[kind](pose)


def _joints(*rows: tuple[float, float, float, float]) -> Joints:
    return np.array(rows, dtype=np.float64)


def _both_sides(part: str, joints: Joints) -> list[Chain]:
    return [Chain(part, joints), Chain(part, joints * (1, 1, -1, 1))]


def _rotate_joints(joints: Joints, pivot: tuple[float, float], pitch: float, yaw: float) -> Joints:
    """Rotate joints about a pivot (x, y): first sideways by `yaw`, then up by `pitch`."""
    out = joints.copy()
    x, y, z = joints[:, 0] - pivot[0], joints[:, 1] - pivot[1], joints[:, 2]
    x, z = x * np.cos(yaw) - z * np.sin(yaw), x * np.sin(yaw) + z * np.cos(yaw)
    out[:, 0] = pivot[0] + x * np.cos(pitch) - y * np.sin(pitch)
    out[:, 1] = pivot[1] + x * np.sin(pitch) + y * np.cos(pitch)
    out[:, 2] = z
    return out


def _head(chains: list[Chain], pose: Pose, base: tuple[float, float], skull: tuple[float, float]) -> list[Chain]:
    """Bend the neck at `base`, and the head against it at `skull`."""
    moved = []
    for chain in chains:
        joints = chain.joints
        if chain.part != "neck":
            joints = _rotate_joints(joints, skull, -0.35 * pose.neck, pose.turn)
        moved.append(Chain(chain.part, _rotate_joints(joints, base, pose.neck, 0.25 * pose.turn)))
    return moved


def _legs(front: Joints, hind: Joints, pose: Pose) -> list[Chain]:
    """Return the legs in a walking gait: diagonal legs move together, and a foot that swings forward is lifted."""
    chains = []
    phases = {"near_front": 0.0, "far_front": np.pi, "near_hind": np.pi * 0.9, "far_hind": -np.pi * 0.1}
    for name, phase in phases.items():
        joints = front if name.endswith("front") else hind
        joints = joints * (1, 1, 1 if name.startswith("near") else -1, 1)
        angle = pose.swing * np.sin(pose.stride + phase)
        lift = max(0.0, np.cos(pose.stride + phase)) * pose.swing
        chains.append(Chain("leg", _swing_leg(joints, angle, lift)))
    return chains


def _swing_leg(joints: Joints, angle: float, lift: float) -> Joints:
    out = _rotate_joints(joints, (joints[0, 0], joints[0, 1]), angle, 0.0)
    out[0] = joints[0]
    length = joints[0, 1]
    out[2:, 1] += lift * 0.18 * length
    out[-1, 0] -= lift * 0.10 * length
    return out


def _tail(root: tuple[float, float], length: float, radii: list[float], pose: Pose, sag: float) -> Chain:
    """Return a tail that points backward at its root and curls up at its end."""
    steps = len(radii)
    angles = np.pi + sag * np.sin(np.linspace(0.3, 2.6, steps)) - pose.tail * np.linspace(0.3, 2.2, steps)
    x = root[0] + np.concatenate([[0], np.cumsum(np.cos(angles[:-1]))]) * length / (steps - 1)
    y = root[1] + np.concatenate([[0], np.cumsum(np.sin(angles[:-1]))]) * length / (steps - 1)
    z = 0.12 * length * np.sin(np.linspace(0, 3, steps)) * np.sign(pose.turn + 1e-9)
    return Chain("tail", np.column_stack([x, np.maximum(y, np.array(radii)), z, radii]))


def _trunk(back: Joints, belly: Joints, bulk: float) -> list[Chain]:
    """Return back and belly, with a flank that fills the crease between them."""
    flank = (back + belly) / 2 * (1, 1, 1, 0.95 * bulk)
    return [Chain("trunk", back * (1, 1, 1, bulk**0.5)), Chain("trunk", flank), Chain("trunk", belly * (1, 1, 1, bulk))]


def _leopard(pose: Pose) -> list[Chain]:
    back = _joints((-0.50, 0.50, 0, 0.125), (-0.25, 0.535, 0, 0.125), (0.05, 0.51, 0, 0.12), (0.30, 0.52, 0, 0.13))
    belly = _joints((-0.42, 0.44, 0, 0.12), (-0.10, 0.415, 0, 0.115), (0.15, 0.40, 0, 0.13), (0.32, 0.44, 0, 0.13))
    head = [
        Chain("neck", _joints((0.28, 0.52, 0, 0.13), (0.44, 0.575, 0, 0.108), (0.56, 0.625, 0, 0.09))),
        Chain("head", _joints((0.58, 0.635, 0, 0.092), (0.62, 0.64, 0, 0.088))),
        Chain("muzzle", _joints((0.63, 0.62, 0, 0.068), (0.715, 0.595, 0, 0.047))),
        Chain("nose", _joints((0.754, 0.612, 0, 0.013), (0.757, 0.606, 0, 0.010))),
        *_both_sides("ear", _joints((0.575, 0.70, 0.055, 0.030), (0.565, 0.735, 0.066, 0.022))),
        *_both_sides("eye", _joints((0.688, 0.660, 0.043, 0.013), (0.690, 0.660, 0.043, 0.013))),
    ]
    front = _joints(
        (0.27, 0.44, 0.085, 0.088), (0.25, 0.28, 0.09, 0.058), (0.26, 0.13, 0.09, 0.045), (0.29, 0.04, 0.09, 0.046)
    )
    hind = _joints(
        (-0.45, 0.46, 0.075, 0.115), (-0.36, 0.31, 0.09, 0.080), (-0.49, 0.17, 0.09, 0.046), (-0.45, 0.04, 0.09, 0.045)
    )
    radii = [0.050, 0.048, 0.048, 0.050, 0.052, 0.054, 0.054, 0.052, 0.045, 0.03]
    return [
        *_trunk(back, belly, pose.bulk),
        *_head(head, pose, (0.32, 0.52), (0.58, 0.63)),
        *_legs(front, hind, pose),
        _tail((-0.58, 0.52), 0.95, radii, pose, sag=1.0),
    ]


def _horns(length: float) -> list[Chain]:
    """Return horns that curve up and back in an arc, with the knobs of a male."""
    angle = np.linspace(0.15, 0.15 + 2.3 * length, 26)
    radius = 0.36
    x = 0.70 - radius + radius * np.cos(angle) - 0.02
    y = 1.27 + radius * np.sin(angle) * 1.1
    z = 0.040 + 0.075 * np.linspace(0, 1, 26)
    thickness = np.linspace(0.042, 0.014, 26) * (1 + 0.16 * np.sin(np.arange(26) * 2.1))
    return _both_sides("horn", np.column_stack([x, y, z, thickness]))


def _ibex(pose: Pose) -> list[Chain]:
    back = _joints((-0.52, 0.80, 0, 0.165), (-0.25, 0.84, 0, 0.165), (0.05, 0.83, 0, 0.16), (0.30, 0.87, 0, 0.165))
    belly = _joints((-0.42, 0.72, 0, 0.15), (-0.10, 0.67, 0, 0.165), (0.15, 0.67, 0, 0.17), (0.34, 0.73, 0, 0.17))
    head = [
        Chain("neck", _joints((0.32, 0.83, 0, 0.17), (0.46, 0.99, 0, 0.13), (0.60, 1.15, 0, 0.092))),
        Chain("head", _joints((0.61, 1.19, 0, 0.088), (0.70, 1.18, 0, 0.080))),
        Chain("muzzle", _joints((0.72, 1.16, 0, 0.070), (0.88, 1.05, 0, 0.048))),
        Chain("nose", _joints((0.915, 1.05, 0, 0.022), (0.92, 1.035, 0, 0.018))),
        Chain("beard", _joints((0.82, 1.03, 0, 0.035), (0.78, 0.93, 0, 0.026), (0.75, 0.84, 0, 0.010))),
        *_both_sides("ear", _joints((0.60, 1.23, 0.07, 0.026), (0.56, 1.23, 0.13, 0.030), (0.52, 1.21, 0.18, 0.010))),
        *_both_sides("eye", _joints((0.755, 1.205, 0.058, 0.017), (0.757, 1.205, 0.058, 0.017))),
        *_horns(pose.horn),
    ]
    front = _joints(
        (0.30, 0.68, 0.09, 0.105), (0.30, 0.44, 0.10, 0.055), (0.31, 0.24, 0.10, 0.036), (0.32, 0.04, 0.10, 0.040)
    )
    hind = _joints(
        (-0.46, 0.74, 0.08, 0.150), (-0.37, 0.52, 0.10, 0.090), (-0.54, 0.33, 0.10, 0.045), (-0.49, 0.04, 0.10, 0.040)
    )
    return [
        *_trunk(back, belly, pose.bulk),
        *_head(head, pose, (0.36, 0.86), (0.63, 1.17)),
        *_legs(front, hind, pose),
        _tail((-0.66, 0.84), 0.13, [0.035, 0.035, 0.03, 0.015], pose, sag=1.2),
    ]


def _fox(pose: Pose) -> list[Chain]:
    back = _joints((-0.25, 0.33, 0, 0.072), (-0.10, 0.345, 0, 0.068), (0.05, 0.335, 0, 0.068), (0.18, 0.345, 0, 0.075))
    belly = _joints((-0.20, 0.305, 0, 0.062), (-0.05, 0.29, 0, 0.062), (0.08, 0.285, 0, 0.070), (0.19, 0.30, 0, 0.075))
    head = [
        Chain("neck", _joints((0.18, 0.34, 0, 0.075), (0.27, 0.385, 0, 0.066), (0.34, 0.415, 0, 0.058))),
        Chain("head", _joints((0.36, 0.425, 0, 0.060), (0.39, 0.42, 0, 0.055))),
        Chain("muzzle", _joints((0.40, 0.410, 0, 0.042), (0.46, 0.392, 0, 0.026), (0.505, 0.383, 0, 0.018))),
        Chain("nose", _joints((0.525, 0.388, 0, 0.012), (0.528, 0.386, 0, 0.011))),
        *_both_sides(
            "ear", _joints((0.350, 0.465, 0.034, 0.028), (0.345, 0.51, 0.042, 0.019), (0.342, 0.56, 0.048, 0.004))
        ),
        *_both_sides("eye", _joints((0.428, 0.436, 0.032, 0.0085), (0.429, 0.436, 0.032, 0.0085))),
    ]
    front = _joints(
        (0.17, 0.28, 0.04, 0.046), (0.165, 0.17, 0.045, 0.026), (0.17, 0.09, 0.045, 0.019), (0.185, 0.02, 0.045, 0.021)
    )
    hind = _joints(
        (-0.22, 0.30, 0.04, 0.062),
        (-0.17, 0.20, 0.045, 0.038),
        (-0.25, 0.11, 0.045, 0.021),
        (-0.225, 0.02, 0.045, 0.021),
    )
    radii = [0.028, 0.042, 0.058, 0.068, 0.072, 0.070, 0.060, 0.042, 0.016]
    return [
        *_trunk(back, belly, pose.bulk),
        *_head(head, pose, (0.20, 0.35), (0.37, 0.42)),
        *_legs(front, hind, pose),
        _tail((-0.30, 0.335), 0.46, radii, pose, sag=0.75),
    ]


def _hare(pose: Pose) -> list[Chain]:
    back = _joints((-0.17, 0.165, 0, 0.115), (-0.06, 0.195, 0, 0.110), (0.05, 0.195, 0, 0.095), (0.13, 0.185, 0, 0.078))
    belly = _joints((-0.14, 0.13, 0, 0.100), (-0.04, 0.135, 0, 0.098), (0.05, 0.14, 0, 0.090), (0.12, 0.15, 0, 0.075))
    head = [
        Chain("neck", _joints((0.12, 0.19, 0, 0.075), (0.18, 0.235, 0, 0.056))),
        Chain("head", _joints((0.20, 0.262, 0, 0.056), (0.235, 0.258, 0, 0.052))),
        Chain("muzzle", _joints((0.25, 0.248, 0, 0.043), (0.285, 0.238, 0, 0.032))),
        Chain("nose", _joints((0.315, 0.243, 0, 0.008), (0.316, 0.241, 0, 0.008))),
        *_both_sides(
            "ear",
            _joints(
                (0.19, 0.30, 0.022, 0.016),
                (0.165, 0.36, 0.03, 0.023),
                (0.14, 0.42, 0.037, 0.020),
                (0.122, 0.47, 0.042, 0.006),
            ),
        ),
        *_both_sides("eye", _joints((0.247, 0.274, 0.043, 0.0115), (0.248, 0.274, 0.043, 0.0115))),
    ]
    front = _joints(
        (0.12, 0.14, 0.035, 0.042),
        (0.11, 0.075, 0.038, 0.024),
        (0.12, 0.03, 0.038, 0.018),
        (0.145, 0.015, 0.038, 0.017),
    )
    hind = _joints(
        (-0.14, 0.15, 0.05, 0.095),
        (-0.03, 0.085, 0.07, 0.055),
        (-0.13, 0.03, 0.075, 0.026),
        (-0.02, 0.018, 0.075, 0.020),
    )
    return [
        *_trunk(back, belly, pose.bulk),
        *_head(head, pose, (0.12, 0.19), (0.205, 0.26)),
        *_legs(front, hind, pose),
        Chain("tail", _joints((-0.27, 0.17, 0, 0.034), (-0.30, 0.20, 0, 0.034), (-0.315, 0.215, 0, 0.02))),
    ]
