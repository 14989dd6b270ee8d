import numpy as np
import pytest

from jaxsim.errors import InputError
from jaxsim.problem.datasets import BUNDLED, load_dataset

KEY = "problem.data"
SIZES = {
    "breast_cancer": (569, 30, 2),
    "diabetes": (442, 10, None),
    "digits": (1797, 64, 10),
    "iris": (150, 4, 3),
    "wine": (178, 13, 3),
}


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_data_sets(name):
    from sklearn import datasets

    data = load_dataset(name, KEY, None)
    n, d, classes = SIZES[name]
    raw, labels = getattr(datasets, f"load_{name}")(return_X_y=True)
    assert data.name == name
    assert data.x.shape == (n, d)
    assert data.x.dtype == np.float64
    assert data.classes == classes
    varies = raw.std(0) > 0
    np.testing.assert_allclose(data.x.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(data.x.std(0), varies.astype(float), atol=1e-12)
    scaled = (raw - raw.mean(0)) / np.where(varies, raw.std(0), 1)
    np.testing.assert_allclose(data.x, scaled, atol=1e-10)
    if classes is None:
        np.testing.assert_array_equal(data.y, labels[:, None])
    else:
        np.testing.assert_array_equal(data.y, labels)
        assert np.issubdtype(data.y.dtype, np.integer)


def test_scales():
    raw = load_dataset({"name": "iris", "scale": "none"}, KEY, None)
    assert raw.x[0].tolist() == [5.1, 3.5, 1.4, 0.2]
    unit = load_dataset({"name": "digits", "scale": "unit"}, KEY, None)
    assert unit.x.min() == 0
    assert unit.x.max() == 1
    assert (unit.x[:, 0] == 0).all()  # a constant column
    values = load_dataset({"name": "diabetes", "target_scale": "standardize"}, KEY, None)
    assert values.y.std() == pytest.approx(1)
    assert values.y.mean() == pytest.approx(0, abs=1e-12)
    regression = load_dataset({"name": "iris", "task": "regression"}, KEY, None)
    assert regression.classes is None
    assert regression.y.shape == (150, 1)


def write(folder, text, name="data.csv"):
    (folder / name).write_text(text, encoding="utf-8")
    return {"path": name, "scale": "none"}


def test_csv_takes_the_last_column_or_that_named_label(tmp_path):
    spec = write(tmp_path, "a,b,c\n1,2,0.5\n3,4,1.5\n")
    data = load_dataset(spec, KEY, tmp_path)
    assert data.x.tolist() == [[1, 2], [3, 4]]
    assert data.y.tolist() == [[0.5], [1.5]]
    assert data.classes is None
    spec = write(tmp_path, "\ufeffa,label,c\n1,7,0.5\n\n3,9,1.5\n5,7,2\n")
    data = load_dataset(spec, KEY, tmp_path)
    assert data.x.tolist() == [[1, 0.5], [3, 1.5], [5, 2]]
    assert data.y.tolist() == [0, 1, 0]
    assert data.classes == 2
    data = load_dataset({**spec, "label": "a", "task": "regression"}, KEY, tmp_path)
    assert data.y.tolist() == [[1.0], [3.0], [5.0]]


def test_classes_may_have_names_or_any_whole_numbers(tmp_path):
    spec = write(tmp_path, 'a,kind\n1,"cat"\n2,dog\n3,cat\n')
    data = load_dataset(spec, KEY, tmp_path)
    assert data.y.tolist() == [0, 1, 0]
    spec = write(tmp_path, "a,kind\n1,-1\n2,1\n3,-1\n")
    assert load_dataset(spec, KEY, tmp_path).y.tolist() == [0, 1, 0]


def test_whole_numbers_with_many_values_are_a_regression(tmp_path):
    rows = "".join(f"{i},{i * i}\n" for i in range(60))
    assert load_dataset(write(tmp_path, "a,b\n" + rows), KEY, tmp_path).classes is None
    spec = {**write(tmp_path, "a,b\n" + rows), "task": "classes"}
    assert load_dataset(spec, KEY, tmp_path).classes == 60


def test_npz(tmp_path):
    x, y = np.arange(12).reshape(3, 2, 2), np.array([[0.5], [1.0], [2.5]])
    np.savez(tmp_path / "a.npz", x=x, y=y)
    data = load_dataset({"path": "a.npz"}, KEY, tmp_path)
    assert data.x.shape == (3, 4)
    assert data.y.tolist() == y.tolist()
    assert data.name == "a.npz"
    np.savez(tmp_path / "b.npz", x=x, y=np.array([True, False, True]))
    data = load_dataset({"path": str(tmp_path / "b.npz")}, KEY, None)
    assert data.y.tolist() == [1, 0, 1]


def test_scaling_of_huge_and_tiny_columns(tmp_path):
    spec = write(tmp_path, "a,b,c,y\n1e200,1e-200,5,0.5\n3e200,3e-200,5,0.25\n")
    data = load_dataset({**spec, "scale": "standardize"}, KEY, tmp_path)
    assert data.x.tolist() == [[-1, -1, 0], [1, 1, 0]]


@pytest.mark.parametrize(("scale", "right"), [("standardize", [-1, 1]), ("unit", [0, 1])])
def test_the_largest_numbers_are_scaled_too(tmp_path, scale, right):
    spec = write(tmp_path, "a,b,y\n-1.7e308,1.5e308,-1.7e308\n1.7e308,1.7e308,1.7e308\n")
    options = {"scale": scale, "target_scale": scale, "task": "regression"}
    data = load_dataset({**spec, **options}, KEY, tmp_path)
    assert data.x.T.tolist() == [right, right]
    assert data.y[:, 0].tolist() == right


CSV_ERRORS = [
    ("a,b\n1_0,2\n3,4\n", r"line 2, column 1 \(a\): '1_0' is not a number"),
    ("a,label,label\n1,2,3\n2,3,4\n", "label = 'label' is the name of 2 columns"),
    ("a,b\n1,2\n1,2,3\n", "line 3 has 3 cells; accepted: 2"),
    ("a,b\n1,2\nfoo,3\n", r"line 3, column 1 \(a\): 'foo' is not a number"),
    ("a,b\n1,2\n3,bar\n", r"line 3, column 2 \(b\): 'bar' is not a number"),
    ("a,b\n1,2\n,3\n", r"line 3, column 1 \(a\): '' is not a number"),
    ("a,b\n1,x\n2,y\n3,\n", r"line 4, column 2 \(b\): '' is no label beside 'x'; accepted"),
    ("a,b\n1,x\n2,nan\n3,y\n", r"line 3, column 2 \(b\): 'nan' is no label beside 'x'"),
    ("a,b\n1,x\n2,7\n3,y\n", r"line 3, column 2 \(b\): '7' is no label beside 'x'"),
    ("a,b\n1,2\nnan,3\n", "x is nan in row 2, column 1"),
    ("a,b\n1,2\n2,inf\n", "y is inf in row 2"),
    ("a,b\n1,2\n", "1 rows; accepted: at least 2"),
    ("a,b\n", "0 rows; accepted: at least 2"),
    ("", "is empty"),
    ("a\n1\n2\n", "one column"),
    ("1,2\n3,4\n", "no header"),
    ("a,b\n1,5\n2,5\n3,5\n", "one class only"),
]


@pytest.mark.parametrize(("text", "message"), CSV_ERRORS)
def test_malformed_csv_is_refused_naming_the_place(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as caught:
        load_dataset(write(tmp_path, text), KEY, tmp_path)
    assert str(caught.value).startswith("problem.data: ")


def test_malformed_npz_is_refused(tmp_path):
    def refused(message, **arrays):
        np.savez(tmp_path / "a.npz", **arrays)
        with pytest.raises(InputError, match=message):
            load_dataset({"path": "a.npz"}, KEY, tmp_path)

    refused("no array 'y'", x=np.eye(2))
    refused("3 rows of x, but 2 of y", x=np.eye(3), y=np.ones(2))
    refused("cannot be read", x=np.array([{}, 1], dtype=object), y=np.ones(2))
    refused("accepted: numbers", x=np.array(["a", "b"]), y=np.ones(2))
    refused("single number", x=np.eye(2), y=np.array(1.0))
    refused("no columns", x=np.ones((2, 0)), y=np.ones(2))
    (tmp_path / "a.npz").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="cannot be read"):
        load_dataset({"path": "a.npz"}, KEY, tmp_path)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mnist", "accepted: breast_cancer, diabetes, digits, iris, wine"),
        ("iriss", "did you mean 'iris'"),
        ("data.csv", r'path = "data.csv"'),
        ({"path": "absent.csv"}, "no such file"),
        ({"path": "."}, "no such file"),
        ({"name": "iris", "path": "a.csv"}, "either 'name' or 'path'"),
        ({"scale": "unit"}, "either 'name' or 'path'"),
        ({"name": "iris", "scale": "log"}, "problem.data.scale"),
        ({"name": "iris", "label": "a"}, "problem.data.label"),
        ({"name": "iris", "target_scale": "unit"}, "not accepted for classes"),
        ({"name": "diabetes", "task": "class"}, "problem.data.task"),
    ],
)
def test_bad_specifications_are_refused(tmp_path, spec, message):
    with pytest.raises(InputError, match=message):
        load_dataset(spec, KEY, tmp_path)


def test_other_refusals(tmp_path):
    spec = write(tmp_path, "a,b\n1,0.5\n2,x\n", "data.txt")
    with pytest.raises(InputError, match=r"end with .csv or .npz"):
        load_dataset(spec, KEY, tmp_path)
    spec = write(tmp_path, "a,b\n1,0.5\n2,1\n")
    with pytest.raises(InputError, match=r"label 0.5 is no class"):
        load_dataset({**spec, "task": "classes"}, KEY, tmp_path)
    with pytest.raises(InputError, match=r"no column of data.csv; accepted: a, b"):
        load_dataset({**spec, "label": "c"}, KEY, tmp_path)
    spec = write(tmp_path, "a,b\n1,u\n2,v\n")
    with pytest.raises(InputError, match="are texts"):
        load_dataset({**spec, "task": "regression"}, KEY, tmp_path)
