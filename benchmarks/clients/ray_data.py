"""Ray Data's HTTP request processor, on a cluster of this machine alone."""
# requires: ray[data]==2.60.0 aiohttp pydantic

import json
import logging
import os

os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_DEDUP_LOGS="0", PYTHONWARNINGS="ignore")

import ray
from ray.data.llm import HttpRequestProcessorConfig, build_processor
from timed import Timed, arguments, told


def main() -> Timed:
    """All bodies as one data set; the start of the cluster is not counted."""
    url, bodies, connections = arguments()
    ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR,
        object_store_memory=200 * 1024 * 1024,
    )  # fmt: skip
    ray.data.DataContext.get_current().enable_progress_bars = False
    config = HttpRequestProcessorConfig(
        url=f"{url}/v1/messages",
        headers={"content-type": "application/json"},
        batch_size=connections,
        concurrency=1,
    )
    processor = build_processor(
        config,
        preprocess=lambda row: {"payload": json.loads(row["body"])},
        postprocess=lambda row: {"text": row["http_response"]["content"][0]["text"]},
    )
    asked = ray.data.from_items([{"body": body.decode()} for body in bodies])
    with Timed() as timed:
        assert len(processor(asked).take_all()) == len(bodies)
    return timed


if __name__ == "__main__":
    told(main())
