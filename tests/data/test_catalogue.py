"""Variables and catalogues: what they hold, encode and refuse."""

import numpy as np
import pytest

from wwdc.data.catalogue import Catalogue, Variable
from wwdc.errors import DataError

KNOWN = Catalogue(
    (
        Variable("flux", "continuous", 1, "Jy", (0.0, 10.0)),
        Variable("phase", "circular", 2, "deg", (0.0, 360.0)),
        Variable("kind", "categorical", 3),
        Variable("barred", "flag"),
    )
)
TABLE = {
    "flux": np.array([1.5, 0.0]),
    "phase": np.array([90.0, 360.0]),
    "kind": np.array([2, 0]),
    "barred": np.array([True, False]),
}


def test_encode_puts_every_kind_into_its_columns():
    matrix = KNOWN.encode(TABLE)
    expected = [[1.5, 0, 1, 0, 0, 1, 1], [0, 1, 0, 1, 0, 0, 0]]
    assert matrix.dtype == np.float32
    np.testing.assert_allclose(matrix, expected, atol=1e-6)
    assert KNOWN.width == matrix.shape[1] == 7
    assert KNOWN.columns["kind"] == slice(3, 6)


def test_keep_follows_the_catalogue_not_the_order_asked_for():
    assert KNOWN.keep(["barred", "phase"]) == KNOWN.keep(["phase", "barred", "phase"])
    assert KNOWN.keep(["barred", "phase"]).names == ("flux", "kind")
    assert KNOWN.keep([]) == KNOWN


def test_dropping_everything_leaves_a_context_of_no_columns():
    assert KNOWN.keep(KNOWN.names).encode(TABLE).shape == (2, 0)


def test_slices_are_catalogues():
    assert KNOWN[1].name == "phase"
    assert KNOWN[1:3].names == ("phase", "kind")


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        (["fluks"], r"no variable 'fluks'\. Did you mean 'flux'\? Its variables are flux, phase"),
        ("flux", r"expected a list of variable names, got 'flux': write \[flux\]"),
        ([3], "no variable 3"),
    ],
)
def test_unknown_variables_are_refused(drop, message):
    with pytest.raises(DataError, match=message):
        KNOWN.keep(drop)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("flux", [1.0, np.nan], "'flux': nan in row 1 is not a continuous value in .0, 10. Jy"),
        ("flux", [-1.0, 2.0], "'flux': -1.0 in row 0"),
        ("flux", [1.0], "'flux' has 1 rows"),
        ("phase", [0.0, np.inf], "'phase': inf in row 1"),
        ("kind", [3, 0], "'kind': 3 in row 0 is not a categorical value in .0, 2."),
        ("kind", [0.5, 0], "'kind': 0.5 in row 0"),
        ("barred", [0, 2], "'barred': 2 in row 1"),
        ("flux", ["bright", "dim"], "'flux': expected one number a row"),
    ],
)
def test_impossible_values_are_refused(column, values, message):
    columns = {**TABLE, column: np.array(values)}
    order = {"kind": columns["kind"], **columns}  # the rows are counted on another column
    order = {k: v for k, v in order.items() if k != column} | {column: order[column]}
    with pytest.raises(DataError, match=message):
        KNOWN.encode(order)


def test_a_missing_column_is_named():
    with pytest.raises(DataError, match="no column phase, kind, barred"):
        KNOWN.encode({"flux": TABLE["flux"]})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("x", "ordinal"), "kind 'ordinal' is none of continuous, circular"),
        (("x", "circular", 1, None, (0.0, 1.0)), "has width 2, not 1"),
        (("x", "circular", 2), "needs its period"),
        (("x", "categorical", 0), "has width 1, not 0"),
        (("x", "continuous", 1, None, (1.0, 1.0)), "is empty"),
    ],
)
def test_impossible_variables_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        Variable(*arguments)


def test_two_variables_of_one_name_are_refused():
    with pytest.raises(DataError, match="several variables x"):
        Catalogue((Variable("x", "flag"), Variable("x", "continuous")))


@pytest.mark.parametrize(
    ("variable", "columns"),
    [
        (Variable("x", "continuous", 2, fill=3.0), [[1.0, 0.0], [3.0, 1.0]]),
        (Variable("x", "flag", 2, fill=0.0), [[1.0, 0.0], [0.0, 1.0]]),
        (Variable("x", "categorical", 4, fill=0.0), [[0, 1, 0, 0], [0, 0, 0, 1]]),
        (Variable("x", "circular", 3, range=(0, 4), fill=0.0), [[0, 1, 0], [0, 0, 1]]),
    ],
)
def test_what_is_missing_is_told_by_a_last_column(variable, columns):
    encoded = variable.encode(np.array([1.0, np.nan]))
    np.testing.assert_allclose(encoded, columns, atol=1e-7)
    assert variable.certain.width == variable.width - 1 == variable.levels
    with pytest.raises(DataError, match="nan in row 1"):
        variable.certain.encode(np.array([1.0, np.nan]))


def test_a_logarithm_is_encoded():
    variable = Variable("mass", "continuous", scaling="log")
    np.testing.assert_allclose(variable.encode(np.array([0.1, 1000.0]))[:, 0], [-1, 3])
    with pytest.raises(DataError, match=r"0\.0 in row 0 is not a continuous value"):
        variable.encode(np.array([0.0]))


def test_metadata_bring_all_of_it_back():
    variable = Variable(
        "kind", "categorical", 3, fill=0.0, classes=("round", "spiral"), description="shape"
    )
    metadata = {k.encode(): v.encode() for k, v in variable.metadata().items()}
    assert Variable.from_metadata("kind", metadata) == variable
    assert set(Variable("b", "continuous").metadata()) == {"kind", "width", "description"}
