"""Logs in with drivers for Python as standard input says, and prints the errors as data with their verdicts.

Input and output are JSON: a list of `{"driver", "login"}`, and a list of errors, null where a login succeeded.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import inspect
import json
import logging
import sys
import urllib.request
from collections.abc import Callable
from typing import Any

from keystart.rejections import classify

Login = dict[str, Any]


def psycopg(login: Login) -> None:
    import psycopg

    with psycopg.connect(**_libpq(login)) as connection:
        connection.execute(login.get("query", "SELECT 1"))


async def psycopg_async(login: Login) -> None:
    import psycopg

    async with await psycopg.AsyncConnection.connect(**_libpq(login)) as connection:
        await connection.execute(login.get("query", "SELECT 1"))


def psycopg_pool(login: Login) -> None:
    import psycopg_pool

    with (
        psycopg_pool.ConnectionPool(kwargs=_libpq(login), min_size=0, timeout=0.3, open=True) as pool,
        pool.connection() as connection,
    ):
        connection.execute(login.get("query", "SELECT 1"))


def psycopg2(login: Login) -> None:
    import psycopg2

    with psycopg2.connect(**_libpq(login)) as connection:
        connection.cursor().execute(login.get("query", "SELECT 1"))


async def asyncpg(login: Login) -> None:
    import asyncpg

    place = {key: login[key] for key in ("host", "port", "user", "password", "database")}
    connection = await asyncpg.connect(**place, ssl=False)
    try:
        await connection.fetch(login.get("query", "SELECT 1"))
    finally:
        await connection.close()


def pg8000(login: Login) -> None:
    import pg8000.dbapi

    place = {key: login[key] for key in ("host", "port", "user", "password", "database")}
    connection = pg8000.dbapi.connect(**place)
    connection.cursor().execute(login.get("query", "SELECT 1"))


def _sqlalchemy(dialect: str) -> Callable[[Login], None]:
    def connect(login: Login) -> None:
        import sqlalchemy

        place = (login[key] for key in ("user", "password", "host", "port", "database"))
        engine = sqlalchemy.create_engine(sqlalchemy.URL.create(dialect, *place))
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(login.get("query", "SELECT 1")))

    return connect


def pymysql(login: Login) -> None:
    import pymysql

    connection = pymysql.connect(**_mysql(login))
    connection.cursor().execute(login.get("query", "SELECT 1"))


async def asyncmy(login: Login) -> None:
    import asyncmy

    connection = await asyncmy.connect(**_mysql(login))
    try:
        async with connection.cursor() as cursor:
            await cursor.execute(login.get("query", "SELECT 1"))
    finally:
        connection.close()


def mysqlclient(login: Login) -> None:
    import MySQLdb

    connection = MySQLdb.connect(**_mysql(login))
    connection.cursor().execute(login.get("query", "SELECT 1"))


def mysql_connector(login: Login) -> None:
    import mysql.connector

    connection = mysql.connector.connect(**_mysql(login), use_pure=True)
    connection.cursor().execute(login.get("query", "SELECT 1"))


def mariadb(login: Login) -> None:
    import mariadb

    connection = mariadb.connect(**_mysql(login))
    connection.cursor().execute(login.get("query", "SELECT 1"))


def redis(login: Login) -> None:
    import redis

    client = redis.Redis(login["host"], login["port"], username=login["user"], password=login["password"])
    client.execute_command(*login.get("query", "PING").split())


def valkey(login: Login) -> None:
    import valkey

    client = valkey.Valkey(login["host"], login["port"], username=login["user"], password=login["password"])
    client.execute_command(*login.get("query", "PING").split())


async def redis_async(login: Login) -> None:
    import redis.asyncio

    client = redis.asyncio.Redis(
        host=login["host"], port=login["port"], username=login["user"], password=login["password"]
    )
    try:
        await client.execute_command(*login.get("query", "PING").split())
    finally:
        await client.aclose()


def requests(login: Login) -> None:
    import requests

    requests.get(login["url"], auth=(login["user"], login["password"]), timeout=5).raise_for_status()


def httpx(login: Login) -> None:
    import httpx

    httpx.get(login["url"], auth=(login["user"], login["password"])).raise_for_status()


def urllib_request(login: Login) -> None:
    urllib.request.urlopen(login["url"])  # noqa: S310  # a server of this test on loopback


async def aiohttp(login: Login) -> None:
    import aiohttp

    async with aiohttp.ClientSession(raise_for_status=True) as session:
        await session.get(login["url"])


def pika(login: Login) -> None:
    import pika

    credentials = pika.PlainCredentials(login["user"], login["password"] or "")
    pika.BlockingConnection(pika.ConnectionParameters(login["host"], login["port"], credentials=credentials))


def oracledb(login: Login) -> None:
    import oracledb
    from oracledb import errors

    raise oracledb.DatabaseError(errors._Error(login["message"], code=login["code"]))


def pymssql(login: Login) -> None:
    import pymssql

    raise pymssql.OperationalError((login["code"], login["message"].encode()))


def pymongo(login: Login) -> None:
    import pymongo.errors

    answer = {"ok": 0, "errmsg": login["message"], "code": login["code"], "codeName": login["codeName"]}
    raise pymongo.errors.OperationFailure(login["message"], login["code"], answer)


def _libpq(login: Login) -> dict[str, Any]:
    place = {key: login[key] for key in ("host", "port", "user", "password") if login[key] is not None}
    return {**place, "dbname": login["database"], "connect_timeout": 5}


def _mysql(login: Login) -> dict[str, Any]:
    keys = ("host", "port", "user", "password", "database")
    return {key: login[key] for key in keys if login[key] is not None}


# What connects, and the package whose version counts.
DRIVERS: dict[str, tuple[Callable[[Login], Any], str]] = {
    "psycopg": (psycopg, "psycopg"),
    "psycopg, asynchronous": (psycopg_async, "psycopg"),
    "psycopg_pool": (psycopg_pool, "psycopg-pool"),
    "psycopg2": (psycopg2, "psycopg2-binary"),
    "asyncpg": (asyncpg, "asyncpg"),
    "pg8000": (pg8000, "pg8000"),
    "SQLAlchemy with psycopg": (_sqlalchemy("postgresql+psycopg"), "SQLAlchemy"),
    "SQLAlchemy with pg8000": (_sqlalchemy("postgresql+pg8000"), "SQLAlchemy"),
    "SQLAlchemy with PyMySQL": (_sqlalchemy("mysql+pymysql"), "SQLAlchemy"),
    "PyMySQL": (pymysql, "PyMySQL"),
    "asyncmy": (asyncmy, "asyncmy"),
    "mysqlclient": (mysqlclient, "mysqlclient"),
    "mysql-connector-python": (mysql_connector, "mysql-connector-python"),
    "mariadb": (mariadb, "mariadb"),
    "redis": (redis, "redis"),
    "redis, asynchronous": (redis_async, "redis"),
    "valkey": (valkey, "valkey"),
    "requests": (requests, "requests"),
    "httpx": (httpx, "httpx"),
    "urllib": (urllib_request, ""),
    "aiohttp": (aiohttp, "aiohttp"),
    "pika": (pika, "pika"),
    "oracledb": (oracledb, "oracledb"),
    "pymssql": (pymssql, "pymssql"),
    "pymongo": (pymongo, "pymongo"),
}


def main() -> None:
    logging.disable()  # pools log what they cannot raise
    json.dump([_try(each["driver"], each["login"]) for each in json.load(sys.stdin)], sys.stdout)


def _try(name: str, login: Login) -> dict[str, Any]:
    connect, package = DRIVERS[name]
    try:
        version = importlib.metadata.version(package) if package else ".".join(map(str, sys.version_info[:2]))
    except importlib.metadata.PackageNotFoundError:
        return {"missing": package}
    try:
        result = connect(login)
        if inspect.isawaitable(result):
            asyncio.run(_awaited(result))
    except Exception as error:
        return {"version": version, "error": described(error), "verdict": classify(error)}
    return {"version": version, "error": None, "verdict": None}


async def _awaited(result: Any) -> Any:
    return await result


def described(error: BaseException, depth: int = 0) -> dict[str, Any]:
    """Returns an error as data: its classes, text, arguments, simple attributes and causes."""
    names = [f"{each.__module__}.{each.__qualname__}" for each in type(error).__mro__]
    found: dict[str, Any] = {
        "classes": names[: -len(Exception.__mro__)],
        "text": str(error),
        "args": [_simple(each) for each in error.args],
        "attributes": _attributes(error),
    }
    if depth < 3:
        for key in ("__cause__", "__context__", "orig"):
            value = getattr(error, key, None)
            hidden = key == "__context__" and (error.__suppress_context__ or error.__cause__ is not None)
            if isinstance(value, BaseException) and not hidden:
                found[key] = described(value, depth + 1)
    return {key: value for key, value in found.items() if value not in ({}, [])}


def _attributes(error: BaseException) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in dir(error):
        if name.startswith("_") or name in ("args", "traceback", "orig"):
            continue
        try:
            value = getattr(error, name)
        except AttributeError:  # characters_written of an OSError
            continue
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            found[name] = value
        elif hasattr(value, "status_code"):
            found[name] = {"status_code": value.status_code}
    return found


def _simple(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"bytes": value.decode()}
    if isinstance(value, tuple):
        return {"tuple": [_simple(each) for each in value]}
    if isinstance(value, dict):
        return {key: _simple(each) for key, each in value.items()}
    if value is None or isinstance(value, (str, int)):
        return value
    return (
        {"attributes": {key: each for key, each in vars(value).items() if isinstance(each, (str, int))}}
        if hasattr(value, "__dict__")
        else repr(value)
    )


if __name__ == "__main__":
    main()
