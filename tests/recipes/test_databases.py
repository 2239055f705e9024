"""Each recipe of docs/databases.md logs in to a real server in the middle of a rotation, as it stands on the page.

The server already has the new password, and the published secret has the old one. The writer is scripted: it names
the pending version as a candidate. The server, its refusal and the login after it are real.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("psycopg", reason="tests/servers/requirements.lock is not installed: ./dev recipes does")

from tests import ROOT
from tests.conformance.scripted import ScriptedWriter
from tests.conformance.store import build
from tests.docs.pages import NODE, RUBY, blocks
from tests.servers import ServerMissingError, mariadb, postgresql, redis

PAGE = ROOT / "docs/databases.md"
OLD, NEW = os.urandom(12).hex(), os.urandom(12).hex()
BLOCKS = {block.file: block for block in blocks(PAGE)}
RUN = {"python": [sys.executable], "js": ["node"], "ruby": ["ruby", "-w"]}
SUFFIX = {"python": "py", "js": "mjs", "ruby": "rb"}
Server = postgresql.PostgreSQL | mariadb.MariaDB | redis.Redis

# The server that each recipe needs, and a program that prints which user it has logged in as, twice.
WHO = "select current_user as who"
PROGRAMS = {
    "psycopg_pool_recipe.py": (
        postgresql,
        f"""
from psycopg_pool_recipe import LoginConnection, pool
with pool.connection(timeout=20) as connection:
    print(connection.execute("{WHO}").fetchone()[0])
with pool.connection(timeout=20) as connection:
    print(connection.execute("{WHO}").fetchone()[0])
pool.close()
""",
    ),
    "sqlalchemy_recipe.py": (
        mariadb,
        """
import sqlalchemy
from sqlalchemy_recipe import engine
for _ in range(2):
    with engine.connect() as connection:
        print(connection.execute(sqlalchemy.text("select user()")).scalar().partition("@")[0])
engine.dispose()
""",
    ),
    "asyncpg_recipe.py": (
        postgresql,
        f"""
import asyncio
from asyncpg_recipe import create_pool
async def main():
    async with create_pool() as pool:
        for _ in range(2):
            print(await pool.fetchval("{WHO}"))
asyncio.run(main())
""",
    ),
    "sqlalchemy_async_recipe.py": (
        postgresql,
        f"""
import asyncio
import sqlalchemy
from sqlalchemy_async_recipe import engine
async def main():
    for _ in range(2):
        async with engine.connect() as connection:
            print((await connection.execute(sqlalchemy.text("{WHO}"))).scalar())
    await engine.dispose()
asyncio.run(main())
""",
    ),
    "rotating_postgresql/base.py": (
        postgresql,
        f"""
import django
from django.conf import settings
settings.configure(DATABASES={{"default": {{"ENGINE": "rotating_postgresql", "NAME": "shop"}}}})
django.setup()
from django.db import connection
for _ in range(2):
    with connection.cursor() as cursor:
        cursor.execute("{WHO}")
        print(cursor.fetchone()[0])
connection.close()
""",
    ),
    "redis_recipe.py": (
        redis,
        """
from redis_recipe import client
for _ in range(2):
    print(client.execute_command("ACL", "WHOAMI").decode())
client.close()
""",
    ),
    "postgres_recipe.mjs": (
        postgresql,
        f"""
import {{ pool }} from './postgres_recipe.mjs';
for (let turn = 0; turn < 2; turn += 1) {{
  console.log(await pool.use(async (client) => (await client.query('{WHO}')).rows[0].who));
}}
const lost = await pool.acquire();
await lost.query('select pg_terminate_backend(pg_backend_pid())').catch(() => {{}});
await pool.release(lost);
console.log(await pool.use(async (client) => (await client.query('{WHO}')).rows[0].who));
await pool.drain();
await pool.clear();
""",
    ),
    "pg_pool_recipe.mjs": (
        postgresql,
        f"""
import {{ pool }} from './pg_pool_recipe.mjs';
const ids = new Set();
for (let turn = 0; turn < 2; turn += 1) {{
  const {{ rows }} = await pool.query('{WHO}, pg_backend_pid() as id');
  console.log(rows[0].who);
  ids.add(rows[0].id);
}}
if (ids.size !== 1 || pool.totalCount !== 1 || pool.idleCount !== 1) throw new Error('the pool keeps no connection');
let lost;
pool.on('error', (error) => (lost = error));
const other = await pool.connect();
other.release(true);
if (pool.totalCount !== 0) throw new Error('the pool keeps a client that was released with an error');
await pool.end();
if (lost) throw lost;
""",
    ),
    "prisma_recipe.mjs": (
        postgresql,
        f"""
import {{ adapter }} from './prisma_recipe.mjs';
import {{ pool }} from './pg_pool_recipe.mjs';
const database = await adapter.connect();
for (let turn = 0; turn < 2; turn += 1) {{
  const {{ rows }} = await database.queryRaw({{ sql: '{WHO}', args: [], argTypes: [] }});
  console.log(rows[0][0]);
}}
await database.dispose();
await pool.end();
""",
    ),
    "sequelize_recipe.mjs": (
        postgresql,
        f"""
import {{ sequelize }} from './sequelize_recipe.mjs';
for (let turn = 0; turn < 2; turn += 1) {{
  const [[{{ who }}]] = await sequelize.query('{WHO}');
  console.log(who);
}}
await sequelize.close();
""",
    ),
    "mysql_recipe.mjs": (
        mariadb,
        """
import { pool } from './mysql_recipe.mjs';
for (let turn = 0; turn < 2; turn += 1) {
  const [[{ who }]] = await pool.use((connection) => connection.query('select user() as who'));
  console.log(who.split('@')[0]);
}
const lost = await pool.acquire();
await lost.query('kill connection_id()').catch(() => {});
await pool.release(lost);
const [[{ who }]] = await pool.use((connection) => connection.query('select user() as who'));
console.log(who.split('@')[0]);
await pool.drain();
await pool.clear();
""",
    ),
    "ioredis_recipe.mjs": (
        redis,
        """
import { connect } from './ioredis_recipe.mjs';
const client = await connect();
for (let turn = 0; turn < 2; turn += 1) console.log(await client.call('ACL', 'WHOAMI'));
await client.quit();
""",
    ),
    "node_redis_recipe.mjs": (
        redis,
        """
import { connect } from './node_redis_recipe.mjs';
const client = await connect();
for (let turn = 0; turn < 2; turn += 1) console.log(await client.sendCommand(['ACL', 'WHOAMI']));
await client.close();
""",
    ),
    "pg_recipe.rb": (
        postgresql,
        f"""
require_relative "pg_recipe"
connection = connect
2.times {{ puts connection.exec("{WHO}").getvalue(0, 0) }}
connection.close
""",
    ),
    "sequel_recipe.rb": (
        postgresql,
        f"""
require_relative "sequel_recipe"
2.times {{ puts DB["{WHO}"].first[:who] }}
DB.disconnect
""",
    ),
    "active_record_recipe.rb": (
        postgresql,
        f"""
require_relative "active_record_recipe"
connect
2.times {{ puts ActiveRecord::Base.connection.select_value("{WHO}") }}
ActiveRecord::Base.remove_connection
""",
    ),
}


# Programs whose pool then loses its connection, opens another one, and prints who it is once more.
LOSING = {"postgres_recipe.mjs", "mysql_recipe.mjs"}
# Programs that log in once more: those, and Sequelize, which first asks for the version of the server.
TWICE = {*LOSING, "sequelize_recipe.mjs"}


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[Any, Server]]:
    """Runs the servers. The role `first` has a new password, and `second` is whom the pending version names."""
    try:
        with ExitStack() as stack:
            running: dict[Any, Any] = {
                module: stack.enter_context(module.serve()) for module in (postgresql, mariadb, redis)
            }
            for server in running.values():
                server.set_password("first", NEW)
                server.set_password("second", NEW)
            running[postgresql].create_database("shop")
            with running[mariadb].admin.cursor() as cursor:
                cursor.execute("CREATE DATABASE shop")
                cursor.execute("GRANT ALL ON shop.* TO second@'%'")
            yield running
    except ServerMissingError as error:
        pytest.skip(str(error))


def test_each_recipe_of_the_page_is_run() -> None:
    assert set(BLOCKS) == set(PROGRAMS)


@pytest.mark.parametrize("file", PROGRAMS)
def test_a_recipe_logs_in_with_the_pending_version(
    file: str, servers: dict[Any, Server], tmp_path: Path
) -> None:
    module, program = PROGRAMS[file]
    server = servers[module]
    name = "cache" if module is redis else "db"
    root = tmp_path / "keystart"
    place = {"host": server.host, "port": server.port, "dbname": "shop"}
    old = {**place, "username": "first", "password": OLD}
    new = {**place, "username": "second", "password": NEW}
    build(root, {"base": "good", "generation": 3, "secrets": {name: {"json": old}}})
    yes = {"format": "keystart.control/1", "ok": True, "generation": 3, "failures": {}}
    pending = {"generation": 4, "secrets": {name: {"json": new}}, "current": "generations/3"}
    answers = [
        {"line": {"json": yes}},
        {"line": {"json": yes}},
        {"change": pending, "line": {"json": {**yes, "candidate": 4}}},
        {"line": {"json": yes}},
        {"line": {"json": {**yes, "candidate": 4}}},
        {"line": {"json": yes}},
    ]
    with ScriptedWriter(root, {"answers": answers}) as writer:
        output = run(BLOCKS[file].language, program, tmp_path, root)
    assert output.split() == ["second"] * (3 if file in LOSING else 2)
    again = [("try", None), ("accepted", 4)] if file in TWICE else []
    assert [(request["op"], request["generation"]) for request in writer.requests] == [
        ("try", None),
        ("rejected", 3),
        ("try", 3),
        ("accepted", 4),
        *again,
    ]


def run(language: str, program: str, folder: Path, root: Path) -> str:
    """Runs a program that imports a recipe, in a folder that has the recipes, the reader and the drivers."""
    for file, block in BLOCKS.items():
        assert file
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(block.code)
    main = folder / f"main.{SUFFIX[language]}"
    main.write_text(program)
    modules = folder / "node_modules"
    modules.mkdir()
    for each in (ROOT / "tests/servers/node/node_modules").iterdir():
        (modules / each.name).symlink_to(each)
    (modules / "keystart").symlink_to(NODE)
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("KEYSTART_")},
        "KEYSTART_DIR": str(root),
        "RUBYLIB": str(RUBY / "lib"),
    }
    done = subprocess.run(
        [*RUN[language], str(main)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    for password in (OLD, NEW):
        assert password not in done.stdout + done.stderr
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
