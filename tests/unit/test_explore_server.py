"""The server of the page: what it answers, and what it refuses."""

import http.client
import io
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

pytest.importorskip("PIL")
from explore_pages import EVALUATION, N_LONELY, N_PAIRS, encoders, picture, running, small_retriever
from PIL import Image

from pyhash._html import picture_type
from pyhash.codes import unpack
from pyhash.explore import class_map, serve
from pyhash.explore.classes import classes_of
from pyhash.explore.collection import Collection
from pyhash.explore.pictures import QueryPictures
from pyhash.retriever import Retriever

RED = picture((200, 30, 30))


@pytest.fixture(scope="module")
def retriever():
    return small_retriever()


@pytest.fixture(scope="module")
def server(retriever):
    with running(retriever, read_seconds=5.0) as server:
        yield server


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def json(self):
        return json.loads(self.body)


def ask(server, method="GET", path="/", body=None, **headers):
    """Send a request as the page does; a header that is given takes the place of the usual one, None leaves it out."""
    own = f"127.0.0.1:{server.server_port}"
    usual = {"Host": own}
    if method == "POST":
        usual |= {
            "Origin": f"http://{own}",
            "Content-Type": "application/json",
            "Content-Length": str(len(body or b"")),
        }
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in {**usual, **given}.items():
        for each in value if isinstance(value, list) else [value]:
            if each is not None:
                connection.putheader(name, each)
    connection.endheaders(body)
    answer = Answer(connection.getresponse())
    connection.close()
    return answer


def search(server, **request):
    return ask(server, "POST", "/api/search", json.dumps(request).encode())


def send_picture(server, data, kind="image/png"):
    return ask(server, "POST", "/api/pictures", data, Content_Type=kind)


# --- files and headers ---


def test_the_page_is_served_with_headers_that_bind_it_to_itself(server):
    for path, kind in [("/", "text/html"), ("/main.js", "text/javascript"), ("/style.css", "text/css")]:
        answer = ask(server, path=path)
        assert answer.status == 200
        assert answer.headers["Content-Type"] == f"{kind}; charset=utf-8"
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Python" not in answer.headers["Server"]


def test_no_file_of_the_page_names_another_address(server):
    from pyhash.explore.static_files import static_files

    for path, reply in static_files().items():
        # The names of the SVG and XHTML languages are no addresses that are asked.
        text = reply.body.decode().replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text, path
        assert "https://" not in text, path
        # Text of the payload stays text.
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b", text), path


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml", "/static/main.js", "/%2e%2e/server.py", "/main.js/../../server.py", "//etc/passwd",
        "/api", "/api/", "/api/items/1/pictures/", "/api/items/x/pictures/image", "/favicon.ico", "/index.html/",
    ],
)  # fmt: skip
def test_nothing_else_is_served(server, path):
    answer = ask(server, path=path)
    assert answer.status == 404
    assert answer.json == {"error": "nothing is at this address"}
    assert answer.headers["Content-Type"].startswith("application/json")


def test_head_answers_without_a_body(server):
    answer = ask(server, "HEAD", "/main.js")
    assert answer.status == 200
    assert answer.body == b""
    assert int(answer.headers["Content-Length"]) > 100


@pytest.mark.parametrize(("method", "path", "allowed"), [("POST", "/", "GET"), ("GET", "/api/search", "POST")])
def test_a_method_that_an_address_does_not_take(server, method, path, allowed):
    answer = ask(server, method, path)
    assert answer.status == 405
    assert answer.headers["Allow"] == allowed


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "TRACE", "get"])
def test_unknown_methods_are_refused_as_json(server, method):
    answer = ask(server, method)
    assert answer.status == 501
    assert "Unsupported method" in answer.json["error"]


# --- who asks ---


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.nip.io:{port}", "10.0.0.1:{port}",
        "user@127.0.0.1:{port}", "", None, ["127.0.0.1:{port}", "127.0.0.1:{port}"], "localhost:{port}.evil.example",
    ],
)  # fmt: skip
def test_a_name_of_another_site_is_refused(server, host):
    given = [each and each.format(port=server.server_port) for each in (host if isinstance(host, list) else [host])]
    for path in ("/", "/api/about"):
        answer = ask(server, path=path, Host=given)
        assert answer.status == 421
        assert "address of this server" in answer.json["error"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "127.0.0.2", "[::1]"])
def test_names_of_this_machine_are_taken(server, host):
    assert ask(server, Host=f"{host}:{server.server_port}").status == 200


def test_a_server_for_other_machines_takes_their_addresses_and_no_names(retriever):
    with running(retriever, host="0.0.0.0") as server:
        assert ask(server, Host=f"192.0.2.7:{server.server_port}").status == 200
        assert ask(server, Host=f"evil.example:{server.server_port}").status == 421


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://localhost:{port}", None]
)
def test_a_post_of_another_page_is_refused(server, origin):
    answer = ask(server, "POST", "/api/search", b"{}", Origin=origin and origin.format(port=server.server_port))
    assert answer.status == 403
    assert "Origin must be" in answer.json["error"]


@pytest.mark.parametrize(
    ("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)]
)
def test_data_is_for_the_page_alone(server, site, status):
    assert ask(server, path="/api/about", Sec_Fetch_Site=site).status == status
    assert ask(server, path="/", Sec_Fetch_Site=site).status == 200  # a link to the page


# --- bodies ---


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "image/png", None, "json"])
def test_a_search_of_another_type_is_refused(server, kind):
    answer = ask(server, "POST", "/api/search", b"{}", Content_Type=kind)
    assert answer.status == 415
    assert "application/json" in answer.json["error"]


@pytest.mark.parametrize("length", [None, "-1", "two", "1e3", ["2", "2"], "9" * 30])
def test_a_body_without_a_length_is_refused(server, length):
    assert ask(server, "POST", "/api/search", b"{}", Content_Length=length).status == 411
    assert ask(server, "POST", "/api/search", b"{}", Transfer_Encoding="chunked").status == 411


def test_a_body_that_is_too_large_is_refused_and_the_answer_arrives(server):
    assert ask(server, "POST", "/api/search", b" " * (1 << 16) + b"{}").status == 413
    answer = send_picture(server, bytes((1 << 24) + 1))
    assert answer.status == 413
    assert "16,777,216" in answer.json["error"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "must be JSON"),
        (b"{", "must be JSON"),
        (b"\xff", "must be JSON"),
        (b"[" * 60_000, "must be JSON"),
        (b'{"k": NaN}', "NaN is not a JSON value"),
        (b'{"k": ' + b"9" * 5000 + b"}", "must be JSON"),
        (b"[]", "must be a JSON object, got list"),
        (b'{"K": 3}', "must have the keys k, like, pictures, weighted, where, words alone, got 'K'"),
        (b'{"k": 0}', "k must be an integer from 1 to 100"),
        (b'{"k": 101}', "k must be an integer from 1 to 100"),
        (b'{"k": true}', "k must be an integer from 1 to 100"),
        (b'{"weighted": 1}', "weighted must be true or false"),
        (b'{"words": ["red"]}', "words must map modalities to strings"),
        (b'{"words": {"text": 3}}', "words must map modalities to strings"),
        (b'{"words": {"text": "' + b"a" * 2001 + b'"}}', "at most 2,000 characters"),
        (b'{"where": {"colour": null}}', "where must map columns to strings, numbers or booleans"),
        (b'{"like": 10}', "like must be the id of an item, as a string"),
        (b'{"like": "10", "words": {"text": "red"}}', "like must be alone"),
        (b'{"words": {"text": "a"}, "pictures": {"text": "a"}}', "both name 'text'"),
        (b'{"words": {"sound": "a"}}', "'sound' is no modality that takes words"),
        (b'{"words": {"image": "/etc/passwd"}}', "'image' is no modality that takes words"),
        (b'{"pictures": {"text": "a"}}', "'text' is no modality that takes picture"),
    ],
)
def test_a_search_that_is_malformed(server, body, said):
    answer = ask(server, "POST", "/api/search", body)
    assert answer.status == 400
    assert said in answer.json["error"]


@pytest.mark.parametrize(
    ("request_", "status", "said"),
    [
        ({"words": {"text": "zebra"}}, 422, "no word of 'zebra' is among those that the model knows"),
        ({"like": "9999"}, 404, "there is no item 9999"),
        ({"like": "9999999999999999999"}, 404, "there is no item"),
        ({"where": {"number": 3}}, 404, "'number' is no column with few different values"),
        ({"pictures": {"image": "0" * 32}}, 404, "no longer has this picture"),
    ],
)
def test_a_search_that_cannot_be_answered(server, request_, status, said):
    answer = search(server, **request_)
    assert answer.status == status
    assert said in answer.json["error"]


# --- pictures ---


def test_pictures_of_the_payload_are_served_if_they_are_pictures(server):
    answer = ask(server, path="/api/items/10/pictures/image")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "image/png"
    assert Image.open(io.BytesIO(answer.body)).size == (12, 10)
    for path in (
        "10/pictures/drawing",
        "10/pictures/text",
        "10/pictures/none",
        "9/pictures/image",
        "9" * 19 + "/pictures/image",
    ):
        assert ask(server, path=f"/api/items/{path}").status == 404, path  # SVG is never served
    assert ask(server, path="/api/items/10/pictures/%ff").status == 400


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_a_picture_that_was_sent_is_a_query_and_is_shown(server, kind):
    data = picture((30, 160, 60), kind)
    sent = send_picture(server, data, f"image/{kind.lower()}")
    assert sent.status == 200
    shown = ask(server, path=f"/api/pictures/{sent.json['picture']}")
    assert (shown.body, shown.headers["Content-Type"]) == (data, f"image/{kind.lower()}")
    answers = search(server, pictures={"image": sent.json["picture"]}, k=2).json["answers"]
    assert {answer["payload"]["colour"] for answer in answers} == {"green"}


def test_what_is_no_picture_is_refused(server):
    bomb = io.BytesIO()
    Image.new("1", (9000, 8000)).save(bomb, "PNG")  # of some kilobytes, and 72 million pixels
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
    for data in (b"", b"GIF89a", svg, RED[:40], picture((1, 2, 3), "BMP"), bomb.getvalue()):
        answer = send_picture(server, data)
        assert answer.status == 422, data[:10]
        assert "picture" in answer.json["error"]
    assert send_picture(server, svg, "image/svg+xml").status == 415


def test_types_of_pictures_by_their_first_bytes():
    assert picture_type(b"RIFF1234WEBPVP8 ") == "image/webp"
    assert picture_type(b"RIFF1234WAVE") is None
    assert picture_type(b"<svg/>") is None
    assert picture_type(b"") is None


def test_old_pictures_of_queries_are_dropped():
    kept = QueryPictures(n_bytes=10)
    first, second = kept.keep(b"12345"), kept.keep(b"abcde")
    assert kept.get(first) == b"12345"
    third = kept.keep(b"x" * 20)  # larger than all together may be
    assert (kept.get(first), kept.get(second)) == (None, None)
    assert kept.get(third) == b"x" * 20


# --- answers ---


def test_about_tells_what_the_form_needs(server):
    about = ask(server, path="/api/about").json
    assert (about["name"], about["n_items"], about["n_bits"]) == ("shelf", N_PAIRS + 2 * N_LONELY, 32)
    assert about["method"] == "BOCH"
    assert about["modalities"] == [{"name": "text", "takes": "words"}, {"name": "image", "takes": "picture"}]
    filters = {each["column"]: each["values"] for each in about["filters"]}
    assert {"colour", "shelf", "tags"} <= set(filters)  # a column of lists too
    assert not {"number", "price", "image"} & set(filters)
    assert filters["colour"][0] == {"value": "blue", "count": 14}


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("queries", [{"text": "a red thing"}, {"image": RED}, {"text": "a blue thing", "image": RED}])
def test_answers_are_those_of_the_retriever_for_each_set_of_modalities(server, retriever, queries, weighted):
    request = {"weighted": weighted, "k": 5}
    if "text" in queries:
        request["words"] = {"text": queries["text"]}
    if "image" in queries:
        request["pictures"] = {"image": send_picture(server, queries["image"]).json["picture"]}
    answers = search(server, **request).json["answers"]
    found = retriever.search(**queries, k=len(retriever), weighted=weighted)
    for modalities in (("text", "image"), ("text",), ("image",)):
        own = [each for each in found if each.modalities == modalities][:5]
        shown = [each for each in answers if tuple(each["modalities"]) == modalities]
        assert [(each["id"], each["distance"]) for each in shown] == [(str(each.id), each.distance) for each in own]
        assert [each["rank"] for each in shown] == [1, 2, 3, 4, 5]


def test_bits_and_weights_add_up_to_the_distance(server):
    for weighted in (True, False):
        answer = search(server, words={"text": "a red thing"}, weighted=weighted).json
        weights = np.array(answer["query"]["weights"])
        assert weights.shape == (32,)
        assert np.all((weights == 1) if not weighted else (weights <= 1))
        for each in answer["answers"]:
            differs = np.array(list(each["bits"])) != np.array(list(answer["query"]["bits"]))
            assert weights[differs].sum() == pytest.approx(each["distance"], abs=1e-5)


def test_more_like_this_leaves_the_item_out(server, retriever):
    answer = search(server, like="12", k=100).json
    code = unpack(retriever.index.reconstruct([12]), n_bits=32)[0]
    assert answer["query"]["bits"] == "".join("1" if sign > 0 else "0" for sign in code)
    assert "12" not in {each["id"] for each in answer["answers"]}
    assert len(answer["answers"]) == len(retriever) - 1
    first = [each for each in answer["answers"] if each["rank"] == 1 and len(each["modalities"]) == 2]
    assert int(first[0]["id"]) == retriever.search(like=12, k=1)[0].id


def test_a_filter_restricts_all_answers(server):
    for where in ({"colour": "red"}, {"colour": "red", "shelf": 0}, {"tags": "warm"}, {"shelf": 1}):
        answers = search(server, words={"text": "a blue thing"}, where=where, k=100).json["answers"]
        assert answers or where == {"colour": "red", "shelf": 1}
        for each in answers:
            for column, value in where.items():
                own = each["payload"][column]
                assert value in own if isinstance(own, list) else own == value
    assert search(server, words={"text": "red"}, where={"colour": "black"}).json["answers"] == []
    assert search(server, words={"text": "red"}, where={"shelf": True}).json["answers"] == []  # True is not 1


def test_items_to_start_from_and_their_payload(server):
    answer = search(server, k=7).json
    assert answer["query"] is None
    assert len({each["id"] for each in answer["answers"]}) == 7
    first, last = answer["answers"][0], answer["answers"][-1]
    assert first["id"] == "10"
    assert first["pictures"] == ["image"]
    assert first["payload"]["price"] is None  # JSON has no NaN
    assert first["payload"]["tags"] == ["warm", "small"]
    assert "drawing" not in first["payload"]
    assert last["modalities"] == ["image"]
    assert last["payload"]["text"] is None


def test_long_values_are_cut(retriever):
    from pyhash.explore.collection import _plain

    assert len(_plain("a" * 5000)) == 1001
    assert len(_plain(list(range(500)))) == 50
    assert _plain(float("inf")) is None
    assert _plain([2**53, 2**53 + 1]) == [2**53, str(2**53 + 1)]
    assert Collection(retriever, "x").about()["name"] == "x"


def test_the_map_of_classes(server, retriever):
    found = ask(server, path="/api/map/colour").json
    assert [each["value"] for each in found["classes"]] == ["blue", "green", "red", "yellow"]
    assert sum(each["count"] for each in found["classes"]) == len(retriever)
    assert 0 < found["shares"][1] <= found["shares"][0] <= 1
    assert len({(each["x"], each["y"]) for each in found["classes"]}) == 4
    assert ask(server, path="/api/map/number").status == 404


def test_the_principal_plane_of_points_in_a_plane():
    points = np.array([[3.0, 0, 0, 1], [-3, 0, 0, 1], [0, 1, 0, 1], [0, -1, 0, 1]])
    plane, shares = class_map.principal_plane(points)
    np.testing.assert_allclose(plane, [[3, 0], [-3, 0], [0, 1], [0, -1]], atol=1e-12)
    np.testing.assert_allclose(shares, [0.9, 0.1])
    plane, shares = class_map.principal_plane(np.ones((3, 1)))  # one bit, all the same
    assert (plane == 0).all()
    assert shares == [0, 0]


def test_which_columns_are_classes():
    pa = pytest.importorskip("pyarrow")

    def of(values, kind=None):
        return classes_of("c", pa.chunked_array([pa.array(values[:3], kind), pa.array(values[3:], kind)]))

    found = of(["b", "a", None, "b", "a", "b"])
    assert found.values == ["a", "b"]
    assert [rows.tolist() for rows in found.rows] == [[1, 4], [0, 3, 5]]
    assert of([[1, 1], [2], None, [], [2, 1], [2]]).rows[0].tolist() == [0, 4]
    assert of([True, False, True, True, False, False]).values == [False, True]
    assert of([2**60, 1] * 3) is None
    lists = pa.ListArray.from_arrays(
        pa.array([0, 2, 4, 6]), pa.array([1, 1, 9, 9, 2, 2]), mask=pa.array([False, True, False])
    )
    assert [rows.tolist() for rows in classes_of("c", pa.chunked_array([lists, lists])).rows] == [[0, 3], [2, 5]]
    assert of(["a"] * 6) is None
    assert of(list("abcdef")) is None
    assert of([0.5, 0.5, 1.0, 1.0, 1.0, 1.0]) is None
    assert of([None] * 6) is None
    assert of(["a" * 101, "b"] * 3) is None
    assert of([f"{i % 201}" for i in range(402)]) is None


def test_items_without_payload_and_a_retriever_without_items():
    texts = ["a red thing", "a blue thing"] * 5
    bare = Retriever({"text": "bag-of-words"}, n_bits=8).learn({"text": texts}, ["red", "blue"] * 5)
    with running(bare) as server:
        assert ask(server, path="/api/about").json["n_items"] == 0
        assert search(server).json == {"query": None, "answers": []}
        assert search(server, words={"text": "red"}).json["answers"] == []
    bare.add({"text": texts})
    with running(bare) as server:
        assert ask(server, path="/api/about").json["filters"] == []
        answers = search(server, words={"text": "red"}, k=3).json["answers"]
        assert [(each["id"], each["payload"], each["pictures"]) for each in answers] == [(i, {}, []) for i in "024"]
        assert ask(server, path="/api/items/0/pictures/image").status == 404


def test_the_evaluation_of_the_folder(tmp_path, server):
    assert ask(server, path="/api/evaluation").json is None
    retriever = small_retriever()
    retriever.save(tmp_path / "shelf")
    retriever.write_evaluation(EVALUATION)
    with running(retriever) as of_folder:
        assert ask(of_folder, path="/api/evaluation").json == EVALUATION
    retriever.close()


# --- time, threads, errors ---


def test_searches_run_side_by_side(server):
    expected = search(server, words={"text": "a red thing"}).json
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: search(server, words={"text": "a red thing"}).json, range(40)))
    assert all(answer == expected for answer in answers)


def test_half_and_slow_requests_end_and_block_nobody(retriever):
    with running(retriever, read_seconds=0.6) as server:
        own = f"Host: 127.0.0.1:{server.server_port}\r\nOrigin: http://127.0.0.1:{server.server_port}\r\n"
        head = f"POST /api/search HTTP/1.1\r\n{own}Content-Type: application/json\r\nContent-Length: 99\r\n\r\n"
        slow = [socket.create_connection(("127.0.0.1", server.server_port), timeout=10) for _ in range(30)]
        start = time.monotonic()
        for i, connection in enumerate(slow):
            connection.sendall([b"", b"GET / HT", head.encode()][i % 3])
        assert ask(server).status == 200
        assert time.monotonic() - start < 0.6
        for _ in range(4):  # a byte now and then does not extend the time
            time.sleep(0.1)
            for connection in slow[2::3]:
                connection.sendall(b" ")
        ends = [b"".join(iter(lambda c=connection: c.recv(4096), b"")) for connection in slow]
        assert time.monotonic() - start < 5
        assert all(end == b"" for i, end in enumerate(ends) if i % 3 < 2)
        assert all(end.startswith(b"HTTP/1.0 408 ") for end in ends[2::3])
        for connection in slow:
            connection.close()


def test_too_many_connections_are_closed_and_others_follow(retriever, monkeypatch):
    monkeypatch.setattr("pyhash.explore.server._MAX_CONNECTIONS", 4)
    with running(retriever, read_seconds=1.0) as server:
        held = [socket.create_connection(("127.0.0.1", server.server_port), timeout=10) for _ in range(9)]
        closed = 0
        for connection in held[4:]:
            closed += connection.recv(1) == b""
            connection.close()
        assert closed == 5
        for connection in held[:4]:
            connection.close()
        end = time.monotonic() + 5
        while time.monotonic() < end:
            try:
                assert ask(server).status == 200
                break
            except (http.client.RemoteDisconnected, ConnectionError):
                time.sleep(0.05)
        else:
            pytest.fail("the server does not answer any more")


def test_unexpected_errors_are_told_without_their_inside(server, retriever, monkeypatch, capfd):
    def fail(*_):
        raise RuntimeError("a secret")

    monkeypatch.setattr(type(retriever), "project", fail)
    answer = search(server, words={"text": "a red thing"})
    assert answer.status == 500
    assert "secret" not in answer.body.decode()
    assert "RuntimeError: a secret" in capfd.readouterr().err
    monkeypatch.undo()
    assert search(server, words={"text": "a red thing"}).status == 200


def test_a_port_that_is_taken(retriever, server):
    for port in (server.server_port, 70_000):
        said = rf"port {port} of 127\.0\.0\.1 cannot be used: .*; port 0 takes a free one"
        with pytest.raises(OSError, match=said), running(retriever, port=port):
            pass


def test_warming_up_asks_for_each_modality_and_leaves_errors_to_queries(retriever, monkeypatch):
    asked = []

    def project(_, items):
        asked.extend(items)
        raise ValueError("cannot be made")

    collection = Collection(retriever, "shelf")
    collection.warm_up()
    monkeypatch.setattr(type(retriever), "project", project)
    collection.warm_up()
    assert asked == ["text", "image"]


# --- serve ---


@pytest.fixture(scope="module")
def folder(retriever, tmp_path_factory):
    path = tmp_path_factory.mktemp("explore") / "shelf"
    with small_retriever() as own:
        own.save(path)
    return path


_SERVE = """
import sys, webbrowser
from pyhash import explore
webbrowser.open = lambda url: print("opened", url, flush=True)
try:
    explore.serve(sys.argv[1], open_browser=sys.argv[2] == "1")
except KeyboardInterrupt:
    print("interrupted")
"""


@contextmanager
def process(folder, open_browser):
    command = [sys.executable, "-c", _SERVE, str(folder), str(int(open_browser))]
    # Of tests in the background, the shell ignores Ctrl-C, which children inherit.
    heeding = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **heeding) as started:
        try:
            yield started
        finally:
            started.kill()


@pytest.mark.parametrize("open_browser", [True, False])
def test_serve_prints_the_address_and_ends_at_ctrl_c(folder, open_browser):
    with process(folder, open_browser) as started:
        line = started.stderr.readline()
        url = line.split()[0]
        assert line == f"{url} shows {folder}; Ctrl-C ends\n"
        port = int(url.rstrip("/").rpartition(":")[2])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/api/about")
        assert json.load(connection.getresponse())["name"] == "shelf"
        connection.close()
        started.send_signal(signal.SIGINT)
        out, err = started.communicate(timeout=10)
    assert out == (f"opened {url}\n" if open_browser else "") + "interrupted\n"
    assert err == ""


def test_serve_needs_a_folder(tmp_path):
    with pytest.raises((OSError, ValueError)):
        serve(tmp_path / "none", open_browser=False)


def test_a_folder_is_open_while_it_is_written(folder):
    with (
        Retriever.open(folder, encoders={"image": encoders()["image"]}) as writer,
        Retriever.open(folder, read_only=True) as reader,
        running(reader) as server,
    ):
        assert ask(server, path="/api/about").json["n_items"] == len(writer)


def test_threads_end_with_the_server(retriever):
    before = threading.active_count()
    with running(retriever) as server:
        assert ask(server).status == 200
    assert threading.active_count() <= before + 1
