"""Settings: who wins, what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchyard.batches.limits import Limits
from batchyard.config import LimitSettings, Settings, keys
from batchyard.errors import ConfigurationError


@pytest.fixture(autouse=True)
def empty_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No config file but the test's own, no variable but the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_defaults_are_a_loopback_server_with_the_hosted_limits(tmp_path: Path) -> None:
    settings = Settings.load()
    assert (settings.host, settings.port, settings.role) == ("127.0.0.1", 8484, "all")
    assert settings.data_dir == tmp_path / "data" / "batchyard"
    assert Limits(**settings.limits.model_dump()) == Limits()


def test_every_limit_can_be_configured() -> None:
    names = set(Limits.__dataclass_fields__)
    assert set(LimitSettings.model_fields) == names


def test_a_flag_beats_the_environment_beats_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "batchyard.toml", 'port = 1\nhost = "10.0.0.1"\nconcurrency = 3\n')
    monkeypatch.setenv("BATCHYARD_PORT", "2")
    monkeypatch.setenv("BATCHYARD_CONCURRENCY", "4")
    settings = Settings.load(port=9, host=None)
    assert (settings.port, settings.concurrency, settings.host) == (9, 4, "10.0.0.1")


def test_tables_are_merged_key_by_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "batchyard.toml", "[limits]\nrequests_max = 7\nbody_bytes_max = 70\n")
    monkeypatch.setenv("BATCHYARD_LIMITS__BODY_BYTES_MAX", "71")
    limits = Settings.load().limits
    assert (limits.requests_max, limits.body_bytes_max) == (7, 71)


def test_the_nearest_file_is_read_and_no_other(tmp_path: Path) -> None:
    write(tmp_path / "xdg" / "batchyard" / "batchyard.toml", 'port = 5\nrole = "api"\n')
    assert Settings.load().port == 5
    write(tmp_path / "batchyard.toml", "port = 6\n")
    assert (Settings.load().port, Settings.load().role) == (6, "all")
    given = write(tmp_path / "other.toml", "port = 7\n")
    assert Settings.load(given).port == 7


def test_engines_come_as_flags_as_words_or_as_a_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "batchyard.toml", 'engines = ["simulator:seed=1,latency=5ms"]\n')
    assert Settings.load().engines == ("simulator:seed=1,latency=5ms",)
    monkeypatch.setenv("BATCHYARD_ENGINES", "http://a:1  http://b:2")
    assert Settings.load().engines == ("http://a:1", "http://b:2")
    assert Settings.load(engines=("anthropic",)).engines == ("anthropic",)


def test_aliases_come_from_the_models_table(tmp_path: Path) -> None:
    write(tmp_path / "batchyard.toml", '[models.aliases]\n"claude-haiku-4-5" = "qwen3:8b"\n')
    assert Settings.load().models.aliases == {"claude-haiku-4-5": "qwen3:8b"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prot = 1", ["unknown setting prot", "did you mean port?", "batchyard.toml"]),
        ("[limits]\nrequest_max = 1", ["unknown setting limits.request_max", "requests_max?"]),
        ("[compat]\nstrict = true", ["unknown setting compat.strict", "strict_version"]),
        ("port = 70000", ["port = 70000", "less than or equal to 65535"]),
        ('concurrency = "lots"', ["concurrency = 'lots'", "'auto'", "integer"]),
        ("concurrency = 0", ["concurrency = 0", "greater than or equal to 1"]),
        ("[limits]\nrequests_max = 0", ["limits.requests_max = 0", "batchyard.toml"]),
        ('public_url = "batches.example"', ["public_url", "https://batches.example.com"]),
        ("port = ", ["batchyard.toml is not valid TOML"]),
    ],
)
def test_a_wrong_file_is_refused_with_place_value_and_rule(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    write(tmp_path / "batchyard.toml", text)
    with pytest.raises(ConfigurationError) as caught:
        Settings.load()
    assert [word for word in words if word not in caught.value.message] == []


def test_a_wrong_variable_is_refused_with_its_nearest_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BATCHYARD_DATADIR", "/tmp/x")
    with pytest.raises(ConfigurationError, match=r"BATCHYARD_DATADIR; .*BATCHYARD_DATA_DIR\?"):
        Settings.load()


def test_variables_of_the_client_and_of_kubernetes_are_not_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BATCHYARD_SERVER", "http://127.0.0.1:8484")
    monkeypatch.setenv("BATCHYARD_PORT", "tcp://10.3.0.9:8484")
    monkeypatch.setenv("BATCHYARD_PORT_8484_TCP_ADDR", "10.3.0.9")
    monkeypatch.setenv("BATCHYARD_SERVICE_HOST", "10.3.0.9")
    assert Settings.load().port == 8484


def test_a_config_file_that_was_asked_for_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no config file"):
        Settings.load(tmp_path / "none.toml")


def test_settings_travel_to_a_child_as_one_line_of_json() -> None:
    settings = Settings.load(port=9, engines=("simulator",), concurrency=8)
    line = settings.model_dump_json()
    assert "\n" not in line
    assert Settings.model_validate_json(line) == settings


def test_every_key_says_what_it_is() -> None:
    assert [key for key, field in keys() if not field.description] == []
