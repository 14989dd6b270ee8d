"""Rows that are held out: which ones, and that they have no part in scales."""

import numpy as np
import pytest

from jaxsim.errors import InputError
from jaxsim.problem.datasets import load_dataset

KEY = "problem.data"


def write(folder, x, y, name="own.csv"):
    body = "\n".join(
        ",".join(repr(float(v)) for v in row) + f",{label}" for row, label in zip(x, y, strict=True)
    )
    header = ",".join(f"x{i}" for i in range(x.shape[1])) + ",label"
    (folder / name).write_text(f"{header}\n{body}\n", encoding="utf-8")
    return name


@pytest.fixture
def own(tmp_path):
    rng = np.random.default_rng(1)
    y = np.repeat([3, 5, 9], [50, 30, 20])
    return rng.normal(2.0, 3.0, (100, 3)), y


def test_a_share_is_held_out_and_named(tmp_path, own):
    path = write(tmp_path, *own)
    table = {"path": path, "test": {"fraction": 0.3, "seed": 4}}
    data = load_dataset(table, KEY, tmp_path)
    assert len(data.held_out) == 30
    assert data.judged.tolist() == data.held_out.tolist()
    assert sorted([*data.trained, *data.held_out]) == list(range(100))
    assert data.over == "the 30 held-out rows"
    again = load_dataset(table, KEY, tmp_path)
    assert again.held_out.tolist() == data.held_out.tolist()
    other = load_dataset({**table, "test": {"fraction": 0.3, "seed": 5}}, KEY, tmp_path)
    assert other.held_out.tolist() != data.held_out.tolist()
    for over, rows, words in (
        ("train", data.trained, "the 70 training rows"),
        ("all", np.arange(100), "all 100 rows, 30 of them held out"),
    ):
        chosen = load_dataset({**table, "risk_over": over}, KEY, tmp_path)
        assert chosen.judged.tolist() == list(rows)
        assert chosen.over == words
    plain = load_dataset({"path": path}, KEY, tmp_path)
    assert plain.over == "all 100 rows, those trained on included"


def test_the_rows_of_a_seed_stay_the_same():
    # They are part of a study's identity: another choice would be another study.
    data = load_dataset({"name": "iris", "test": {"fraction": 0.04, "seed": 0}}, KEY, None)
    bits = np.random.PCG64(0).random_raw(150)
    assert data.held_out.tolist() == sorted(np.argsort(bits)[:6].tolist())
    assert data.held_out.tolist() == FIRST


FIRST = [3, 11, 20, 92, 111, 113]


def test_stratified_shares_are_those_of_the_classes(tmp_path, own):
    path = write(tmp_path, *own)
    for fraction, counts in ((0.2, [10, 6, 4]), (0.33, [16, 10, 7]), (0.01, [1, 0, 0])):
        test = {"fraction": fraction, "stratified": True}
        data = load_dataset({"path": path, "test": test}, KEY, tmp_path)
        assert sum(counts) == round(fraction * 100)
        found = np.bincount(data.y[data.held_out], minlength=3)
        assert found.sum() == sum(counts)
        assert (np.abs(found - fraction * np.array([50, 30, 20])) < 1).all()
        if fraction < 0.3:
            assert found.tolist() == counts


@pytest.mark.parametrize("scale", ["standardize", "unit"])
def test_scales_are_fitted_on_training_rows_alone(tmp_path, own, scale):
    x, y = own
    table = {"scale": scale, "test": {"fraction": 0.25, "seed": 2, "stratified": True}}
    data = load_dataset({**table, "path": write(tmp_path, x, y)}, KEY, tmp_path)
    mine = x[data.trained]
    shift, size = (
        (mine.mean(0), mine.std(0)) if scale == "standardize" else (mine.min(0), np.ptp(mine, 0))
    )
    np.testing.assert_allclose(data.x, (x - shift) / size, rtol=1e-12, atol=1e-13)
    wild = x.copy()
    wild[data.held_out] = 1e6 * (1 + wild[data.held_out])
    again = load_dataset({**table, "path": write(tmp_path, wild, y, "wild.csv")}, KEY, tmp_path)
    assert again.held_out.tolist() == data.held_out.tolist()
    assert again.x[data.trained].tobytes() == data.x[data.trained].tobytes()


def test_values_of_a_regression_are_scaled_by_training_rows(tmp_path, own):
    x, _ = own
    values = x @ [1.0, 2.0, -1.0] * 50
    table = {"task": "regression", "target_scale": "standardize", "test": {"fraction": 0.5}}
    data = load_dataset({**table, "path": write(tmp_path, x, values)}, KEY, tmp_path)
    mine = values[data.trained]
    np.testing.assert_allclose(data.y[:, 0], (values - mine.mean()) / mine.std(), rtol=1e-12)


def test_a_file_of_its_own_is_held_out(tmp_path, own):
    x, y = own
    write(tmp_path, x[:80], y[:80] if len(set(y[:80])) == 3 else np.roll(y, 20)[:80], "train.csv")
    write(tmp_path, x[80:], np.full(20, 9), "test.csv")
    table = {"path": "train.csv", "test": {"path": "test.csv"}}
    data = load_dataset(table, KEY, tmp_path)
    alone = load_dataset({"path": "train.csv"}, KEY, tmp_path)
    assert data.held_out.tolist() == list(range(80, 100))
    assert data.x[:80].tobytes() == alone.x.tobytes()
    assert set(data.y[80:]) == {2}, "the class 9 is the third one, as in training"
    np.testing.assert_allclose(data.x[80:], (x[80:] - x[:80].mean(0)) / x[:80].std(0), rtol=1e-12)
    constant = x.copy()
    constant[:80, 1] = 7.0
    write(tmp_path, constant[:80], np.roll(y, 20)[:80], "train.csv")
    assert (load_dataset(table, KEY, tmp_path).x[:, 1] == 0).all(), "constant in training"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test": {"fraction": 0.0}}, "problem.data.test: fraction = 0.0 is not accepted"),
        ({"test": {"fraction": 1.5}}, "between 0 and 1"),
        ({"test": {"fraction": "half"}}, "problem.data.test.fraction = 'half'"),
        ({"test": {}}, "problem.data.test.fraction is missing"),
        ({"test": {"fraction": 0.2, "shuffle": True}}, "test.shuffle is not a parameter"),
        ({"test": {"fraction": 0.004}}, "leaves no row for the test"),
        ({"test": {"fraction": 0.999}}, "leaves no row for training"),
        ({"test": {"fraction": 0.2, "seed": -1}}, "problem.data.test.seed = -1"),
        ({"test": {"path": "none.csv"}}, "there is no such file"),
        ({"test": {"path": "empty.csv"}}, "empty.csv has no rows"),
        ({"test": {"path": "other.csv"}}, "has other columns"),
        ({"test": {"path": "new.csv"}}, "no training row has the class 7"),
        ({"test": {"path": "named.csv"}}, "of another kind"),
        ({"test": {"path": "nan.csv"}}, "problem.data: nan.csv: x is nan in row 2, column 3"),
        ({"test": {"path": "unlabelled.csv"}}, "unlabelled.csv: y is nan in row 4"),
        ({"risk_over": "test"}, "risk_over = 'test' is not accepted without problem.data.test"),
        ({"test": {"fraction": 0.2}, "risk_over": "both"}, "problem.data.risk_over = 'both'"),
        ({"test": "some"}, "problem.data.test = 'some'"),
        (
            {"task": "regression", "test": {"fraction": 0.2, "stratified": True}},
            "whose labels are no classes",
        ),
    ],
)
def test_what_cannot_be_held_out_gets_one_sentence(tmp_path, own, changes, message):
    x, y = own
    table = {"path": write(tmp_path, x, y), **changes}
    write(tmp_path, x[:0], y[:0], "empty.csv")
    write(tmp_path, x[:, :2], y, "other.csv")
    write(tmp_path, x, np.full(100, 7), "new.csv")
    write(tmp_path, x, np.full(100, "a"), "named.csv")
    write(tmp_path, x, np.where(np.arange(100) == 3, np.nan, y), "unlabelled.csv")
    missing = x.copy()
    missing[1, 2] = np.nan
    write(tmp_path, missing, y, "nan.csv")
    with pytest.raises(InputError) as error:
        load_dataset(table, KEY, tmp_path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_other_refusals(tmp_path, own):
    x, y = own
    with pytest.raises(InputError, match="stratified = true is not accepted for diabetes"):
        load_dataset({"name": "diabetes", "test": {"fraction": 0.2, "stratified": True}}, KEY, None)
    with pytest.raises(InputError, match="not accepted beside a data set by name"):
        load_dataset({"name": "iris", "test": {"path": "a.csv"}}, KEY, None)
    order = np.argsort(np.random.PCG64(0).random_raw(100))
    for place, refused in ((order[0], True), (order[-1], False)):
        path = write(tmp_path, x, np.where(np.arange(100) == place, 11, y))
        table = {"path": path, "test": {"fraction": 0.5}}
        if refused:
            with pytest.raises(InputError, match="no training row has the class 11"):
                load_dataset(table, KEY, tmp_path)
        else:
            assert load_dataset(table, KEY, tmp_path).classes == 4


def test_a_stratified_share_leaves_a_row_of_every_class_for_training(tmp_path):
    y = np.array([0] * 50 + [1] * 3 + [2])
    path = write(tmp_path, np.random.default_rng(0).normal(size=(54, 2)), y)
    for fraction in (0.3, 0.5, 0.7, 0.9):
        test = {"fraction": fraction, "seed": 3, "stratified": True}
        data = load_dataset({"path": path, "test": test}, KEY, tmp_path)
        assert len(data.held_out) == round(54 * fraction)
        assert set(data.y[data.trained]) == {0, 1, 2}
    test = {"fraction": 0.97, "stratified": True}
    with pytest.raises(InputError, match="no training row has the class"):
        load_dataset({"path": path, "task": "classes", "test": test}, KEY, tmp_path)


def test_stated_classes_are_stratified_however_many_there_are(tmp_path):
    path = write(tmp_path, np.random.default_rng(0).normal(size=(240, 1)), np.arange(240) % 60)
    table = {"path": path, "test": {"fraction": 0.25, "stratified": True}}
    data = load_dataset({**table, "task": "classes"}, KEY, tmp_path)
    assert np.bincount(data.y[data.held_out]).tolist() == [1] * 60
    with pytest.raises(InputError, match="whose labels are no classes"):
        load_dataset(table, KEY, tmp_path)


def test_held_out_rows_that_trainings_see_are_said(tmp_path, own):
    x, y = own
    path = write(tmp_path, x, y)
    for count, said in ((30, True), (10, False)):
        other = np.concatenate([x[:count], 1 + x[count:40]])
        write(tmp_path, other, y[:40], "test.csv")
        data = load_dataset({"path": path, "test": {"path": "test.csv"}}, KEY, tmp_path)
        sentence = "30 of the 40 rows of test.csv are rows of own.csv, too: trainings see them"
        assert data.warnings == ((sentence,) if said else ())
