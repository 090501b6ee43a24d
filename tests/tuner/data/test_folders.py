import os
import warnings

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from tests.tuner.data.refusals import refusal
from tuner.data import load
from tuner.data.formats.folders import EXTENSIONS
from tuner.orchestration.prediction import read_points

RNG = np.random.default_rng(0)


def write(path, *, size=(6, 5), mode="RGB", **given):
    """Write an image of noise, width x height, and return its pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"L": (), "RGB": (3,), "RGBA": (4,), "LA": (2,), "CMYK": (4,)}[mode]
    pixels = RNG.integers(0, 256, (size[1], size[0], *channels), np.uint8)
    if mode in ("RGBA", "LA"):
        pixels[..., -1] = 255
    Image.fromarray(pixels, mode).save(path, **given)
    return pixels


@pytest.fixture
def folder(tmp_path):
    """A folder with ten colour images beside each other."""
    for i in range(10):
        write(tmp_path / "photos" / f"{i}.png")
    return tmp_path / "photos"


@pytest.fixture
def classed(tmp_path):
    """A folder with a folder for each of two classes."""
    for i in range(10):
        write(tmp_path / "pets" / ("cat" if i % 2 else "dog") / f"{i}.png")
    return tmp_path / "pets"


def raw(data):
    return np.concatenate(
        [data.preprocessor.invert(data.train), data.preprocessor.invert(data.test)]
    )


def test_images_beside_each_other_have_no_labels(tmp_path):
    written = [write(tmp_path / "photos" / f"{i}.png") for i in range(10)]
    data = load(str(tmp_path / "photos"))
    assert data.name == "photos"
    assert data.train.shape == (8, 3, 5, 6)
    assert data.train_labels is None
    assert data.label_names == ()
    assert data.unit_interval
    assert data.preprocessor.scaling.scale == 255
    expected = np.moveaxis(np.stack(written), 3, 1).reshape(10, -1)
    assert np.array_equal(
        np.sort(raw(data).reshape(10, -1).round(), axis=0), np.sort(expected, axis=0)
    )


def test_folders_are_read_as_torchvision_does(classed):
    write(classed / "cat" / "deeper" / "x.png")
    write(classed / "cat-like" / "0.png")
    theirs = ImageFolder(str(classed))
    data = load(str(classed))
    assert data.label_names == tuple(theirs.classes)
    points = read_points(classed, labels=None)[0]
    for ours, (image, _) in zip(points, theirs, strict=True):
        assert np.array_equal(ours, np.moveaxis(np.asarray(image), 2, 0))
    found = dict(zip(map(bytes, raw(data).round().astype(np.uint8)), range(99), strict=False))
    codes = np.concatenate([data.train_labels, data.test_labels])
    for point, target in zip(points, theirs.targets, strict=True):
        assert codes[found[bytes(np.ascontiguousarray(point))]] == target


def test_the_points_of_a_split_are_all_there_with_their_names(tmp_path):
    for part, names in (("test", "b"), ("train", "ac")):
        for name in names:
            write(tmp_path / part / f"{name}.png")
    read = read_points(tmp_path, labels=None)
    assert read.names == ("train/a.png", "train/c.png", "test/b.png")
    assert len(read.points) == 3
    for name, point in zip(read.names, read.points, strict=True):
        with Image.open(tmp_path / name) as image:
            assert np.array_equal(point, np.moveaxis(np.asarray(image), 2, 0))
    assert read.messages == ("note: 2 training points, then 1 test points",)


def test_every_image_keeps_its_name(classed):
    (classed / "cat" / "1.png").rename(classed / "cat" / "tab\tin.png")
    read = read_points(classed, labels=None)
    assert read.heading == "file"
    assert read.names[:5] == (
        "cat/3.png",
        "cat/5.png",
        "cat/7.png",
        "cat/9.png",
        r"cat/tab\tin.png",
    )
    with Image.open(classed / "dog" / "4.png") as image:
        pixels = np.moveaxis(np.asarray(image), 2, 0)
    assert np.array_equal(read.points[read.names.index("dog/4.png")], pixels)


def test_labels_change_nothing_else(classed, tmp_path):
    for i, file in enumerate(sorted(classed.rglob("*.png"))):
        (tmp_path / "flat").mkdir(exist_ok=True)
        (tmp_path / "flat" / f"{i}.png").write_bytes(file.read_bytes())
    assert load(str(classed)).fingerprint == load(str(tmp_path / "flat")).fingerprint


def test_grey_images_have_no_axis_of_colours(tmp_path):
    written = [write(tmp_path / "f" / f"{i}.png", mode="L") for i in range(10)]
    assert load(str(tmp_path / "f")).shape == (5, 6)
    assert np.array_equal(read_points(tmp_path / "f", labels=None)[0], written)


def test_grey_among_colour_becomes_colour(folder):
    pixels = write(folder / "a.png", mode="L")
    points = read_points(folder, labels=None)[0]
    assert points.shape == (11, 3, 5, 6)
    assert np.array_equal(points[10], [pixels] * 3)


@pytest.mark.parametrize("ending", EXTENSIONS)
def test_every_ending_is_read(tmp_path, ending):
    grey = ending == ".pgm"
    for i in range(5):
        write(tmp_path / "f" / f"{i}{ending.upper()}", mode="L" if grey else "RGB")
    assert load(str(tmp_path / "f")).shape == ((5, 6) if grey else (3, 5, 6))


@pytest.mark.parametrize(("mode", "shape"), [("RGBA", (3, 5, 6)), ("LA", (5, 6))])
def test_opaque_images_may_have_an_alpha_channel(tmp_path, mode, shape):
    written = [write(tmp_path / "f" / f"{i}.png", mode=mode) for i in range(5)]
    assert load(str(tmp_path / "f")).shape == shape
    points = read_points(tmp_path / "f", labels=None)[0]
    assert np.array_equal(points[0].reshape(-1, 5, 6)[0], written[0][..., 0])


def test_black_and_white_and_palettes_are_read(tmp_path):
    (tmp_path / "f").mkdir()
    for i in range(5):
        pixels = RNG.integers(0, 2, (5, 6), np.uint8) * 255
        Image.fromarray(pixels).convert("1").save(tmp_path / "f" / f"{i}.png")
    assert set(np.unique(read_points(tmp_path / "f", labels=None)[0])) == {0, 255}
    colours = Image.fromarray(RNG.integers(0, 256, (5, 6, 3), np.uint8))
    colours.quantize(8).save(tmp_path / "f" / "p.png")
    assert load(str(tmp_path / "f")).shape == (3, 5, 6)


def test_a_split_in_folders_is_published(classed, tmp_path):
    (tmp_path / "all").mkdir()
    classed.rename(tmp_path / "all" / "train")
    write(tmp_path / "all" / "test" / "cat" / "0.png")
    write(tmp_path / "all" / "test" / "owl" / "0.png")
    data = load(str(tmp_path / "all"))
    assert (len(data.train), len(data.test)) == (10, 2)
    assert data.label_names == ("cat", "dog", "owl")
    assert data.test_labels.tolist() == [0, 2]


def test_parts_are_not_mistaken_for_classes(classed, tmp_path):
    (tmp_path / "all").mkdir()
    classed.rename(tmp_path / "all" / "train")
    write(tmp_path / "all" / "val" / "cat" / "0.png")
    assert "the folders 'train', 'val', which are parts of a split" in refusal(tmp_path / "all")


def test_what_file_managers_leave_is_passed_over(classed):
    before = load(str(classed)).fingerprint
    (classed / ".DS_Store").touch()
    (classed / "cat" / "Thumbs.db").touch()
    (classed / "dog" / "._1.png").write_bytes(b"none")
    (classed / ".git").mkdir()
    assert load(str(classed)).fingerprint == before


def test_the_fingerprint_follows_pixels_and_not_files(folder):
    before = load(str(folder)).fingerprint
    image = Image.open(folder / "3.png")
    image.load()
    image.save(folder / "3.png", compress_level=0)
    assert load(str(folder)).fingerprint == before
    write(folder / "3.png")
    assert load(str(folder)).fingerprint != before


def test_sizes_that_differ_are_refused(folder):
    write(folder / "4.png", size=(7, 5))
    sentence = refusal(folder)
    assert f"{folder / '4.png'} has 7 x 5 pixels (width x height) but " in sentence
    assert f"{folder / '0.png'} has 6 x 5" in sentence
    assert "resize all images to one size" in sentence


@pytest.mark.parametrize("size", [0, 10, 40, -30])
@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp", "bmp", "ppm"])
def test_a_broken_image_is_named(folder, ending, size):
    path = folder / f"a.{ending}"
    write(path)
    path.write_bytes(path.read_bytes()[:size])
    assert f"{path} cannot be read as an image" in refusal(folder)


def test_noise_is_no_image(folder):
    (folder / "a.png").write_bytes(RNG.bytes(500))
    assert "it is none of JPEG, PNG" in refusal(folder)


def test_postscript_that_calls_itself_an_image_is_never_run(folder):
    (folder / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 6 5\nshowpage\n")
    assert f"{folder / 'a.png'} cannot be read as an image" in refusal(folder)


@pytest.mark.parametrize("name", ["notes.txt", "a.gif", "labels.csv", "noending", "a.npy"])
def test_a_file_that_is_no_image_is_refused(folder, name):
    (folder / name).write_text("x")
    sentence = refusal(folder)
    assert f"{folder / name} is not an image that can be read" in sentence
    assert ".jpg, .jpeg, .png" in sentence


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "none").mkdir()
    assert f"{tmp_path / 'none'} is a folder without images" in refusal(tmp_path / "none")


def test_an_empty_class_is_refused(classed):
    (classed / "owl").mkdir()
    assert "no images in the folder 'owl'" in refusal(classed)


def test_one_class_alone_is_refused(folder):
    sentence = refusal(folder.parent)
    assert "holds a single class, the folder 'photos'" in sentence
    assert "give the path of that folder" in sentence


def test_images_beside_classes_are_refused(classed):
    write(classed / "a.png")
    assert "images next to the folders 'cat', 'dog'" in refusal(classed)


@pytest.mark.parametrize("kind", ["image", "nothing", "folder", "itself"])
def test_links_are_refused(folder, tmp_path, kind):
    write(tmp_path / "outside" / "a.png")
    where = {"image": "outside/a.png", "nothing": "gone.png", "folder": "outside"}
    target = folder if kind == "itself" else tmp_path / where[kind]
    (folder / "link.png").symlink_to(target)
    sentence = refusal(folder)
    assert f"{folder / 'link.png'} is a link" in sentence
    assert "cp -rL" in sentence


def test_the_folder_itself_may_be_a_link(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    assert load(str(tmp_path / "link")).fingerprint == load(str(folder)).fingerprint


def test_what_is_no_regular_file_is_refused(folder):
    os.mkfifo(folder / "pipe.png")
    assert "pipe.png is not a regular file" in refusal(folder)


@pytest.mark.parametrize("pixels", [(20_000, 5_000), (60_000, 30_000)])
def test_a_huge_image_is_refused_by_its_header(folder, pixels):
    width, height = pixels
    (folder / "a.ppm").write_bytes(f"P6 {width} {height} 255\n".encode() + bytes(100))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert f"{folder / 'a.ppm'} has more than 89,478,485 pixels" in refusal(folder)


def test_more_than_memory_is_refused_by_the_headers(folder, monkeypatch):
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": 2000}))
    monkeypatch.setattr("PIL.Image.Image.convert", lambda *_: pytest.fail("was read"))
    assert "GiB of memory" in refusal(folder)


@pytest.mark.parametrize("kind", ["I;16", "F"])
def test_more_than_eight_bits_are_refused(folder, kind):
    pixels = RNG.integers(0, 60_000, (5, 6)).astype(np.uint16 if kind == "I;16" else np.float32)
    Image.fromarray(pixels).save(folder / "a.tif")
    assert f"a.tif has pixels of mode {kind}" in refusal(folder)


def test_transparent_pixels_are_refused(folder):
    pixels = RNG.integers(0, 200, (5, 6, 4), np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    assert f"{folder / 'a.png'} has transparent pixels" in refusal(folder)


@pytest.mark.parametrize("ending", ["tif", "webp", "png"])
def test_several_images_in_a_file_are_refused(folder, ending):
    pages = [Image.fromarray(RNG.integers(0, 256, (5, 6, 3), np.uint8)) for _ in range(3)]
    pages[0].save(folder / f"a.{ending}", save_all=True, append_images=pages[1:])
    assert "holds 3 images" in refusal(folder)


def test_a_single_image_is_refused(tmp_path):
    write(tmp_path / "f" / "a.png")
    assert "a single point" in refusal(tmp_path / "f")


def test_equal_images_are_refused(tmp_path):
    write(tmp_path / "f" / "0.png")
    for i in range(1, 5):
        (tmp_path / "f" / f"{i}.png").write_bytes((tmp_path / "f" / "0.png").read_bytes())
    assert "nothing to cluster" in refusal(tmp_path / "f")


def test_a_folder_has_no_column_of_labels(classed):
    assert "whose subfolders are the classes" in refusal(classed, labels="kind")


def test_a_folder_that_is_not_there_is_told(folder):
    assert "did you mean 'photos'?" in refusal(folder.with_name("photo"))


def test_one_image_alone_is_no_data_set(folder):
    assert "or a folder of images" in refusal(folder / "1.png")


def test_an_image_that_changes_while_it_is_read_is_refused(folder, monkeypatch):
    whole = Image.Image.convert

    def slow(image, mode):
        os.utime(folder / "2.png", ns=(1, 1))
        return whole(image, mode)

    monkeypatch.setattr("PIL.Image.Image.convert", slow)
    assert "was changed while it was read" in refusal(folder)


def test_an_image_that_appears_while_they_are_read_is_told(folder, monkeypatch):
    whole = Image.Image.convert

    def slow(image, mode):
        (folder / "late.png").write_bytes((folder / "2.png").read_bytes())
        return whole(image, mode)

    monkeypatch.setattr("PIL.Image.Image.convert", slow)
    assert "was changed while it was read" in refusal(folder)


def test_odd_names_stay_on_one_line(folder):
    (folder / "a\nb.png").write_bytes(b"none")
    assert "a\\nb.png" in refusal(folder)
    (folder / "a\nb.png").unlink()
    (folder / os.fsdecode(b"\xff.png")).write_bytes(b"none")
    refusal(folder).encode()


def test_a_class_of_an_odd_name_can_be_written_down(classed):
    write(classed / os.fsdecode(b"\xff") / "0.png")
    assert "\\udcff" in load(str(classed)).label_names


def test_a_folder_may_be_given_by_its_name_alone(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert load("photos").fingerprint == load(str(folder)).fingerprint
