"""Pictures to pixels."""

from __future__ import annotations

import contextlib
import io
import sys
import zipfile
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from runtime.errors import MediaTypeError, RequestError, TooLargeError
from runtime.manifest import Flatbuffer, Manifest, Tensor
from runtime.manifest import Image as Meaning
from runtime.signature import Batch, Signature, TensorSpec
from runtime.wire import image
from runtime.wire.expected import Bounds, Expected, expected

BOUNDS = Bounds()
SMALL = Meaning(4, 6, 3)


def gradient(height: int, width: int) -> NDArray[Any]:
    """A picture that looks different from each side."""
    rows, columns = np.mgrid[0:height, 0:width]
    pixels: NDArray[Any] = np.stack([rows * 255 // height, columns * 255 // width, rows * 0 + 128], -1)
    return pixels.astype(np.uint8)


def saved(pixels: NDArray[Any], kind: str = "PNG", mode: str | None = None, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture = Image.fromarray(pixels)
    (picture.convert(mode) if mode else picture).save(stream, kind, **options)
    return stream.getvalue()


def decode(*pictures: bytes, meaning: Meaning = SMALL, bounds: Bounds = BOUNDS, dtype: str = "uint8") -> NDArray[Any]:
    """Rows of an input with that meaning."""
    spec = TensorSpec("x", dtype, (-1, meaning.height, meaning.width, meaning.channels))
    return image.decode(
        pictures, Expected(Signature((spec,), (), Batch.DYNAMIC), {}, {"x": meaning}, bounds=bounds), spec
    )


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_pixels_of_the_right_size_come_as_they_are(height: int, width: int, seed: int) -> None:
    """PNG and lossless WebP; the row has height, width and channels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    for data in (saved(pixels), saved(pixels, "WEBP", lossless=True)):
        got = decode(data, meaning=Meaning(height, width, 3))
        assert got.dtype == np.uint8
        assert np.array_equal(got, pixels[None])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_each_format_is_resized_to_the_input(kind: str) -> None:
    """Bilinear, as the calibration pictures were."""
    data = saved(gradient(40, 60), kind)
    with Image.open(io.BytesIO(data)) as picture:
        want = np.asarray(picture.convert("RGB").resize((6, 4), Image.Resampling.BILINEAR))
    assert np.array_equal(decode(data)[0], want)


def test_pixels_are_normalized_as_the_manifest_says() -> None:
    """Times scale, less mean, by std, each channel its own."""
    meaning = Meaning(2, 2, 3, 1 / 255, (0.5, 0.25, 0.0), (0.5, 1.0, 2.0))
    got = decode(saved(np.full((2, 2, 3), 255, np.uint8)), meaning=meaning, dtype="float32")
    assert got.dtype == np.float32
    assert np.allclose(got[0, 0, 0], [1.0, 0.75, 0.5])


def test_values_have_the_dtype_that_the_input_takes() -> None:
    """float32 for a float input; a quantized one gets real values if a manifest speaks, else its own integers."""
    data = saved(np.full((4, 6, 3), 200, np.uint8))
    assert decode(data, dtype="float32").dtype == np.float32
    spec = TensorSpec("x", "uint8", (-1, 4, 6, 3), (0.5, 0))
    signature = Signature((spec,), (), Batch.DYNAMIC)
    told = Manifest("m", "1.0.0", Flatbuffer(0, ""), (Tensor("x", "float32", (-1, 4, 6, 3), image=SMALL),), ())
    for manifest, dtype in ((told, np.float32), (None, np.uint8)):
        got = image.decode([data], expected(signature, manifest, BOUNDS), spec)
        assert got.dtype == dtype
        assert got.max() == got.min() == 200


def test_the_camera_may_be_held_upright() -> None:
    """EXIF's orientation is applied: stored on its side, decoded upright."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    data = saved(np.rot90(gradient(4, 6)).copy(), exif=exif)
    assert np.array_equal(decode(data)[0], gradient(4, 6))


def test_a_gif_is_its_first_frame() -> None:
    """An animation answers as its first picture alone does."""
    first, second = (Image.fromarray(pixels).convert("P") for pixels in (gradient(4, 6), gradient(4, 6)[::-1]))
    stream = io.BytesIO()
    first.save(stream, "GIF", save_all=True, append_images=[second])
    assert np.array_equal(decode(stream.getvalue()), decode(saved(gradient(4, 6), "GIF", "P")))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_mode_becomes_the_channels_that_the_input_has(mode: str) -> None:
    """Palettes, grey and transparency, to one channel and to three."""
    for channels in (1, 3, 4):
        got = decode(saved(gradient(4, 6), mode=mode), meaning=Meaning(4, 6, channels))
        assert got.shape == (1, 4, 6, channels)


def test_cmyk_and_sixteen_bits() -> None:
    """A JPEG for print, and a grey PNG of 16 bits whose brightness is kept."""
    assert decode(saved(gradient(4, 6), "JPEG", "CMYK")).shape == (1, 4, 6, 3)
    deep = np.array([[0, 256, 32768, 65535]], np.uint16)
    assert decode(saved(deep), meaning=Meaning(1, 4, 1))[0, 0, :, 0].tolist() == [0, 1, 128, 255]


def test_a_size_that_varies_is_the_pictures_own() -> None:
    """-1 in the input's shape: nothing is resized."""
    assert decode(saved(gradient(5, 7)), meaning=Meaning(-1, -1, 3)).shape == (1, 5, 7, 3)


def test_several_pictures_are_rows_of_one_shape() -> None:
    """Rows in their order; with sizes that vary they must be alike."""
    pictures = [saved(gradient(4, 6)), saved(gradient(4, 6)[::-1])]
    assert np.array_equal(decode(*pictures)[1], gradient(4, 6)[::-1])
    with pytest.raises(RequestError, match=r"picture 1 is \[5, 5, 3\]"):
        decode(saved(gradient(4, 6)), saved(gradient(5, 5)), meaning=Meaning(-1, -1, 3))


def header_only(width: int, height: int) -> bytes:
    """A PNG that says it is large and brings nothing."""
    head = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\0\0\0"
    chunks = (head, b"IDAT" + zlib.compress(b"\0"), b"IEND")
    told = b"".join((len(part) - 4).to_bytes(4, "big") + part + zlib.crc32(part).to_bytes(4, "big") for part in chunks)
    return b"\x89PNG\r\n\x1a\n" + told


def test_a_large_picture_is_refused_before_it_is_decoded() -> None:
    """By its header alone; the pixels of all pictures of a request count."""
    with pytest.raises(TooLargeError, match="30000 x 30000 pixels"):
        decode(header_only(30_000, 30_000))
    with pytest.raises(RequestError, match="damaged"):
        decode(header_only(100, 100))
    bounds = Bounds(pixels=40)
    assert decode(saved(gradient(4, 6)), bounds=bounds).shape == (1, 4, 6, 3)
    with pytest.raises(TooLargeError, match="16 are left"):
        decode(*[saved(gradient(4, 6))] * 2, bounds=bounds)


def test_many_small_pictures_of_a_large_input_are_refused_before_they_are_decoded() -> None:
    """A kilobyte of tiny pictures may not become a gigabyte of pixels."""
    with pytest.raises(TooLargeError, match="send fewer"):
        decode(*[saved(gradient(1, 1))] * 200, meaning=Meaning(512, 512, 3))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_picture_that_is_cut_off_is_refused(kind: str) -> None:
    """Wherever it ends too early."""
    data = saved(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8), kind)
    for share in (0.05, 0.3, 0.7, 0.95, 0.999):
        with pytest.raises(RequestError):
            decode(data[: int(len(data) * share)])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_picture_that_hides_a_zip_is_refused(kind: str) -> None:
    """A file that is two things at once is neither."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("payload.html", "<script>")
    with pytest.raises(RequestError, match="something follows"):
        decode(saved(gradient(4, 6), kind) + stream.getvalue())


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"\xff\xd8\xff", b"%PDF-1.4", b"<svg xmlns='x'/>", b"BM" + bytes(60)])
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    """Nothing else reaches a decoder."""
    with pytest.raises(RequestError):
        decode(data)


@given(
    st.sampled_from(["JPEG", "PNG", "WEBP", "GIF"]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8),
)
@settings(max_examples=80, deadline=None)
def test_a_damaged_picture_is_pixels_or_an_error_of_ours(kind: str, changes: list[tuple[float, int]]) -> None:
    """Whatever a decoder makes of changed bytes, no other exception comes out."""
    data = bytearray(saved(gradient(8, 8), kind))
    for place, value in changes:
        data[int(place * (len(data) - 1))] = value
    with contextlib.suppress(RequestError):
        assert decode(bytes(data)).shape == (1, 4, 6, 3)


def test_without_pillow_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """415, with the line to add."""
    image._pillow.cache_clear()
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(MediaTypeError, match=r"requirements-image\.txt"):
        decode(saved(gradient(4, 6)))
    image._pillow.cache_clear()


def meaning_of(
    dtype: str, shape: tuple[int, ...], told: Meaning | None = None, batch: Batch = Batch.DYNAMIC
) -> Meaning:
    spec = TensorSpec("x", dtype, shape)
    manifest = Manifest("m", "1.0.0", Flatbuffer(0, ""), (Tensor("x", dtype, shape, image=told),), ()) if told else None
    return image.meaning(expected(Signature((spec,), (), batch), manifest, BOUNDS), spec)


def test_an_input_takes_pictures_if_the_manifest_says_so_or_if_it_takes_bare_pixels() -> None:
    """uint8 of three or four dimensions leaves no doubt; for floats nothing is guessed."""
    told = Meaning(4, 6, 3, 1 / 255)
    assert meaning_of("float32", (-1, 4, 6, 3), told) == told
    assert meaning_of("uint8", (-1, 4, 6, 3)) == Meaning(4, 6, 3)
    assert meaning_of("uint8", (4, -1, 1), batch=Batch.NONE) == Meaning(4, -1, 1)
    with pytest.raises(RequestError, match=r"tools/export\.py"):
        meaning_of("float32", (-1, 4, 6, 3))
    with pytest.raises(RequestError, match="takes no pictures"):
        meaning_of("float32", (-1, 4))
