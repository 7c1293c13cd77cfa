"""A broker comes back with an older disk, as after a power cut, and its topic grows past the log's cursor."""

import shutil
from pathlib import Path

import pytest

from deploy.local.pair import Pair, temporary_folder
from harness.schema import make_topics, open_service_database
from services.audit.log.reset import Reset
from shared.contracts.addresses import topic_name
from tests.integration.audit.test_another_log import (
    events,
    goes_on,
    has_entries,
    resumed,
    send,
    stands,
    writing,
)

pytestmark = pytest.mark.integration


@pytest.mark.timeout(200)
async def test_the_log_stands_names_the_loss_and_goes_on(tmp_path: Path) -> None:
    topic = topic_name("civic", "inquiry")
    with temporary_folder() as folder, Pair(folder, durable=False) as pair:
        kafka = pair.kafka
        assert kafka is not None
        await make_topics(pair.access, "civic", [])
        audit = await open_service_database(pair.database_url, "audit", access=pair.access)
        await send(pair, topic, events(5))
        kafka.stop()
        shutil.copytree(folder / "kafka", folder / "older")
        kafka.start()
        await send(pair, topic, events(4))
        async with writing(audit, tmp_path):
            await has_entries(audit, 9)
        kafka.kill()
        shutil.rmtree(folder / "kafka")
        shutil.copytree(folder / "older", folder / "kafka")
        kafka.start()
        await send(pair, topic, events(7))
        async with writing(audit, tmp_path) as writer:
            await stands(audit)
            assert "at offset 8 stands another record" in writer.health.trouble["log"]
            assert (await resumed(audit, topic) or [None])[0] == Reset(topic, 0, taken=9, offset=0)
            # The five that both logs hold are known; what only the lost one held stays in the log.
            await goes_on(audit, topic, tmp_path, 9 + 1 + 7)
        await audit.close()
