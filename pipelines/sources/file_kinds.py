"""Classify files by their path: an image to read, or the reason to skip it. No file is opened."""

from __future__ import annotations

import re
from collections.abc import Collection
from enum import Enum
from functools import lru_cache

from pipelines.label_text import canonical_text


class FileKind(Enum):
    """The kind of a file, with its singular and plural in notes: `40 videos (mp4)`."""

    IMAGE = "image", "images"
    VIDEO = "video", "videos"
    RAW = "RAW image", "RAW images"
    OTHER_IMAGE = "image with a suffix not in sources.extensions", "images with suffixes not in sources.extensions"
    INCOMPLETE = "incomplete download", "incomplete downloads"
    BACKUP = "backup copy", "backup copies"
    AUDIO = "sound recording", "sound recordings"
    ARCHIVE = "archive", "archives"
    BARE = "file without a suffix", "files without a suffix"
    SIDECAR = "metadata or text file", "metadata and text files"
    OTHER = "other file", "other files"
    SYSTEM_FOLDER = "file in system folders", "files in system folders"
    SYSTEM_FILE = "system or hidden file", "system and hidden files"

    def count_text(self, number: int) -> str:
        """Return `1 video` or `1,200 videos`."""
        return f"{number:,} {self.value[number != 1]}"


# System folders of NAS systems, desktops, version control, Lightroom, Timelapse and Spark, in lower case. Names that
# people also use for their own folders (trash, bin, thumbnails, backup) are left out.
_FOLDERS = {
    *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "@__thumb", "@transcode", "@sharebin"),
    *("#recycle", "#snapshot", "$recycle.bin", "system volume information"),
    *("__macosx", "network trash folder", "temporary items", "lost+found", "deletedfiles"),
    *("__pycache__", "node_modules", "site-packages", "_delta_log", "_temporary", "_spark_metadata"),
}
_FOLDER_PREFIXES = (".", "@syno", "network recycle bin", "s-1-5-21-")  # S-1-5-21-...: a user's folder in RECYCLER
_FOLDER_SUFFIXES = (".lrdata", ".lrcat-data")  # Lightroom's previews
_INCOMPLETE_FOLDER = ".download"  # Safari's
_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "autorun.inf", "picasa.ini", "zbthumbnail.info"}
_ZONE = "zone.identifier"  # Windows' note on a download, copied to Linux: `1.JPG:Zone.Identifier`
_INCOMPLETE_PREFIXES = (".azdownload-", ".pending-", "unconfirmed ")

_KINDS = {
    FileKind.VIDEO: """3g2 3gp 360 asf avi divx dv f4v flv h264 h265 hevc insv lrv m1v m2ts m2v m4v mjpeg mjpg mkv mod
        mov mp4 mpe mpeg mpg mts mxf ogv rm rmvb tod ts vob webm wmv""",
    FileKind.RAW: """3fr ari arw cr2 cr3 crw dcr dng erf fff gpr iiq k25 kdc mef mos mrw nef nrw orf pef ptx r3d raf raw
        rw2 rwl sr2 srf srw x3f""",
    FileKind.OTHER_IMAGE: """apng avif bmp dib exr gif heic heif hdr ico j2k jfif jp2 jpc jpe jpeg jpg jpf jpx jxl jxr
        mpo pam pbm pgm pjp pjpeg png pnm ppm psd svg svgz tga tif tiff wdp webp xcf""",
    FileKind.INCOMPLETE: """!qb !ut aria2 bc! cloud crdownload dctmp download downloading fdmdownload ffs_tmp filepart
        icloud nextcloud opdownload owncloud part partial temp tmp""",
    FileKind.BACKUP: "backup bak bkp old orig",
    FileKind.AUDIO: "aac aif aiff amr flac m4a mid mp3 oga ogg opus wac wav wma",
    FileKind.ARCHIVE: "7z bz2 cab gz iso lz4 lzma rar tar tbz2 tgz txz xz z zip zst",
    FileKind.SIDECAR: """aae csv ctg db ddb doc docx dop exif gpx htm html info ini ipynb json jsonl kml kmz log md md5
        nmea ods parquet pdf pp3 pq rtf sav sha1 sha256 sqlite sqlite3 srt tdb thm tsv txt url vrd xls xlsm xlsx xml xmp
        yaml yml""",
}
_BY_SUFFIX = {suffix: kind for kind, suffixes in _KINDS.items() for suffix in suffixes.split()}
_BACKUP_END = re.compile(r"(_original|~)$")  # `IMG.JPG_original` is ExifTool's, `IMG.JPG~` an editor's


def lower_suffix(path: str) -> str:
    """Return the suffix after the last dot of the name, in lower case; empty if there is no dot.

    Trailing white space, invisible characters and dots are ignored, as Windows and most tools do.
    """
    name = (canonical_text(path.rpartition("/")[2]) or "").rstrip(". ")
    _, dot, suffix = name.rpartition(".")
    return suffix.lower().strip() if dot else ""


def classify_file(path: str, suffixes: Collection[str]) -> tuple[FileKind, str]:
    """Return the kind of a file and its evidence: its suffix, its system folder or its name.

    `path` is relative to the source; `suffixes` are those of images to read: they take precedence over other meanings
    of a suffix, but not over system folders and hidden names.
    """
    folder, _, name = path.rpartition("/")
    if found := _classify_by_folder(folder):
        return found
    suffix, lower = lower_suffix(name), name.lower()
    if lower.startswith(_INCOMPLETE_PREFIXES):
        return FileKind.INCOMPLETE, suffix
    if suffix not in suffixes and _BY_SUFFIX.get(suffix) == FileKind.INCOMPLETE:
        return FileKind.INCOMPLETE, suffix
    if lower in _FILES:
        return FileKind.SYSTEM_FILE, name.strip()
    if lower.endswith(_ZONE):
        return FileKind.SYSTEM_FILE, "Zone.Identifier"
    if name.startswith(("._", "~$")):
        return FileKind.SYSTEM_FILE, f"{name[:2]}*"
    if name.startswith("."):
        return FileKind.SYSTEM_FILE, name if suffix in ("", lower[1:]) else ".*"
    if suffix in suffixes:
        return FileKind.IMAGE, suffix
    if _BACKUP_END.search(suffix):
        return FileKind.BACKUP, suffix
    return _BY_SUFFIX.get(suffix, FileKind.OTHER if suffix else FileKind.BARE), suffix


@lru_cache(1024)
def _classify_by_folder(path: str) -> tuple[FileKind, str] | None:
    """Return the kind of all files below a folder, or None if the folder does not determine it."""
    for name in path.split("/"):
        if name.lower().endswith(_INCOMPLETE_FOLDER):
            return FileKind.INCOMPLETE, _INCOMPLETE_FOLDER.lstrip(".")
        if is_system_folder(name):
            return FileKind.SYSTEM_FOLDER, name
    return None


def is_system_folder(name: str) -> bool:
    """Return whether a folder belongs to a system or program: a listed name, or one that begins with a dot."""
    lower = name.lower()
    return lower in _FOLDERS or lower.startswith(_FOLDER_PREFIXES) or lower.endswith(_FOLDER_SUFFIXES)
