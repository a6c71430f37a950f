"""What each figure must reach, and what it is meant to reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """Bounds in the figure's unit: lower ones for rates, upper ones for all else."""

    must: float
    goal: float


TARGETS: Mapping[str, Mapping[str, Target]] = {  # benchmark -> figure -> target
    "scan": {
        "read 10,000 files, cold": Target(3, 1.5),
        "read 10,000 files, nothing changed": Target(0.25, 0.12),
        "read 100,000 files, nothing changed": Target(1.5, 0.7),
        "whole scan of 10,000 files, cold": Target(3, 1.5),
        "whole scan of 10,000 files, nothing changed": Target(0.25, 0.12),
    },
    "digest": {
        "10 articles to HTML and text": Target(40, 15),
        "one reader's slots, whole body": Target(8, 4),
        "one reader's slots, filled by the provider": Target(4, 1.5),
    },
    "pictures": {
        "banner to mail size, QR and card": Target(250, 150),
    },
    "plan": {
        "1,000,000 readers, SQLite": Target(8, 4),
        "1,000,000 readers, PostgreSQL": Target(12, 6),
        "1,000,000 readers, SQLite, peak memory": Target(120, 80),
        "1,000,000 readers, PostgreSQL, peak memory": Target(120, 80),
        "memory from 100,000 to 1,000,000, SQLite": Target(30, 15),
        "memory from 100,000 to 1,000,000, PostgreSQL": Target(30, 15),
        "time for 1,000,000 / time for 100,000, SQLite": Target(11, 10),
        "time for 1,000,000 / time for 100,000, PostgreSQL": Target(11, 10),
        "ledger for each delivery, SQLite": Target(60, 25),
        "ledger for each delivery, PostgreSQL": Target(60, 25),
    },
    "delivery": {
        "100,000 recipients, SQLite, 1 worker": Target(25_000, 50_000),
        "100,000 recipients, SQLite, 1 worker, CPU": Target(35, 18),
        "1,000,000 recipients, SQLite, 1 worker": Target(25_000, 50_000),
        "1,000,000 recipients, SQLite, 1 worker, CPU": Target(35, 18),
        "1,000,000 recipients, SQLite, 1 worker, peak memory": Target(120, 80),
        "memory from 100,000 to 1,000,000, SQLite": Target(30, 15),
        "time for 1,000,000 / time for 100,000, SQLite": Target(11, 10),
        "1,000,000 recipients, SQLite, 2 workers": Target(40_000, 90_000),
        "1,000,000 recipients, PostgreSQL, 2 workers": Target(20_000, 45_000),
    },
    "send": {
        "Mailgun, 100,000 recipients, SQLite, 1 worker": Target(25_000, 50_000),
        "Mailgun, 100,000 recipients, SQLite, 1 worker, CPU": Target(35, 18),
        "Mailgun, 100,000 recipients, SQLite, 1 worker, peak memory": Target(120, 80),
        "Mailgun, 100,000 recipients, SQLite, 1 worker, 300 ms answers": Target(15_000, 30_000),
        "Mailgun, 100,000 recipients, SQLite, 2 workers": Target(40_000, 90_000),
        "Mailgun, 100,000 recipients, PostgreSQL, 2 workers": Target(20_000, 45_000),
        "Mailgun, 1,000,000 recipients, SQLite, 1 worker": Target(25_000, 50_000),
        "Mailgun, 1,000,000 recipients, SQLite, 1 worker, CPU": Target(35, 18),
        "Mailgun, 1,000,000 recipients, SQLite, 1 worker, peak memory": Target(120, 80),
        "Mailgun, 1,000,000 recipients, SQLite, 2 workers": Target(40_000, 90_000),
        "Mailgun, 1,000,000 recipients, PostgreSQL, 1 worker, peak memory": Target(120, 80),
        "Mailgun, 1,000,000 recipients, PostgreSQL, 2 workers": Target(20_000, 45_000),
        "Mailgun, time for 1,000,000 / time for 100,000, SQLite, 1 worker": Target(11, 10),
        "Mailgun, time for 1,000,000 / time for 100,000, PostgreSQL, 1 worker": Target(11, 10),
        "Mailgun, memory from 100,000 to 1,000,000, SQLite, 1 worker": Target(30, 15),
        "Mailgun, memory from 100,000 to 1,000,000, PostgreSQL, 1 worker": Target(30, 15),
        "Resend, 100,000 recipients, SQLite, 1 worker": Target(6_000, 10_000),
        "SMTP, 10,000 recipients, SQLite, 1 worker": Target(3_000, 8_000),
        "SMTP over 50 connections, 10,000 recipients, SQLite, 1 worker, 50 ms answers": Target(833, 2_500),
    },
    "smtp": {
        "13 kB messages, 8 connections": Target(3_000, 8_000),
    },
    "limits": {  # of what is allowed
        "1 a second, 1 worker": Target(2, 1),
        "1 a second, 3 workers": Target(2, 1),
        "14 a second, 1 worker": Target(2, 1),
        "14 a second, 3 workers": Target(2, 1),
        "100 a second, 1 worker": Target(2, 1),
        "100 a second, 3 workers": Target(2, 1),
        "1,000 a second, 1 worker": Target(2, 1),
        "1,000 a second, 3 workers": Target(2, 1),
    },
    "beside": {
        "a campaign beside a provider that is throttled": Target(5, 2),
        "a campaign beside a provider that is failing": Target(5, 2),
        "a campaign beside a provider that is slow": Target(5, 2),
    },
    "latency": {
        "file written to first acceptance, 1,000 articles, p95": Target(2, 0.5),
        "file written to first acceptance, 10,000 articles, p95": Target(2, 0.5),
    },
    "networks": {
        "one article to 10 networks": Target(10, 3),
    },
    "web": {
        "events verified, kept and answered, 1 process": Target(2_500, 5_000),
        "CSV of 1,000,000 rows": Target(20_000, 60_000),
    },
    "cli": {
        "distributor --help": Target(0.4, 0.25),
        "distributor articles, 10,000 files": Target(0.8, 0.5),
    },
    "import": {
        "CSV of 100,000 rows, SQLite": Target(20_000, 60_000),
        "CSV of 100,000 rows, PostgreSQL": Target(20_000, 60_000),
    },
}
