"""Folders of images: other files, links, sizes, modes, and images that are none."""

from pathlib import Path

from .making import both, dangling, fifo, folder, image, link_to, loop, text, unix_socket
from .table import Case, Maker, bad, table

GOOD = [image(f"x/{i}.png") for i in range(3)]


def _images(name: str, *makers: Maker, says: tuple[str, ...], flags: str = "") -> Case:
    line = f"search -m kmeans --dry-run -d x {flags}"
    return bad(name, line, 3, *says, make=both(folder("x"), *makers))


def _beside(name: str, maker: Maker, *says: str) -> Case:
    return _images(name, *GOOD, maker, says=says)


def _classes(*names: str) -> list[Maker]:
    return [image(f"x/{name}/1.png") for name in names]


FOLDERS = [
    _images("empty", says=("without images", "give one with files")),
    _images("only hidden", text("x/.a.png", "x"), says=("without images",)),
    _images("only litter", text("x/Thumbs.db", "x"), says=("without images",)),
    _images("equal", *GOOD, says=("are equal", "points that differ")),
    _images("one", image("x/a.png"), says=("a single point", "at least 2")),
    _images("one class", *_classes("a"), says=("a single class", "'a'")),
    _images("a class without images", *_classes("a", "b"), folder("x/c"), says=("'c'", "remove")),
    _images("train and val", *_classes("train", "val"), says=("parts of a split", "train")),
    _images("labels", *GOOD, says=("'y'", "leave out labels"), flags="--labels y"),
]
BESIDE = [
    _beside("a text", text("x/a.txt", "hello"), "x/a.txt", "remove it"),
    _beside("no ending", text("x/README", "hello"), "x/README", "remove it"),
    _beside("a newline", text("x/a\nb.txt", "hello"), "x/a\\nb.txt", "remove it"),
    _beside("right to left", text("x/a\u202egnp.exe", "hello"), "\\u202e", "remove it"),
    _beside("no UTF-8", text("x/a\udcff.txt", "hello"), "a\\udcff.txt", "remove it"),
    _beside("a class beside", image("x/a/1.png"), "next to the folder 'a'"),
    _beside("dangling link", dangling("x/a.png"), "x/a.png is a link", "copy its target"),
    _beside("loop", loop("x/a.png"), "x/a.png is a link", "copy its target"),
    _beside("link out", link_to("x/a.png", Path("/etc/passwd")), "is a link"),
    _beside("link to a folder", link_to("x/a", Path("/")), "x/a is a link", "copy its target"),
    _beside("link to itself", link_to("x/a", Path(".")), "x/a is a link", "copy its target"),
    _beside("a pipe", fifo("x/a.png"), "x/a.png is not a regular file", "remove it"),
    _beside("a socket", unix_socket("x/a.png"), "x/a.png is not a regular file", "remove it"),
    _beside("empty image", text("x/a.png", b""), "x/a.png cannot be read as an image"),
    _beside("cut image", text("x/a.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), "x/a.png"),
    _beside("a page", text("x/a.png", "<html>"), "x/a.png cannot be read as an image"),
    _beside("PostScript", text("x/a.png", "%!PS-Adobe-3.0 EPSF-3.0\n"), "x/a.png", "none of JPEG"),
    _beside("a GIF in disguise", text("x/a.png", b"GIF89a" + b"\0" * 99), "x/a.png"),
    _beside("SVG", text("x/a.svg", "<svg onload='x'/>"), "x/a.svg", "remove it"),
    _beside("other size", image("x/a.png", (9, 8)), "9 x 8", "8 x 8", "resize"),
    _beside("16 bits", image("x/a.png", mode="I;16"), "x/a.png", "8 bits"),
    _beside("floats", image("x/a.tif", mode="F"), "x/a.tif", "8 bits"),
    _beside("transparent", image("x/a.png", mode="RGBA"), "transparent", "background"),
    _beside("bomb", image("x/a.png", (10_000, 10_000), "1"), "pixels", "resize all images"),
]
HEAD = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
SIZES = [
    _beside("4 billion wide", text("x/a.png", HEAD + b"\x7f\xff\xff\xff" * 2 + b"\x08\0\0\0\0")),
    _beside("0 wide", text("x/a.png", HEAD + b"\0\0\0\0" * 2 + b"\x08\0\0\0\0"), "x/a.png"),
    _beside("PPM lies", text("x/a.ppm", b"P6\n99999 99999\n255\n"), "x/a.ppm"),
    _beside("PGM of negative size", text("x/a.pgm", b"P5\n-8 8\n255\n"), "x/a.pgm"),
    _beside("BMP lies", text("x/a.bmp", b"BM" + b"\xff" * 60), "x/a.bmp"),
    _beside("TIFF in circles", text("x/a.tif", b"II*\0" + b"\x08\0\0\0" * 9), "x/a.tif"),
    _beside("WebP lies", text("x/a.webp", b"RIFF\xff\xff\xff\x7fWEBPVP8 "), "x/a.webp"),
    _beside("JPEG cut", text("x/a.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF\0"), "x/a.jpg"),
]


@table(*FOLDERS, *BESIDE, *SIZES)
def test_a_folder_that_is_no_data_is_refused(case, check):
    check(case)
