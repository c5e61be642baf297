"""Tests of the model, and of the check that the pages are what follows from it.

python3 -m unittest discover --start-directory loadtest/sizing
"""

import contextlib
import io
import math
import pathlib
import random
import tempfile
import unittest
from dataclasses import replace
from unittest import mock

import pages
import plan
from drawn import chart, text
from model import acks, capacity, costs, fit, inputs, limits, storm
from model.workload import Fleet, Workload

BOX = Workload()
FLEET = replace(BOX, log="kafka", shards=96)


class Pages(unittest.TestCase):
    def checked(self, change) -> tuple[int, str]:
        """What the check says of a copy of the pages after `change` of the folder."""
        with tempfile.TemporaryDirectory() as root:
            folder = pathlib.Path(root)
            for name in [*pages.TABLES, *pages.plots.PLOTS]:
                (folder / name).write_text((pages.DOCS / name).read_text())
            change(folder)
            said = io.StringIO()
            with mock.patch.object(pages, "DOCS", folder), contextlib.redirect_stdout(said):
                return pages.check(), said.getvalue()

    def test_pages_are_in_step(self):
        self.assertEqual(self.checked(lambda folder: None), (0, "in step\n"))

    def test_a_wrong_figure_is_found(self):
        def change(folder):
            page = folder / "scaling.md"
            lines = page.read_text().splitlines(keepends=True)
            place = lines.index("<!-- table: by size -->\n") + 3
            lines[place] = lines[place].replace(" | ", " | 1", 1)
            page.write_text("".join(lines))

        code, said = self.checked(change)
        self.assertEqual(code, 1)
        self.assertIn("docs/scaling.md: | 100 | 1", said)

    def test_a_row_too_many_is_found(self):
        def change(folder):
            page = folder / "sizing.md"
            page.write_text(page.read_text().replace("<!-- table: fleet -->\n", "<!-- table: fleet -->\n| 1 |\n"))

        self.assertEqual(self.checked(change)[0], 1)

    def test_another_picture_is_found(self):
        def change(folder):
            picture = folder / "scaling-cost.svg"
            picture.write_text(picture.read_text().replace("M", "L", 1))

        code, said = self.checked(change)
        self.assertEqual((code, "docs/scaling-cost.svg: is another picture" in said), (1, True))

    def test_a_page_without_a_place_for_a_table_is_refused(self):
        def change(folder):
            page = folder / "sizing.md"
            page.write_text(page.read_text().replace("<!-- table: brokers -->", ""))

        with self.assertRaisesRegex(pages.PageError, "0 places for the table brokers"):
            self.checked(change)

    def test_another_input_changes_the_page(self):
        slower = replace(inputs.inputs()["tap_s_per_gb"], value=99.0)
        self.addCleanup(pages.made.cache_clear)
        pages.made.cache_clear()
        with mock.patch.dict(inputs.inputs(), {"tap_s_per_gb": slower}):
            self.assertEqual(self.checked(lambda folder: None)[0], 1)


class Fit(unittest.TestCase):
    def test_finds_the_costs_that_runs_are_made_of(self):
        true = {
            ("start", "process"): 0.05, ("edge", "request"): 2e-5, ("edge", "record"): 7e-7, ("edge", "byte"): 1e-9,
            ("fsync", "request"): 1e-5, ("fsync", "byte"): 5e-10, ("gzip", "record"): 0.0, ("gzip", "byte"): 2e-9,
        }
        runs = []
        for batch, event in ((1, 100), (1, 4_000), (100, 100), (100, 4_000), (1_000, 400)):
            for log, name in (("memory", "none"), ("fsync", "none"), ("fsync", "gzip")):
                requests = 30_000 // batch + 500
                amounts = (requests * batch, requests, requests * batch * event)
                run = fit.Run(log, name, batch, event, *amounts, 3.0, 0.0, 0.0)
                runs.append(replace(run, cpu=fit.predicted(true, run)))
        for name, cost in fit.fitted(runs).items():
            self.assertAlmostEqual(cost, true[name], delta=max(true[name] * 0.01, 1e-11), msg=str(name))

    def test_runs_that_judge_do_not_change_the_costs(self):
        measured = fit.runs()
        spoiled = [replace(run, cpu=100 * run.cpu) if run.is_held_out else run for run in measured]
        self.assertTrue(any(run.is_held_out for run in measured))
        self.assertEqual(fit.fitted(spoiled), fit.fitted(measured))

    def test_two_deliveries_are_paid_twice(self):
        run = fit.Run("fsync", "gzip+parquet", 10, 0, 100, 10, 40_000, 1.0, 1.0, 0.0)
        self.assertEqual(run.stages(), ["edge", "fsync", "gzip", "parquet"])


class Inputs(unittest.TestCase):
    def test_bounds_are_those_of_the_program(self):
        self.assertEqual(limits.limit("BUFFER_BYTES_DEFAULT"), 64 << 20)
        self.assertEqual(limits.limit("OWNERSHIP_SESSION_TIMEOUT"), 15)
        # By another constant.
        self.assertEqual(limits.limit("OWNERSHIP_LET_GO_WAIT"), limits.limit("DELIVERY_STOP_WAIT"))
        with self.assertRaises(KeyError):
            limits.limit("NOTHING_IS_CALLED_THIS")

    def test_every_input_is_used_somewhere(self):
        folder = pathlib.Path(__file__).parent
        code = "".join(path.read_text() for name in ("model", "drawn") for path in (folder / name).glob("*.py"))
        names = [name for name in inputs.inputs() if f'"{name}"' not in code]
        # By names that are put together.
        put_together = ("sync_", "own_sync_", "compression_", "partitions_")
        self.assertEqual([name for name in names if not name.startswith(put_together)], [])


class Capacity(unittest.TestCase):
    def test_more_of_anything_never_takes_less(self):
        for more in ({"nodes": 20}, {"brokers": 30}, {"cores": 8}, {"memory": 1e12}):
            few = {bound.part: bound.gb_s for bound in capacity.bounds(FLEET, Fleet(10, 50_000))}
            many = {bound.part: bound.gb_s for bound in capacity.bounds(FLEET, replace(Fleet(10, 50_000), **more))}
            for part, gb_s in few.items():
                if "brokers" in more and part == "CPU of the nodes":
                    # More brokers answer more and smaller requests, which cost the nodes more.
                    continue
                self.assertGreaterEqual(many[part], gb_s * 0.999, (more, part))

    def test_at_the_bound_of_the_cpu_the_cores_are_as_busy_as_they_may_be(self):
        fleet = Fleet(10, 50_000)
        bound = next(b for b in capacity.bounds(FLEET, fleet) if b.part == "CPU of the nodes")
        self.assertAlmostEqual(capacity.cores_of(FLEET, fleet, bound.gb_s), capacity.cores(fleet), places=6)

    def test_a_million_connections_do_not_fit_on_a_node(self):
        missing = [b.part for b in capacity.bounds(BOX, Fleet(1, 1_000_000)) if b.gb_s == capacity.DOES_NOT_FIT]
        self.assertIn("`max_connections`", missing)
        self.assertIn("memory for connections", missing)

    def test_files_are_closed_by_time_or_by_size(self):
        slow, fast = 0.001, 1_000.0
        self.assertAlmostEqual(capacity.files_s(BOX, slow), 1 / BOX.interval)
        size = limits.limit("BUFFER_BYTES_DEFAULT")
        self.assertAlmostEqual(capacity.file_bytes(BOX, fast), size, delta=1)

    def test_a_ledger_writes_one_object_at_a_time(self):
        many = replace(FLEET, partitions=10_000)
        _, ledgers = capacity.puts_s(many, 1.0)
        self.assertEqual(ledgers, FLEET.shards * 1e3 / inputs.value("store_ms"))

    def test_lone_requests_go_to_brokers_alone_and_many_share_a_linger(self):
        single = replace(FLEET, batch=1, shards=4)
        few, many, more = (costs.sets(single, Fleet(1), gb_s) for gb_s in (1e-5, 0.1, 0.2))
        self.assertAlmostEqual(few, 1e-5 * 1e9 / single.event)
        self.assertEqual(many, single.shards / fit.linger_s())
        self.assertEqual(many, more)

    def test_brokers_never_get_more_requests_than_they_answer(self):
        brokers = 3
        sent = costs.sets(FLEET, Fleet(1_000, brokers=brokers), 100.0)
        self.assertAlmostEqual(sent, brokers * inputs.value("broker_requests"))
        self.assertTrue(costs.waits_for_brokers(FLEET, Fleet(1_000, brokers=brokers), 100.0))

    def test_a_request_with_many_records_goes_to_many_partitions(self):
        self.assertEqual(fit.sets(10, 100, 4, 500), 40)
        self.assertEqual(fit.sets(10, 3, 4, 500), 30)


class Acks(unittest.TestCase):
    def test_waits_are_those_of_theory(self):
        # M/D/1: the mean wait is ρ s / (2 (1 − ρ)), Pollaczek and Khinchine.
        service, part = 0.001, 0.7
        load = acks.Load(part / service, 1, service)
        with mock.patch.object(acks, "REQUESTS", 200_000):
            done = acks.served(load, random.Random(3))
        wait = sum(end - came - service for end, came in done) / len(done)
        self.assertAlmostEqual(wait, part * service / (2 * (1 - part)), delta=wait * 0.05)

    def test_commits_take_along_what_waits(self):
        log = acks.Log(((1, 0.010), (2, 0.010)), 0.0, 1.0 + 1e-12)
        # The first is alone; the two that come while it is written share the next one.
        times = acks.committed([(0.0, 0.0), (0.004, 0.004), (0.009, 0.009)], 1, log, random.Random(1))
        for time, expected in zip(times, (0.010, 0.016, 0.011), strict=True):
            self.assertAlmostEqual(time, expected, places=9)

    def test_records_of_a_partition_share_a_linger(self):
        log = acks.Log(((1, 0.0), (2, 0.0)), 0.005, 1.0 + 1e-12)
        times = acks.produced([(0.0, 0.0), (0.001, 0.001), (0.003, 0.003)], 1, 1, log, random.Random(1))
        for time, expected in zip(times, (0.007, 0.006, 0.007), strict=True):
            self.assertAlmostEqual(time, expected, places=9)

    def test_the_same_seed_gives_the_same_times(self):
        self.assertEqual(acks.of_fleet(FLEET, Fleet(10), 0.1), acks.of_fleet(FLEET, Fleet(10), 0.1))


class Storm(unittest.TestCase):
    def test_everybody_comes_back_within_the_backoff_where_there_is_room(self):
        time, _, gave_up = storm.connected(1_000, 2.0)
        self.assertAlmostEqual(time, inputs.value("backoff_s"), delta=2 * storm.STEP)
        self.assertEqual(gave_up, 0)

    def test_connecting_takes_what_handshakes_take_where_there_is_none(self):
        spare, arrivals = 0.5, 40_000
        time, waiting, gave_up = storm.connected(arrivals, spare)
        each = inputs.value("connect_tls_us") / 1e6
        self.assertAlmostEqual(time, arrivals * each / spare, delta=1.0)
        self.assertGreater(waiting, 0)
        # Whoever waits longer than its patience gives up, so that never more wait than are served in it.
        self.assertLessEqual(waiting, inputs.value("patience_s") * spare / each * 1.3)
        self.assertGreater(gave_up, 0)

    def test_the_loss_of_more_takes_longer(self):
        one, three = (storm.of_fleet(FLEET, Fleet(10, 1_000_000), 0.1, lost) for lost in (1, 3))
        self.assertLess(one.connected, three.connected)
        self.assertLess(one.caught_up, three.caught_up)

    def test_too_much_for_what_is_left_never_ends(self):
        self.assertTrue(math.isinf(storm.of_fleet(FLEET, Fleet(3, 1_000), 100.0, 2).connected))


class Plans(unittest.TestCase):
    def test_rates_are_read(self):
        self.assertAlmostEqual(plan.parsed("2 TB/day"), 2e12 / 86_400 / 1e9)
        self.assertEqual(plan.parsed("300MB/s"), 0.3)

    def test_a_plan_holds_what_is_asked_with_one_node_less_it_does_not(self):
        found = plan.planned(FLEET, 5.0, 10_000).fleet
        bounds = {bound.part: bound.gb_s for bound in capacity.bounds(FLEET, found)}
        self.assertGreaterEqual(bounds["CPU of the nodes"], 5.0)
        fewer = replace(found, nodes=found.nodes - 1)
        bounds = {bound.part: bound.gb_s for bound in capacity.bounds(FLEET, fewer)}
        self.assertLess(min(bounds["CPU of the nodes"], bounds["network of the nodes"]), 5.0)


class Texts(unittest.TestCase):
    def test_figures_have_as_many_digits_as_they_are_worth(self):
        cases = {0.0123: "0.012", 4.44: "4.4", 44.4: "44", 4_444: "4,400", 0: "0", math.inf: "∞"}
        self.assertEqual({number: text.significant(number) for number in cases}, cases)

    def test_axes_put_powers_of_ten_at_even_distances(self):
        axis = chart.Axis("x", 1, 100, str)
        self.assertEqual([axis.part(tick) for tick in axis.ticks()], [0.0, 0.5, 1.0])


if __name__ == "__main__":
    unittest.main()
