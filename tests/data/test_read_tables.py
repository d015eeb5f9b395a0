"""Tables from files: dialects, quotes, ragged rows, column names."""

import pytest
from by_hand import said, write
from hypothesis import given, settings
from hypothesis import strategies as st

from mllm_rec.data.problems import Problems
from mllm_rec.data.tables import read_table
from mllm_rec.errors import InputError


def rows(table):
    return table.frame.astype(object).where(table.frame.notna(), None).values.tolist()


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_delimiters(tmp_path, mark):
    path = write(tmp_path / "items.csv", mark.join(["sku", "name", "price"]), mark.join(["a", "Lamp", "3.5"]), mark.join(["b", "Mug", "2"]))
    table = read_table(path, Problems())
    assert table.columns == ["sku", "name", "price"] and table.name == "items.csv"
    assert rows(table) == [["a", "Lamp", "3.5"], ["b", "Mug", "2"]]
    assert list(table.frame.index) == [2, 3]


def test_the_delimiter_is_the_one_most_rows_agree_on(tmp_path):
    path = write(tmp_path / "items.csv", "sku;name;price", "a;Lamp, red, tall;3,50", "b;Mug, blue;2,00", "c;Vase;1,00")
    assert read_table(path, Problems()).columns == ["sku", "name", "price"]


def test_excel_says_its_delimiter(tmp_path):
    path = write(tmp_path / "items.csv", "sep=;", "sku;name", "a;Lamp")
    table = read_table(path, Problems())
    assert rows(table) == [["a", "Lamp"]] and list(table.frame.index) == [3]


def test_quotes_hold_delimiters_quotes_and_line_breaks(tmp_path):
    path = write(tmp_path / "items.csv", "sku,name", 'a,"Lamp, ""red"""', 'b,"two', 'lines"', "c,Mug")
    problems = Problems()
    table = read_table(path, problems)
    assert rows(table) == [["a", 'Lamp, "red"'], ["b", "two\nlines"], ["c", "Mug"]]
    assert list(table.frame.index) == [2, 3, 4] and not len(problems)


def test_a_quote_that_does_not_close_is_a_character(tmp_path):
    path = write(tmp_path / "items.csv", "sku,name", 'a,"5 inch pipe', "b,Mug", 'c,12" pipe')
    problems = Problems()
    assert rows(read_table(path, problems)) == [["a", '"5 inch pipe'], ["b", "Mug"], ["c", '12" pipe']]
    assert said(problems) == [(2, None, "unclosed quote", "mended")]


def test_a_quote_that_stays_open_swallows_no_rows(tmp_path):
    """It would close 2,000 rows later, before a comma, as if all of them were one cell."""
    lines = ["sku,name,price", 'a,"5 inch pipe,1', *["b,Mug,2"] * 2000, 'c,7",3', "d,Rug,4"]
    problems = Problems()
    table = read_table(write(tmp_path / "items.csv", *lines), problems)
    assert len(table.frame) == 2003 and table.frame["name"].iloc[[0, -2]].tolist() == ['"5 inch pipe', '7"']
    assert said(problems) == [(2, None, "unclosed quote", "mended")]


def test_a_file_that_does_not_quote(tmp_path):
    problems = Problems()
    table = read_table(write(tmp_path / "items.csv", "sku,name", *['a,"5 inch pipe'] * 300), problems)
    assert rows(table) == [["a", '"5 inch pipe']] * 300
    assert said(problems) == [(None, None, "plain quotes", "mended")]
    with pytest.raises(InputError, match=r"line 203: more than 200 quotes are opened and not closed; write a quote inside a cell twice"):
        read_table(write(tmp_path / "items.csv", "sku,name", "a", *['a,"5 inch pipe'] * 300), Problems())


def test_too_many_columns(tmp_path):
    with pytest.raises(InputError, match=r"has 3000 columns; wanted at most 2000: a matrix of numbers belongs into a \.npy file"):
        read_table(write(tmp_path / "items.csv", ",".join(f"c{number}" for number in range(3000))), Problems())


def test_ragged_rows(tmp_path):
    path = write(tmp_path / "items.csv", "sku,name,price", "a,Lamp", "b,Mug,2,blue", "c,Vase,3", "d,Bowl,4,,", "", "e,Rug,5")
    problems = Problems()
    table = read_table(path, problems)
    assert rows(table) == [["a", "Lamp", None], ["c", "Vase", "3"], ["d", "Bowl", "4"], ["e", "Rug", "5"]]
    assert list(table.frame.index) == [2, 4, 5, 7]
    assert said(problems) == [(2, None, "row too short", "mended"), (3, None, "row too long", "refused")]


def test_most_rows_too_long_is_a_wrong_header(tmp_path):
    path = write(tmp_path / "items.csv", "sku,name", "a,b,c", "d,e,f", "g,h,i")
    with pytest.raises(InputError, match=r"most rows have more cells than the header's 2; the first is row 2 with 3"):
        read_table(path, Problems())


def test_blanks_around_cells_and_empty_rows_go(tmp_path):
    path = write(tmp_path / "items.csv", " sku , name ", "  a ,\u00a0Lamp\t", " , ", "b,")
    table = read_table(path, Problems())
    assert table.columns == ["sku", "name"] and rows(table) == [["a", "Lamp"], ["b", None]]
    assert list(table.frame.index) == [2, 4]


def test_column_names_are_unique_and_on_one_line(tmp_path):
    path = write(tmp_path / "items.csv", 'sku,name,name,"two', 'lines",,empty', "a,b,c,d,e,f")
    problems = Problems()
    assert read_table(path, problems).columns == ["sku", "name", "name.2", "two lines", "column 5", "empty"]
    assert said(problems) == [(1, "name", "repeated column", "mended")]


def test_a_nameless_column_without_cells_is_left_out(tmp_path):
    assert read_table(write(tmp_path / "items.csv", "sku,name,", "a,Lamp,", "b,Mug,"), Problems()).columns == ["sku", "name"]


def test_control_characters_are_removed(tmp_path):
    path = write(tmp_path / "items.csv", "sku,name", "a,La\x1b[31mmp", "b,M\x00ug")
    problems = Problems()
    assert rows(read_table(path, problems)) == [["a", "La[31mmp"], ["b", "Mug"]]
    assert said(problems) == [(2, "name", "control character", "mended"), (3, "name", "control character", "mended")]


def test_a_first_row_of_numbers_is_no_header(tmp_path):
    with pytest.raises(InputError, match="looks like data; the first row must name the columns"):
        read_table(write(tmp_path / "log.csv", "196,242,3", "186,302,3"), Problems())


def test_one_column(tmp_path):
    assert rows(read_table(write(tmp_path / "items.csv", "sku", "a", "b"), Problems())) == [["a"], ["b"]]


PIECES = [
    *(b'," ; \t | \n \r \r\n " \'' + b" a 1 2.5 \\ sep= sep=; PAR1 PK\x03\x04").split(b" "),
    *(b"\xff", b"\x00", b"\x1b", b"\xc3\xa9", b"\xe9", b"\xff\xfe", b"\xef\xbb\xbf", b"\x1f\x8b", b"\xe2\x80\xa8", b"item_id", b"\n"),
]


@settings(max_examples=150, deadline=None)
@given(content=st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=30).map(b"".join))
def test_whatever_the_bytes_a_table_or_an_input_error_comes(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    problems = Problems()
    try:
        table = read_table(path, problems)
    except InputError as error:
        assert str(path) in str(error)
        return
    assert table.frame.columns.is_unique and table.frame.index.is_unique and len(table.columns)
    assert all(line["file"] == str(path) and line["why"] for line in problems)


CELLS = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), max_size=8)


@settings(max_examples=60, deadline=None)
@given(cells=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=6), quoted=st.booleans())
def test_what_is_written_is_read(tmp_path_factory, cells, quoted):
    """Any cells, quoted as CSV wants it, come back without the blanks around them."""
    path = tmp_path_factory.getbasetemp() / "own.csv"
    write_all = quoted or any(mark in cell for row in cells for cell in row for mark in '",;|')
    lines = [",".join('"' + cell.replace('"', '""') + '"' if write_all else cell for cell in row) for row in [("sku", "name"), *cells]]
    table = read_table(write(path, *lines), Problems(), delimiter=",")
    wanted = [[cell.strip() or None for cell in row] for row in cells]
    assert rows(table) == [row for row in wanted if any(row)]
