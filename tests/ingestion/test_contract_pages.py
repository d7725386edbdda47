"""The pages say what the contracts say, and show nothing of them as markup."""

import shutil
from pathlib import Path

from ingestion.contract_pages.pages import contract_pages
from ingestion.field_readers import FieldReader
from ingestion.registry import CONTRACTS_FOLDER, load_registry


def readers(event: str, paths: frozenset[str]) -> tuple[FieldReader, ...]:
    assert paths == frozenset()
    return (FieldReader("model", f"stg_{event}", "reads"), FieldReader("model", "profiles", "reads"))


def test_each_contract_has_a_page_with_its_fields_owner_senders_and_history(tmp_path: Path) -> None:
    shutil.copytree(CONTRACTS_FOLDER, tmp_path / "contracts")
    orders = tmp_path / "contracts" / "order_completed.yml"
    orders.write_text(orders.read_text().replace("A person paid", "A <script>person</script> paid"))
    pages = dict(contract_pages(load_registry(tmp_path / "contracts"), readers))
    assert pages == dict(contract_pages(load_registry(tmp_path / "contracts"), readers))
    assert len(pages) == 15
    page = pages["order_completed.html"]
    for said in (
        "A &lt;script&gt;person&lt;/script&gt; paid",
        "commerce-data@shop.example",
        "<code>items.sku</code>",
        "pattern &#34;^[A-Z]{2}$&#34;",
        "unit GBP",
        "web: track Order Completed",
        "<code>stg_order_completed</code></dd>",
        "First version.",
        "identifies a person (mergeable)",
    ):
        assert said in page
    assert '<a href="order_completed.html">order_completed</a>' in pages["index.html"]
    assert all("http" not in text and "src=" not in text for text in pages.values())
