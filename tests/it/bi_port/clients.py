"""Reads the BI port with unmodified Python clients; `make bi-clients` runs it.

Arguments: host, port, a token of the platform and one of the site mia. The collector has counted
22 hits of mia and 12 of tom on 2026-03-10, and 2 of mia on the day after.
"""

import sys

import clickhouse_connect
import sqlalchemy
from clickhouse_connect.driver.exceptions import DatabaseError

HOST, PORT, PLATFORM, MIA = sys.argv[1:]
TOTALS = "SELECT site, sum(hits) AS hits FROM daily_totals GROUP BY site ORDER BY site"


def equal(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: {found!r} instead of {expected!r}")
    print(f"{what}: {found!r}")


def client(token):
    return clickhouse_connect.get_client(
        host=HOST, port=int(PORT), username="me", password=token, database="footfall_bi"
    )


def connect():
    everything, mia = client(PLATFORM), client(MIA)
    equal("connect: platform", everything.query(TOTALS).result_rows, [("mia", 24), ("tom", 12)])
    equal("connect: mia", mia.query(TOTALS).result_rows, [("mia", 24)])
    day = {"day": "2026-03-10"}
    of_day = "SELECT sum(hits) FROM daily_totals WHERE day = {day:Date}"
    equal("connect: parameter", everything.query(of_day, parameters=day).result_rows, [(34,)])
    with everything.query_row_block_stream("SELECT number FROM numbers(100000)") as blocks:
        equal("connect: stream", sum(len(block) for block in blocks), 100000)
    refused = 0
    for attempt in (
        lambda: everything.insert("sites", [["x"]], column_names=["site"]),
        lambda: everything.command("DROP VIEW sites"),
        lambda: client("ff_wrong"),
    ):
        try:
            attempt()
        except DatabaseError:
            refused += 1
    equal("connect: refused", refused, 3)


def alchemy():
    engine = sqlalchemy.create_engine(f"clickhousedb://me:{PLATFORM}@{HOST}:{PORT}/footfall_bi")
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(sqlalchemy.text(TOTALS))]
        equal("sqlalchemy: statement", rows, [("mia", 24), ("tom", 12)])
        names = sqlalchemy.inspect(engine).get_table_names()
        equal("sqlalchemy: tables", ("daily_totals" in names, len(names)), (True, 13))
        totals = sqlalchemy.Table("daily_totals", sqlalchemy.MetaData(), autoload_with=engine)
        columns = [column.name for column in totals.columns]
        equal("sqlalchemy: columns", columns[:3], ["site", "day", "hits"])
        hits = sqlalchemy.func.sum(totals.c.hits)
        query = sqlalchemy.select(totals.c.site, hits).group_by(totals.c.site).order_by(hits)
        built = [tuple(row) for row in connection.execute(query)]
        equal("sqlalchemy: built", built, [("tom", 12), ("mia", 24)])


connect()
alchemy()
print("bi_clients=2")
