"""Engine specs: what each form means, and what is refused in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchyard.errors import ConfigurationError
from batchyard.server.engines.specs import HOSTED_URL, EngineSpec, parse_specs

KEYS = {"ANTHROPIC_API_KEY": "sk-hosted", "VLLM_KEY": "sk-vllm", "EMPTY": "", "TWO": "a\nb"}


def one(text: str) -> EngineSpec:
    (spec,) = parse_specs([text], KEYS)
    return spec


@pytest.mark.parametrize(
    ("text", "kind", "name", "url"),
    [
        ("simulator", "simulator", "simulator", ""),
        ("http://localhost:8000", "detect", "localhost:8000", "http://localhost:8000"),
        ("http://localhost:8000/", "detect", "localhost:8000", "http://localhost:8000"),
        ("https://GPU.corp/vllm/", "detect", "gpu.corp/vllm", "https://GPU.corp/vllm"),
        ("anthropic+http://h:1", "messages", "h:1", "http://h:1"),
        ("openai+https://h/v1", "chat", "h/v1", "https://h/v1"),
        ("http://[::1]:8000", "detect", "[::1]:8000", "http://[::1]:8000"),
        ("anthropic", "anthropic", "anthropic", HOSTED_URL),
        (" http://h:1;name=fast ", "detect", "fast", "http://h:1"),
    ],
)
def test_a_spec_means_a_kind_a_name_and_a_place(text: str, kind: str, name: str, url: str) -> None:
    spec = one(text)
    assert (spec.kind, spec.name, spec.url) == (kind, name, url)


def test_options_of_the_engine_follow_its_colon_and_ours_follow_semicolons() -> None:
    spec = one("simulator:latency=50ms,seed=7;name=sim;concurrency=16;timeout=1.5s")
    assert spec.options == {"latency": "50ms", "seed": "7"}
    assert (spec.name, spec.concurrency, spec.timeout_seconds) == ("sim", 16, 1.5)
    assert one("simulator;concurrency=auto").concurrency is None


def test_a_llama_spec_names_a_file_that_exists(tmp_path: Path) -> None:
    model = tmp_path / "tiny.gguf"
    model.touch()
    spec = one(f"llama:{model},slots=2;name=local")
    assert (spec.kind, spec.name, spec.target) == ("llama", "local", str(model))
    assert spec.options == {"slots": "2"}
    with pytest.raises(ConfigurationError, match=r"there is no file .*none\.gguf"):
        one(f"llama:{tmp_path}/none.gguf")


def test_keys_come_from_the_environment_or_a_file_and_are_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("sk-file\n")
    assert one("http://h:1;key_env=VLLM_KEY").key == "sk-vllm"
    assert one(f"http://h:1;key_file={file}").key == "sk-file"
    assert one("anthropic").key == "sk-hosted"
    assert one("anthropic;key_env=VLLM_KEY").key == "sk-vllm"
    assert one("http://h:1").key is None
    assert "sk-vllm" not in repr(one("http://h:1;key_env=VLLM_KEY"))


def test_two_engines_without_names_get_different_ones() -> None:
    specs = parse_specs(["simulator", "simulator:seed=2", "simulator"], {})
    assert [spec.name for spec in specs] == ["simulator", "simulator-2", "simulator-3"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("vllm", ["neither a URL nor an engine", "vllm"]),
        ("", ["neither a URL nor an engine"]),
        ("ftp://h", ["must be http:// or https://"]),
        ("http://", ["with a host"]),
        ("http://h:99999", ["Port out of range"]),
        ("grpc+http://h", ["unknown dialect grpc", "anthropic+, openai+"]),
        ("http://h?x=1", ["takes no query"]),
        ("http://h:1;nam=x", ["unknown option nam", "name, concurrency"]),
        ("http://h:1;name", ["'name' is not key=value"]),
        ("http://h:1;name=a;name=b", ["name is given twice"]),
        ("http://h:1;concurrency=0", ["concurrency=0", "number from 1"]),
        ("http://h:1;concurrency=-3", ["concurrency=-3"]),
        ("http://h:1;timeout=soon", ["timeout=soon", "seconds"]),
        ("http://h:1;timeout=0", ["timeout=0"]),
        ("http://h:1;key_env=NONE", ["the variable NONE holds no key"]),
        ("http://h:1;key_env=EMPTY", ["the variable EMPTY holds no key"]),
        ("http://h:1;key_env=TWO", ["one line of plain text"]),
        ("http://h:1;key_env=A;key_file=B", ["not both"]),
        ("http://h:1;key_file=/none", ["cannot read key_file /none"]),
        ("simulator;key_env=VLLM_KEY", ["takes no key"]),
        ("llama:", ["which model?"]),
    ],
)
def test_a_wrong_spec_is_refused_with_value_and_rule(text: str, words: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        one(text)
    assert [word for word in words if word not in caught.value.message] == []


@pytest.mark.parametrize(
    "text",
    [
        "http://user:hunter2@h:1",
        "http://hunter2@h:1",
        "https://:hunter2@h:1/v1",
        "http://h:1?api_key=hunter2",
        "http://h:1/?token=hunter2",
        "http://h:1;key=hunter2",
        "http://h:1;api_key=hunter2;name=a",
        "anthropic;token=hunter2",
    ],
)
def test_a_key_on_the_command_line_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        one(text)
    assert "hunter2" not in f"{caught.value.message} {caught.value.fix}"
    assert "key_env=" in str(caught.value.fix)


def test_a_given_name_must_be_free() -> None:
    with pytest.raises(ConfigurationError, match="two engines are called a"):
        parse_specs(["http://h:1;name=a", "http://h:2;name=a"], {})
