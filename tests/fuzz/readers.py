"""Every reader of files, each as one function that takes a folder and reads all that is in it."""

from pathlib import Path

import numpy as np

from fedrouter_sim.adapters.folders import load_adapter, load_lora_scale, load_peft_config
from fedrouter_sim.adapters.sharing import find_sharing
from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.reading import read_settings
from fedrouter_sim.evaluation.metrics import find_metric
from fedrouter_sim.federation.sharing import TaskSharing
from fedrouter_sim.report.comparison_tables import comparison_csv, comparison_markdown
from fedrouter_sim.report.comparison_terminal import comparison_table
from fedrouter_sim.report.run_records import cell_scores, main_cell, pool_label, read_samples, round_gaps
from fedrouter_sim.runs.aggregated import task_of
from fedrouter_sim.runs.averaging import average_by_task
from fedrouter_sim.runs.cells import folder_of_data, read_answers
from fedrouter_sim.runs.plans import load_plan
from fedrouter_sim.runs.reader import Run
from fedrouter_sim.runs.sharing import load_shared, shared_again
from fedrouter_sim.runs.update_folders import find_update_folders, gather, normalizer_for, read_update_folder
from fedrouter_sim.studies.plan import read_study
from fedrouter_sim.studies.reading import read_entry
from fedrouter_sim.studies.records import Records


def read_run(folder: Path) -> None:
    """Read a run folder as `eval`, `route`, `report`, `compare` and `aggregate` do."""
    run = Run(folder)
    run.summary.score, run.summary.task_scores_in(run.summary.cell)
    assert run.backbone and run.longest_answer > 0 and run.clustering_seed >= 0
    for pool in run.pools:
        run.adapter(pool.name)
        pool_label(run, pool.name)
    assert run.peft_config
    router, archive = run.router, run.archive
    if router is not None:
        routes = router.route(np.zeros((2, router.centroids.shape[1]), dtype=np.float32))
        assert np.isfinite(routes.distance).all() and (routes.distance < 1e17).all()
        router.unseen(np.zeros((2, router.centroids.shape[1]), dtype=np.float32))
    if archive is not None and router is not None:
        for client in run.client_ids:
            router.route(np.zeros((1, router.centroids.shape[1]), dtype=np.float32), archive.tasks_of(client))
        archive.answer_tokens(len(router.centroids))
        run.other_router("knn"), run.other_router("prototypes")
    if run.discovery is not None:
        assert run.discovery.linked_tasks
    if run.truth is not None:
        run.truth.agreement()
        for pool in run.pools:
            run.truth.majority_task(pool.name)
        run.truth.pool_for("sum")
        if archive is not None and router is not None:
            run.truth.reassigned(archive, len(router.centroids))
    assert run.client_number(run.client_ids[0]) == run.client_ids[0]
    assert folder_of_data(folder, "/other/data").startswith("data-data")
    assert run.deployment.pools
    assert run.method and run.metric
    updates = list(run.updates())
    if updates and archive is not None and router is not None:
        for update in updates:
            archive.local_clusters(update.client, update.clusters)
        average_by_task(updates, lambda u: task_of(u, archive), len(router.centroids), None,
                        load_lora_scale(updates[0].folder))  # fmt: skip
    first = run.adapter(run.pools[0].name)
    shared = load_shared(folder, {key: tuple(value.shape) for key, value in first.items()})
    if shared is not None and shared.starts:
        known = [update for update in updates if update.pool in shared.starts]
        sharing = TaskSharing(find_sharing("affinity"), run.config)
        shared_again(shared, sharing, known, lambda u: str(u.pool), shared.starts)
    round_gaps(run.rounds())
    for record in run.rounds():
        [float(loss) for loss in record["losses"].values()]
    read_samples(run)
    main_cell(cell_scores(run))
    for cell in run.cells():
        for answer in read_answers(folder, cell):
            assert isinstance(answer["client"], int) and isinstance(answer["answer"], str)
    read_entry(run, find_metric("rouge1"))


def read_updates(folder: Path) -> None:
    """Read folders of updates of clients that trained elsewhere, as `aggregate --model` does."""
    found = [read_update_folder(one) for one in find_update_folders([folder])]
    gathered, _ = gather(found)
    normalizer_for(found, None)
    for update in gathered:
        load_adapter(update.folder), load_peft_config(update.folder)
    scale = load_lora_scale(gathered[0].folder)
    average_by_task(gathered, lambda update: 0, 1, None, scale)


def read_plan(folder: Path) -> None:
    """Read a plan that was written for a run to go on."""
    plan = load_plan(folder)
    assert plan.deployment.pools
    for group in plan.groups:
        assert group.examples is not None and plan.groups_of(group.client)


def read_config(folder: Path) -> None:
    """Read a file of settings, and write them again."""
    RunConfig.build(read_settings(folder / "config.toml")).to_toml()


def read_study_plan(folder: Path) -> None:
    """Read the plan of a study."""
    read_study(folder / "plan.toml")


def read_records(folder: Path) -> None:
    """Read the finished runs of a study from their file, and compare them."""
    records = Records(folder / "records.jsonl")
    comparison = records.compare(list(records.runs), find_metric("rouge1"), ["macro_f1"])
    for view in comparison.views:
        comparison_table(view)
    comparison_markdown(comparison, [])
    comparison_csv(comparison)


def read_model(folder: Path) -> None:
    """Load a model folder, and try it out."""
    from fedrouter_sim.backbone.model import Backbone
    from fedrouter_sim.backbone.trial import try_out

    config = RunConfig(model=str(folder), dtype="float32", template="plain", max_tokens=64, lora_rank=2)
    backbone = Backbone(config)
    try_out(backbone, config.model)
    assert np.isfinite(backbone.embed(["one text", "another"])).all()
