"""Make image sets for the benchmarks out of a folder of JPEGs.

    python benchmarks/featurize/images.py copies SOURCE TARGET --count N [--copies N]
    python benchmarks/featurize/images.py enlarged SOURCE TARGET --count N [--width N] [--height N] [--quality N]

Every file keeps its folder's name, the label, and has a name of its own and bytes of its own.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from PIL import Image


def copies(source: Path, target: Path, n: int, copies: int = 1) -> list[Path]:
    """Copy n images, each `copies` times, told apart by a JPEG comment; give the new files."""
    made = []
    for index, file in enumerate(evenly(source, n)):
        content = file.read_bytes()
        for number in range(copies):
            made.append(put(target, file, f"{index}-{number}", with_comment(content, number)))
    return made


def enlarged(source: Path, target: Path, n: int, size: tuple[int, int] = (4000, 3000), quality: int = 90) -> list[Path]:
    """Make n images of the given width and height; sources too few are taken again; give the new files."""
    sources = evenly(source, n)
    made = []
    for index, file in enumerate(sources):
        content = resized(file, size, quality)
        for number in range(len(range(index, n, len(sources)))):
            made.append(put(target, file, f"{index}-{number}", with_comment(content, number)))
    return made


def evenly(source: Path, n: int) -> list[Path]:
    """Give n images under a folder, some of every class, or all if there are fewer; raise SystemExit for none."""
    found = sorted(path for path in source.rglob("*") if path.suffix.lower() == ".jpg")
    if not found:
        raise SystemExit(f"No *.jpg under {source}.")
    return [found[place * len(found) // n] for place in range(n)] if n < len(found) else found


def resized(file: Path, size: tuple[int, int], quality: int) -> bytes:
    """Give an image as JPEG of another size, colours at half resolution as cameras store them."""
    buffer = io.BytesIO()
    with Image.open(file) as image:
        large = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    large.save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return buffer.getvalue()


def with_comment(content: bytes, number: int) -> bytes:
    """Give a JPEG with a comment behind its first two bytes, so that every copy has its own hash; 0 stays as it is."""
    comment = f"copy {number}".encode()
    segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
    return content[:2] + (segment if number else b"") + content[2:]


def put(target: Path, file: Path, suffix: str, content: bytes) -> Path:
    path = target / file.parent.name / f"{file.stem}-{suffix}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description="Make image sets.")
    parser.add_argument("kind", choices=("copies", "enlarged"))
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--count", type=int, required=True, help="sources to copy, or images to make enlarged")
    parser.add_argument("--copies", type=int, default=1, help="of each source")
    parser.add_argument("--width", type=int, default=4000)
    parser.add_argument("--height", type=int, default=3000)
    parser.add_argument("--quality", type=int, default=90)
    given = parser.parse_args()
    if given.kind == "copies":
        made = copies(given.source, given.target, given.count, given.copies)
    else:
        made = enlarged(given.source, given.target, given.count, (given.width, given.height), given.quality)
    print(f"{len(made)} images, {sum(file.stat().st_size for file in made) / 1e6:.0f} MB, in {given.target}")


if __name__ == "__main__":
    main()
