"""``dralign data``: list, fetch and verify, with a server on this machine."""

import dataclasses
import http.server
import json
import re
import threading

import pytest

import compas_table
from dralign.cli import main
from dralign.data import catalogue, compas, local

MADE_UP = compas_table.content(40)


class Answer(http.server.BaseHTTPRequestHandler):
    """Sends the bytes of the server, or an error where there are none."""

    def do_GET(self):
        body = self.server.body
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Says nothing."""


class Dribble(Answer):
    """Sends a byte at a time."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        while not self.server.over.wait(0.05):
            try:
                self.wfile.write(b"a")
            except OSError:
                return


@pytest.fixture
def server(monkeypatch):
    """A server for the made-up file, known to dralign as the published one."""
    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as running:
        running.body = MADE_UP
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        know(monkeypatch, f"http://127.0.0.1:{running.server_address[1]}/table.csv")
        yield running
        running.shutdown()
        thread.join()


def know(monkeypatch, url):
    """Puts the made-up file in place of the published one."""
    file = compas_table.described(MADE_UP, url)
    entries = tuple(
        dataclasses.replace(one, published=file) if one.published == compas.FILE else one
        for one in catalogue.ENTRIES
    )
    monkeypatch.setattr(catalogue, "ENTRIES", entries)
    monkeypatch.setattr(compas, "FILE", file)


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    monkeypatch.delenv("DRALIGN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def run(capsys, *arguments):
    """The exit code, what was printed, and the last line about the run."""
    code = main(["data", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err.strip()


def test_list_tells_what_is_built_in_and_what_is_missing(tmp_path, capsys, monkeypatch):
    know(monkeypatch, "")
    code, out, _ = run(capsys, "list", "--json")
    shown = {row["name"]: row for row in json.loads(out)}
    assert code == 0
    assert (shown["adult"]["location"], shown["compas"]["location"]) == ("built in", "missing")
    assert (shown["adult"]["rows"], shown["compas"]["rows"]) == (48842, 7214)
    assert shown["german"]["licence"] == "CC BY 4.0"
    (tmp_path / "compas").mkdir()
    place = tmp_path / "compas" / compas.FILE.name
    place.write_bytes(MADE_UP)
    code, out, _ = run(capsys, "list", "--data-home", tmp_path)
    assert code == 0
    assert str(place) in out


@pytest.mark.parametrize("where", ["cache", "home"])
def test_fetch_downloads_once_into_the_folder_that_is_searched(server, tmp_path, capsys, where):
    folder = tmp_path / "cache" / "dralign" if where == "cache" else tmp_path / "home"
    options = [] if where == "cache" else ["--data-home", folder]
    code, out, _ = run(capsys, "fetch", "compas", "--json", *options)
    place = folder / "compas" / compas.FILE.name
    assert (code, json.loads(out)["location"]) == (0, str(place))
    assert place.read_bytes() == MADE_UP
    assert [entry.name for entry in place.parent.iterdir()] == [place.name]
    server.body = b""
    assert run(capsys, "fetch", "compas", *options)[0] == 0
    assert run(capsys, "verify", "compas", *options)[0] == 0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (MADE_UP[:-5], "not the published file"),
        (MADE_UP + b"\n", "not the published file"),
        (b"", "can't be downloaded .*404"),
    ],
    ids=["truncated", "longer", "not there"],
)
def test_a_wrong_download_is_refused_and_leaves_nothing(server, tmp_path, capsys, body, message):
    server.body = body
    code, _, err = run(capsys, "fetch", "compas", "--data-home", tmp_path / "home")
    assert code == 2
    assert err.count("\n") == 0
    assert re.search(message, err)
    assert not (tmp_path / "home").exists()


def test_without_a_network_one_line_says_where_to_bring_the_file(monkeypatch, tmp_path, capsys):
    know(monkeypatch, "http://127.0.0.1:9/table.csv")
    code, _, err = run(capsys, "fetch", "compas", "--data-home", tmp_path)
    assert code == 2
    assert err.count("\n") == 0
    assert "can't be downloaded" in err
    assert str(tmp_path / "compas" / compas.FILE.name) in err


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ({"TIMEOUT": 0.4}, r"can't be downloaded \(slower than 5,000 bytes a second\)"),
        ({"LONGEST": 0.4}, r"can't be downloaded \(no whole answer in 0\.4 seconds\)"),
    ],
    ids=["slow", "long"],
)
def test_a_server_that_dribbles_is_not_waited_for(tmp_path, capsys, monkeypatch, limit, message):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Dribble) as running:
        running.over = threading.Event()
        threading.Thread(target=running.serve_forever, daemon=True).start()
        know(monkeypatch, f"http://127.0.0.1:{running.server_address[1]}/table.csv")
        for name, value in limit.items():
            monkeypatch.setattr(local, name, value)
        code, _, err = run(capsys, "fetch", "compas", "--data-home", tmp_path / "home")
        running.over.set()
        running.shutdown()
    assert code == 2
    assert err.count("\n") == 0
    assert re.search(message, err)
    assert not (tmp_path / "home").exists()


def test_fetch_says_when_there_is_nothing_to_fetch(capsys):
    code, _, err = run(capsys, "fetch", "german")
    assert (code, err) == (0, "german is built in, there is nothing to fetch")
    code, _, err = run(capsys, "fetch", "credit")
    assert code == 2
    assert "unknown dataset 'credit'; known: adult, german, compas" in err


def test_celeba_is_found_and_counted_but_not_downloaded(tmp_path, capsys):
    code, _, err = run(capsys, "fetch", "celeba")
    assert code == 2
    assert "its terms ask for a person to fetch it; see https://" in err
    faces = pytest.importorskip("faces", reason="images need pillow")
    faces.official(tmp_path / "celeba", n=40)
    code, out, _ = run(capsys, "verify", "celeba", "--data-home", tmp_path)
    assert (code, out) == (0, f"celeba   40 of 202,599 images, {tmp_path / 'celeba'}\n")
    (tmp_path / "celeba" / "img_align_celeba" / "000002.jpg").unlink()
    code, out, _ = run(capsys, "verify", "celeba", "--data-home", tmp_path)
    assert code == 1
    assert "1 of the 40 images" in out


def test_verify_exits_with_1_for_a_file_that_is_not_the_published_one(tmp_path, capsys):
    assert run(capsys, "verify")[0] == 0
    code, out, _ = run(capsys, "verify", "compas", "--data-home", tmp_path)
    assert code == 1
    assert "is not in" in out
    (tmp_path / compas.FILE.name).write_bytes(MADE_UP)
    code, out, _ = run(capsys, "verify", "--data-home", tmp_path, "--json")
    wrong = {row["name"]: row["wrong"] for row in json.loads(out)}
    assert code == 1
    assert wrong["adult"] == ""
    assert "not the published file" in wrong["compas"]
