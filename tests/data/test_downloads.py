"""Downloads through torchvision's own code, with a server that is a folder: once, complete, checked, or one error."""

import gzip
import hashlib
import http.client
import shutil
import ssl
import sys
import zipfile
from pathlib import Path
from urllib.error import HTTPError, URLError

import pytest
from torchvision import datasets
from torchvision.datasets import utils as torchvision_downloads

from tests.data.files import check_arrays, idx, mnist_like, write_folder
from vae_fn.data import DataError, downloads, load
from vae_fn.data.downloads import cache_folder

ARRAYS = mnist_like()


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("VAE_FN_CACHE", str(tmp_path / "below" / "cache"))
    return tmp_path / "below" / "cache"


@pytest.fixture
def server(tmp_path, monkeypatch) -> Path:
    """What torchvision would fetch from the network comes from this folder; what is not there cannot be had."""
    folder = write_folder(tmp_path / "server", {f"{name}.gz": array for name, array in ARRAYS.items()})
    write_emnist(folder / "gzip.zip")

    def fetch(url: str, filename: str) -> None:
        try:
            shutil.copyfile(folder / url.rpartition("/")[2], filename)
        except FileNotFoundError as error:
            raise URLError("Name or service not known") from error

    def md5(name: str) -> str:
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    monkeypatch.setattr(torchvision_downloads, "_urlretrieve", fetch)
    monkeypatch.setattr(torchvision_downloads, "_get_redirect_url", lambda url, max_hops: url)
    monkeypatch.setattr(datasets.KMNIST, "resources", [(f"{name}.gz", md5(f"{name}.gz")) for name in ARRAYS])
    monkeypatch.setattr(datasets.EMNIST, "md5", md5("gzip.zip"))
    return folder


def write_emnist(path: Path) -> None:
    """The archive, with two of its splits; its images are transposed."""
    with zipfile.ZipFile(path, "w") as archive:
        for split, arrays in (("balanced", ARRAYS), ("letters", mnist_like(7, 7))):
            for name, array in arrays.items():
                published = array.transpose(0, 2, 1) if array.ndim == 3 else array
                archive.writestr(
                    f"gzip/emnist-{split}-{name.replace('t10k', 'test')}.gz", gzip.compress(idx(published))
                )


def test_a_data_set_is_downloaded_once_and_whole(cache, server, monkeypatch):
    check_arrays(load("kmnist"), ARRAYS)
    assert [path.name for path in cache.iterdir()] == ["kmnist"]
    assert {path.name for path in (cache / "kmnist").iterdir()} == set(ARRAYS)
    monkeypatch.setitem(sys.modules, "torchvision", None)  # an import of it fails from here on
    check_arrays(load("kmnist"), ARRAYS)


def test_nothing_is_printed_where_results_are(cache, server, capsys):
    load("kmnist")
    assert capsys.readouterr().out == ""


def test_emnist_is_its_balanced_split_put_upright(cache, server):
    check_arrays(load("emnist"), ARRAYS)
    assert len(list((cache / "emnist").iterdir())) == 4


def test_emnist_as_published_is_caught(cache, server, monkeypatch):
    published = downloads.PUBLISHED["emnist"]._replace(corrected=lambda dataset: dataset)
    monkeypatch.setitem(downloads.PUBLISHED, "emnist", published)
    with pytest.raises((AssertionError, ValueError)):
        check_arrays(load("emnist"), ARRAYS)


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
def test_a_cache_filled_by_hand_does_instead(cache, suffix):
    write_folder(cache / "fashion-mnist", {name + suffix: array for name, array in ARRAYS.items()})
    check_arrays(load("fashion-mnist"), ARRAYS)


def check_refused(name: str, *words: str) -> str:
    try:
        load(name)
    except DataError as error:
        message = str(error)
    else:
        raise AssertionError("the data set was not refused")
    assert "\n" not in message
    for word in words:
        assert word in message
    return message


def test_a_data_set_that_is_there_is_caught(cache, server):
    with pytest.raises(AssertionError):
        check_refused("kmnist")


def check_not_downloaded(cache: Path, name: str, reason: str):
    """One error that names the data set, where it would be read and the alternative; and no trace in the cache."""
    check_refused(name, f"{name} is not in {cache / name} and cannot be downloaded", reason, "--data FOLDER")
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("name", downloads.PUBLISHED)
@pytest.mark.parametrize(
    "failure",
    [
        URLError("Name or service not known"),
        HTTPError("http://host", 404, "Not Found", {}, None),  # pyright: ignore[reportArgumentType]
        ConnectionResetError(104, "Connection reset by peer"),
        TimeoutError("timed out"),
        ssl.SSLError(1, "bad record"),
        http.client.IncompleteRead(b"", 9),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_without_a_network_there_is_one_error(cache, monkeypatch, name, failure):
    def fail(url: str, *args, **kwargs):
        raise failure

    monkeypatch.setattr(torchvision_downloads, "_get_redirect_url", fail)
    check_not_downloaded(cache, name, str(failure))


@pytest.mark.parametrize("name", ["kmnist", "emnist"])
def test_a_download_of_other_content_is_refused(cache, server, name):
    for path in server.iterdir():
        path.write_bytes(path.read_bytes() + b"!")
    check_not_downloaded(cache, name, "not found or corrupted")


def test_a_download_that_breaks_off_leaves_nothing(cache, server):
    (server / "t10k-labels-idx1-ubyte.gz").unlink()
    check_not_downloaded(cache, "kmnist", "Error downloading t10k-labels-idx1-ubyte.gz")


def test_without_torchvision_there_is_one_error(cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    check_not_downloaded(cache, "kmnist", "torchvision")


def test_another_process_may_be_first(cache, server, monkeypatch):
    unpack = downloads._unpack

    def slowly(*args):
        complete = unpack(*args)
        write_folder(cache / "kmnist", ARRAYS)
        return complete

    monkeypatch.setattr(downloads, "_unpack", slowly)
    check_arrays(load("kmnist"), ARRAYS)
    assert [path.name for path in cache.iterdir()] == ["kmnist"]


@pytest.mark.parametrize("in_the_way", ["cache", "data set"])
def test_a_cache_that_cannot_be_written_is_named(cache, server, in_the_way):
    if in_the_way == "cache":
        cache.parent.write_text("")
        check_refused("kmnist", f"the cache folder {cache} cannot be written", "VAE_FN_CACHE")
    else:
        cache.mkdir(parents=True)
        (cache / "kmnist").write_text("")
        check_refused("kmnist", f"{cache / 'kmnist'}: the folder cannot be read (Not a directory)")


def test_a_cache_without_permission_is_named(cache, monkeypatch):
    def denied(*args, **kwargs):
        raise PermissionError(13, "Permission denied", str(cache))

    monkeypatch.setattr(downloads, "TemporaryDirectory", denied)
    check_refused("kmnist", f"the cache folder {cache} cannot be written (Permission denied)", "VAE_FN_CACHE")


def test_a_damaged_or_incomplete_cache_says_how_to_mend_it(cache):
    folder = write_folder(cache / "kmnist", ARRAYS)
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    check_refused("kmnist", str(path), "cut short", "without this folder it would be downloaded again")
    write_folder(folder, ARRAYS)
    (folder / "t10k-labels-idx1-ubyte").unlink()
    check_refused("kmnist", str(folder), "four files", "without this folder it would be downloaded again")


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("VAE_FN_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert cache_folder() == tmp_path / ".cache" / "vae_fn"
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_folder() == Path("/caches/vae_fn")
    monkeypatch.setenv("VAE_FN_CACHE", "/own")
    assert cache_folder() == Path("/own")
    monkeypatch.setenv("VAE_FN_CACHE", "")
    assert cache_folder() == Path("/caches/vae_fn")


def test_without_a_home_the_variable_is_named(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    for name in ("VAE_FN_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    check_refused("kmnist", "no home folder", "VAE_FN_CACHE")
