"""Sample data: read from what people have, and refused in words where it does not fit."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tools import calibration, images, tables
from tools.calibration import Input, Options
from tools.errors import DataError, SourceFileError

ROW = [Input("x", "float32", (-1, 3))]
PICTURE = [Input("pixels", "float32", (-1, 4, 6, 3))]
RANDOM = np.random.default_rng(1)


def load(
    source: object, inputs: list[Input] = ROW, outputs: tuple[str, ...] = ("scores",), **options: object
) -> calibration.Data:
    return calibration.load(str(source), inputs, outputs, Options(**options))  # type: ignore[arg-type]


def test_an_npy_of_doubles_becomes_float32(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", RANDOM.random((30, 3)))
    data = load(tmp_path / "x.npy")
    assert data.inputs["x"].dtype == np.float32
    assert data.inputs["x"].shape == (30, 3)
    assert data.warnings == ()


def test_an_npz_has_its_arrays_by_name_and_its_targets(tmp_path: Path) -> None:
    inputs = [Input("a", "int32", (-1, 2)), Input("b", "float32", (-1, 4, 4, 1))]
    np.savez(tmp_path / "x.npz", a=np.ones((25, 2)), b=RANDOM.random((25, 4, 4)), y=np.arange(25))
    data = load(tmp_path / "x.npz", inputs)
    assert data.inputs["a"].dtype == np.int32
    assert data.inputs["b"].shape == (25, 4, 4, 1)
    assert data.targets["scores"].tolist() == list(range(25))


def test_one_row_without_a_batch_dimension_gets_one_and_a_warning(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([1.0, 2.0, 3.0]))
    data = load(tmp_path / "x.npy")
    assert data.inputs["x"].shape == (1, 3)
    assert "only 1 samples" in data.warnings[0]


def test_more_rows_than_the_limit_are_thinned_evenly(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.arange(3000).reshape(1000, 3), y=np.arange(1000))
    data = load(tmp_path / "x.npz", limit=11)
    assert data.targets["scores"][[0, 5, 10]].tolist() == [0, 499, 999]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.ones((5, 4))}, r"needs arrays of shape \[any, 3\], got \[5, 4\]"),
        ({"x": np.array([[1.0, np.nan, 0]] * 5)}, "holds NaN or an infinity, first in row 0"),
        ({"x": np.ones((5, 3)), "z": np.ones(5)}, "has the arrays 'x', 'z', the model the inputs 'x'"),
        ({"x": np.ones((5, 3)), "y": np.ones(4)}, "differ in their number of rows: x 5, the right answers to scores 4"),
        ({"x": np.array([["a", "b", "c"]])}, "needs float32 numbers"),
        ({"x": np.ones((0, 3))}, "holds no rows"),
    ],
)
def test_data_that_does_not_fit_is_refused(tmp_path: Path, arrays: dict[str, object], message: str) -> None:
    np.savez(tmp_path / "x.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=message):
        load(tmp_path / "x.npz")


def test_integers_must_be_whole_and_in_range(tmp_path: Path) -> None:
    inputs = [Input("x", "uint8", (-1, 3))]
    np.save(tmp_path / "x.npy", np.full((3, 3), 0.5))
    with pytest.raises(DataError, match="uint8 integers, got fractions"):
        load(tmp_path / "x.npy", inputs)
    np.save(tmp_path / "x.npy", np.full((3, 3), 300))
    with pytest.raises(DataError, match="from 0 to 255, got 300 to 300"):
        load(tmp_path / "x.npy", inputs)


def test_pickles_and_what_is_not_there_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(DataError, match="objects are not read"):
        load(tmp_path / "x.npy")
    with pytest.raises(DataError, match="there is no such file"):
        load(tmp_path / "nope.npy")
    with pytest.raises(SourceFileError, match="there is no module nope"):
        load("nope:samples")


def test_a_table_names_the_features_and_its_target_column(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("age,height,weight,price\n1,2,3,10\n4,5,6,20\n", "utf-8")
    data = load(path, target_column="price")
    assert data.features == ("age", "height", "weight")
    assert data.inputs["x"].tolist() == [[1, 2, 3], [4, 5, 6]]
    assert data.targets["scores"].tolist() == [10, 20]
    with pytest.raises(DataError, match=r"has 4 columns .* input x takes 3"):
        load(path)
    with pytest.raises(DataError, match="the columns age, height, weight, price"):
        load(path, target_column="cost")


def test_a_column_goes_to_the_input_of_its_name(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("b,a,y\n1,2,0\n3,4,1\n", "utf-8")
    data = load(path, [Input("a", "float32", (-1, 1)), Input("b", "int64", (-1,))])
    assert data.inputs["a"].tolist() == [[2], [4]]
    assert data.inputs["b"].tolist() == [1, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3\n4,5,6\n", "a header must name the columns"),
        ("a,b,c\n", "a header and at least one row"),
        ("a,b,c\n1,2\n", "line 2 has 2 values, not 3"),
        ("a,b,c\n1,2,red\n", "column c holds text"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.csv").write_text(text, "utf-8")
    with pytest.raises(DataError, match=message):
        load(tmp_path / "x.csv")


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is not None, reason="pyarrow is installed")
def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="needs pyarrow"):
        tables.read(tmp_path / "x.parquet")


def photos(folder: Path) -> Path:
    for name, color in (("cat", (255, 0, 0)), ("dog", (0, 0, 255))):
        (folder / name).mkdir(parents=True)
        Image.new("RGB", (12, 8), color).save(folder / name / "one.png")
    return folder


def test_a_folder_of_images_is_resized_and_normalized_and_its_subfolders_are_classes(tmp_path: Path) -> None:
    data = load(photos(tmp_path / "photos"), PICTURE, normalize="imagenet")
    assert data.inputs["pixels"].shape == (2, 4, 6, 3)
    np.testing.assert_allclose(
        data.inputs["pixels"][0, 0, 0], (np.array([1, 0, 0]) - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225], rtol=1e-5
    )
    assert data.labels == ("cat", "dog")
    assert data.targets["scores"].tolist() == [0, 1]
    assert data.image["height"] == 4
    assert data.image["mean"] == [0.485, 0.456, 0.406]


def test_without_normalize_pixels_are_divided_and_it_says_so(tmp_path: Path) -> None:
    data = load(photos(tmp_path / "photos"), PICTURE)
    assert float(data.inputs["pixels"].max()) == 1.0
    assert any("--normalize was not given" in warning for warning in data.warnings)
    raw = load(tmp_path / "photos", PICTURE, normalize="none")
    assert float(raw.inputs["pixels"].max()) == 255.0


def test_a_folder_without_images_or_for_another_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images in it"):
        load(tmp_path, PICTURE)
    with pytest.raises(DataError, match=r"is a folder of images, but the model's inputs are x \[any, 3\]"):
        load(tmp_path)
    (tmp_path / "a.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match=r"a\.png cannot be read as an image"):
        load(tmp_path, PICTURE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5", images.Normalization(0.5)),
        ("1/2", images.Normalization(1.0, (2.0, 2.0, 2.0))),
        ("1/1,2,3/4", images.Normalization(1.0, (1.0, 2.0, 3.0), (4.0, 4.0, 4.0))),
    ],
)
def test_normalize_is_scale_mean_std(text: str, expected: images.Normalization) -> None:
    assert images.normalization(text, 3) == expected


@pytest.mark.parametrize("text", ["", "big", "1/2,3", "0", "1/2/0", "1/2/3/4", "1,2"])
def test_normalize_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="--normalize"):
        images.normalization(text, 3)


def test_normalize_is_refused_where_no_input_takes_pictures_and_said_to_leave_arrays_as_they_are(
    tmp_path: Path,
) -> None:
    shapes = [("rooms", (-1, 3)), ("photo", (-1, 4, 6, 3))]
    assert calibration.picture("", shapes) is None
    told = calibration.picture("0..1", shapes)
    assert told is not None
    assert (told["height"], told["width"], told["channels"]) == (4, 6, 3)
    with pytest.raises(DataError, match=r"--normalize 1\.\.2 is for pictures.*the inputs are rooms \[any, 3\]"):
        calibration.picture("1..2", shapes[:1])
    np.save(tmp_path / "x.npy", RANDOM.random((30, 4, 6, 3)))
    assert any("taken as it is" in warning for warning in load(tmp_path / "x.npy", PICTURE, normalize="0..1").warnings)
    assert load(tmp_path / "x.npy", PICTURE, normalize="none").warnings == ()
