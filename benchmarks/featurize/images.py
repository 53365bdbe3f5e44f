"""Create image sets for the benchmarks from a folder of JPEGs.

    python benchmarks/featurize/images.py copies SOURCE TARGET --count N [--copies N]
    python benchmarks/featurize/images.py enlarged SOURCE TARGET --count N [--width N] [--height N] [--quality N]

Every file keeps its folder name, which is the label, and has a unique name and unique bytes.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from PIL import Image


def make_copies(source: Path, target: Path, n: int, copies: int = 1) -> list[Path]:
    """Copy n images, each `copies` times, made unique by a JPEG comment; return the new files."""
    files = []
    for index, file in enumerate(sample_evenly(source, n)):
        content = file.read_bytes()
        for number in range(copies):
            files.append(write_image(target, file, f"{index}-{number}", add_comment(content, number)))
    return files


def make_enlarged(
    source: Path, target: Path, n: int, size: tuple[int, int] = (4000, 3000), quality: int = 90
) -> list[Path]:
    """Create n images of a width and height, reusing sources if there are too few; return the new files."""
    sources = sample_evenly(source, n)
    files = []
    for index, file in enumerate(sources):
        content = resize_jpeg(file, size, quality)
        for number in range(len(range(index, n, len(sources)))):
            files.append(write_image(target, file, f"{index}-{number}", add_comment(content, number)))
    return files


def sample_evenly(source: Path, n: int) -> list[Path]:
    """Return n images of a folder, spread over its classes, or all if there are fewer. Raises SystemExit for none."""
    paths = sorted(path for path in source.rglob("*") if path.suffix.lower() == ".jpg")
    if not paths:
        raise SystemExit(f"No *.jpg under {source}.")
    return [paths[i * len(paths) // n] for i in range(n)] if n < len(paths) else paths


def resize_jpeg(file: Path, size: tuple[int, int], quality: int) -> bytes:
    """Return an image as JPEG of another size, with 4:2:0 chroma subsampling as cameras use."""
    buffer = io.BytesIO()
    with Image.open(file) as image:
        large = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    large.save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return buffer.getvalue()


def add_comment(content: bytes, number: int) -> bytes:
    """Return a JPEG with a comment after its first two bytes, so that every copy has its own hash; 0 adds none."""
    comment = f"copy {number}".encode()
    segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
    return content[:2] + (segment if number else b"") + content[2:]


def write_image(target: Path, file: Path, suffix: str, content: bytes) -> Path:
    """Write an image below the folder name of `file`; return its path."""
    path = target / file.parent.name / f"{file.stem}-{suffix}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description="Create image sets.")
    parser.add_argument("kind", choices=("copies", "enlarged"))
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--count", type=int, required=True, help="sources to copy, or enlarged images to create")
    parser.add_argument("--copies", type=int, default=1, help="copies of each source")
    parser.add_argument("--width", type=int, default=4000)
    parser.add_argument("--height", type=int, default=3000)
    parser.add_argument("--quality", type=int, default=90)
    given = parser.parse_args()
    if given.kind == "copies":
        files = make_copies(given.source, given.target, given.count, given.copies)
    else:
        files = make_enlarged(given.source, given.target, given.count, (given.width, given.height), given.quality)
    print(f"{len(files)} images, {sum(file.stat().st_size for file in files) / 1e6:.0f} MB, in {given.target}")


if __name__ == "__main__":
    main()
