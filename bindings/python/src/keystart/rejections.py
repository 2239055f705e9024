"""Says whether an error means that a server refused a login. It knows drivers by name and imports none."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Literal, NamedTuple

__all__ = ["Verdict", "classify", "with_causes"]

Verdict = Literal["rejected", "locked"]

_DEPTH = 8  # limits.toml: attempt.causes
_ERRORS = 64  # that one error may lead to; a group can hold many
_LETTERS = 4096  # of a message


class _Server(NamedTuple):
    """What a server's refusals look like, whatever the driver."""

    codes: Mapping[str, Verdict]
    need_words: frozenset[str]  # codes that also mean something else
    routines: frozenset[str]  # of the server, which decide for such a code as words do
    words: Mapping[Verdict, Sequence[str]]  # sentences, with %s for what differs


class _Driver(NamedTuple):
    """Where a driver's errors carry what a server said: paths, of which the first with a value counts."""

    server: str
    classes: frozenset[str]
    code: Sequence[str] = ()
    routine: Sequence[str] = ()
    words: Sequence[str] = ()


def classify(error: BaseException, handled: BaseException | None = None) -> Verdict | None:
    """Returns "rejected" or "locked" if the error, or one of its causes, is a login that a server refused.

    `handled` is the exception that the caller handles already. Python makes it the context of every new one,
    so neither it nor its causes count.
    """
    verdicts = {_verdict(each) for each in with_causes(error, handled)}
    return "locked" if "locked" in verdicts else "rejected" if "rejected" in verdicts else None


def with_causes(error: BaseException, handled: BaseException | None = None) -> Iterator[BaseException]:
    """Yields the error, then its causes, level by level."""
    seen: set[int] = set()
    level = [error]
    for _ in range(_DEPTH + 1):
        below: list[BaseException] = []
        for each in level:
            if each is handled or id(each) in seen or len(seen) == _ERRORS:
                continue
            seen.add(id(each))
            yield each
            below.extend(_causes(each))
        level = below


def _causes(error: BaseException) -> Iterator[BaseException]:
    inner = [error.__cause__]
    if error.__cause__ is None and not error.__suppress_context__:
        inner = [error.__context__]
    for name in _class_names(error):
        if member := _FOLLOWED.get(name):
            value = getattr(error, member, None)
            inner.extend(value if isinstance(value, (list, tuple)) else [value])
    yield from (each for each in inner if isinstance(each, BaseException))


def _verdict(error: BaseException) -> Verdict | None:
    names = _class_names(error)
    for driver in _DRIVERS:
        if not driver.classes.isdisjoint(names) and (verdict := _of_driver(error, driver)):
            return verdict
    return None


def _of_driver(error: BaseException, driver: _Driver) -> Verdict | None:
    server = _SERVERS[driver.server]
    code = _first(error, driver.code)
    if code is not None and code not in server.need_words:
        return server.codes.get(code)
    if code is not None and _first(error, driver.routine) in server.routines:
        return "rejected"
    text = _first(error, driver.words)
    if text is None:
        return None
    return next((verdict for verdict, sentences in _sentences(driver.server) if sentences.search(text)), None)


def _first(error: BaseException, paths: Sequence[str]) -> str | None:
    """Returns the first text or number that is at one of the paths, as text."""
    for path in paths:
        value: object = error
        for key in path.split("."):
            value = _member(value, key)
        if isinstance(value, bytes):
            return value[:_LETTERS].decode(errors="replace")
        if isinstance(value, str):
            return value[:_LETTERS]
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
    return None


def _member(value: object, key: str) -> object:
    try:
        if key == "str":
            return str(value)
        if isinstance(value, (list, tuple)):
            return value[int(key)]
        return value.get(key) if isinstance(value, Mapping) else getattr(value, key, None)
    except Exception:  # whatever a foreign class raises when one looks at it
        return None


def _class_names(error: BaseException) -> list[str]:
    return [f"{each.__module__}.{each.__qualname__}" for each in type(error).__mro__]


@cache
def _sentences(server: str) -> list[tuple[Verdict, re.Pattern[str]]]:
    """Returns the sentences of a server as one pattern for each verdict. They fill a line, or its end after a colon."""
    return [
        (verdict, re.compile(f"(?:^|:  )(?:{'|'.join(map(_escaped, texts))})$", re.MULTILINE))
        for verdict, texts in _SERVERS[server].words.items()
    ]


def _escaped(sentence: str) -> str:
    return re.escape(sentence).replace("%s", ".*")


# generated from contract/rejections.json: rules
_SERVERS: Mapping[str, _Server] = {
    "postgresql": _Server(
        {
            "28P01": "rejected",
        },
        frozenset(["28000", "08P01"]),
        frozenset(["InitializeSessionUserId"]),
        {
            "rejected": [
                'password authentication failed for user "%s"',
                "Passwort-Authentifizierung für Benutzer »%s« fehlgeschlagen",
                "la autentificación password falló para el usuario «%s»",
                "authentification par mot de passe échouée pour l'utilisateur  « %s »",
                "password gagal diotentikasi untuk pengguna  « %s »",
                'autenticazione con password fallita per l\'utente "%s"',
                'ユーザ"%s"のパスワード認証に失敗しました',
                'ユーザー"%s"のパスワード認証に失敗しました',
                'პაროლით ავთენტიფიკაცია მომხმარებლისთვის "%s" ვერ მოხერხდა',
                '사용자 "%s"의 password 인증을 실패했습니다',
                'autoryzacja hasłem nie powiodła się dla użytkownika "%s"',
                'autenticação do tipo senha falhou para o usuário "%s"',
                'пользователь "%s" не прошёл проверку подлинности (по паролю)',
                'Lösenordsautentisering misslyckades för användare "%s"',
                '"%s" kullanıcısı için şifre doğrulaması başarısız oldu',
                'користувач "%s" не пройшов автентифікацію за допомогою пароля',
                '用户 "%s" Password 认证失败',
                '用户 "%s" 的密码认证失败',
                '密碼驗證使用者 "%s" 失敗',
                'role "%s" does not exist',
                "Rolle »%s« existiert nicht",
                "no existe el rol «%s»",
                "le rôle « %s » n'existe pas",
                "role « %s » tidak ada",
                'il ruolo "%s" non esiste',
                'ロール"%s"は存在しません',
                'როლი არ არსებობს: "%s"',
                '"%s" 롤(role) 없음',
                'rola "%s" nie istnieje',
                'role "%s" não existe',
                'роль "%s" не существует',
                'rollen "%s" finns inte',
                '"%s" rolü mevcut değil',
                'роль "%s" не існує',
                '角色 "%s" 不存在',
                '角色 "%s" 不存在',
                'role "%s" is not permitted to log in',
                "Rolle »%s« hat keine Berechtigung zum Einloggen",
                "al rol «%s» no se le permite conectarse",
                "le rôle « %s » n'est pas autorisé à se connecter",
                "role « %s » tidak diperbolehkan untuk log in",
                'al ruolo "%s" non è consentito effettuare il login',
                'ロール"%s"はログインが許可されません',
                "როლს შესვლის უფლება არ აქვს: %s",
                '"%s" 롤은 접속을 허용하지 않음',
                'rola "%s" nie zezwala na logowanie',
                'role "%s" não tem permissão para entrar',
                'для роли "%s" вход запрещён',
                'roll "%s" tillåts inte logga in',
                ' "%s" rolünun sisteme giriş hakkı yoktur',
                'для ролі "%s" вхід не дозволений',
                '不允许角色"%s" 进行登录',
                '不允许角色 "%s" 进行登录',
                '不允許角色 "%s" 登入',
                'LDAP authentication failed for user "%s"',
                "LDAP-Authentifizierung für Benutzer »%s« fehlgeschlagen",
                "la autentificación LDAP falló para el usuario «%s»",
                "authentification LDAP échouée pour l'utilisateur « %s »",
                "LDAP gagal diotentikasi untuk pengguna « %s »",
                'autenticazione LDAP fallita per l\'utente "%s"',
                'Autenticazione LDAP fallita per l\'utente "%s"',
                'ユーザ"%s"のLDAP認証に失敗しました',
                'ユーザー"%s"のLDAP認証に失敗しました',
                'LDAP ავთენტიფიკაცია მომხმარებლისთვის "%s" ვერ მოხერხდა',
                '"%s" 사용자의 LDAP 인증을 실패했습니다.',
                'Autoryzacja LDAP nie powiodła się dla użytkownika "%s"',
                'autenticação do tipo LDAP falhou para o usuário "%s"',
                'пользователь "%s" не прошёл проверку подлинности (LDAP)',
                'LDAP-autentisering misslyckades för användare "%s"',
                '"%s" kullanıcısı için LDAP kimlik doğrulaması başarısız',
                'Користувач "%s" не пройшов автентифікацію LDAP',
                '对于用户 "%s"的LDAP认证失败',
                '用户 "%s" 的 LDAP 认证失败',
                'LDAP 驗證使用者 "%s" 失敗',
                'PAM authentication failed for user "%s"',
                "PAM-Authentifizierung für Benutzer »%s« fehlgeschlagen",
                "la autentificación PAM falló para el usuario «%s»",
                "authentification PAM échouée pour l'utilisateur « %s »",
                "PAM gagal di otentikasi untuk pengguna « %s »",
                'autenticazione PAM fallita per l\'utente "%s"',
                'Autenticazione PAM fallita per l\'utente "%s"',
                'ユーザ"%s"のPAM認証に失敗しました',
                'ユーザー"%s"のPAM認証に失敗しました',
                'PAM ავთენტიფიკაცია მომხმარებლისთვის "%s" ვერ მოხერხდა',
                '사용자 "%s"의 PAM 인증을 실패했습니다.',
                'Autoryzacja PAM nie powiodła się dla użytkownika "%s"',
                'autenticação do tipo PAM falhou para o usuário "%s"',
                'пользователь "%s" не прошёл проверку подлинности (PAM)',
                'PAM-autentisering misslyckades för användare "%s"',
                '"%s" kullanıcısı için PAM kimlik doğrulaması başarısız oldu',
                'Користувач "%s" не пройшов автентифікацію PAM',
                '用户 "%s" 认证 PAM 失败',
                '用户 "%s" 的 PAM 认证失败',
                'PAM 驗證使用者 "%s" 失敗',
                'RADIUS authentication failed for user "%s"',
                "RADIUS-Authentifizierung für Benutzer »%s« fehlgeschlagen",
                "la autentificación RADIUS falló para el usuario «%s»",
                "authentification RADIUS échouée pour l'utilisateur « %s »",
                "RADIUS gagal di otentikasi untuk pengguna « %s »",
                'autenticazione RADIUS fallita per l\'utente "%s"',
                'Autenticazione RADIUS fallita per l\'utente "%s"',
                'ユーザ"%s"の RADIUS 認証に失敗しました',
                'ユーザー"%s"の RADIUS 認証に失敗しました',
                'რადიუსით ავთენტიფიკაცია მომხმარებლისთვის "%s" ვერ მოხერხდა',
                '사용자 "%s"의 RADIUS 인증을 실패했습니다.',
                'autoryzacja RADIUS nie powiodła się dla użytkownika "%s"',
                'autenticação do tipo RADIUS falhou para o usuário "%s"',
                'пользователь "%s" не прошёл проверку подлинности (RADIUS)',
                'RADOUS-autentisering misslyckades för användare "%s"',
                '"%s" kullanıcısı için RADIUS kimlik doğrulaması başarısız oldu',
                'Користувач "%s" не пройшов автентифікацію RADIUS',
                '用户 "%s" 的RADIUS认证失败',
                '用户 "%s" 的 RADIUS 认证失败',
                'RADIUS 驗證使用者 "%s" 失敗',
                'BSD authentication failed for user "%s"',
                "BSD-Authentifizierung für Benutzer »%s« fehlgeschlagen",
                "la autentificación BSD falló para el usuario «%s»",
                "authentification BSD échouée pour l'utilisateur « %s »",
                'autenticazione BSD fallita per l\'utente "%s"',
                'Autenticazione BSD fallita per l\'utente "%s"',
                'ユーザ"%s"のBSD認証に失敗しました',
                'ユーザー"%s"のBSD認証に失敗しました',
                'BSD ავთენტიფიკაცია მომხმარებლისთვის "%s" ვერ მოხერხდა',
                '"%s" 사용자에 대한 BSD 인증을 실패했습니다.',
                'Autoryzacja BSD nie powiodła się dla użytkownika "%s"',
                'a autenticação BSD falhou para o usuário "%s"',
                'пользователь "%s" не прошёл проверку подлинности (BSD)',
                'BSD-autentisering misslyckades för användare "%s"',
                '"%s" kullanıcısı için BSD kimlik doğrulaması başarısız oldu',
                'Користувач "%s" не пройшов автентифікацію BSD',
                '对于用户 "%s" 的 BSD 认证失败',
                '用户 "%s" 的 BSD 认证失败',
                'BSD 驗證使用者 "%s" 失敗',
                "The password that was provided for the role %s is wrong.",
                "This RDS proxy has no credentials for the role %s. Check the credentials for this role and try again.",
                "SASL authentication failed",
                "password authentication failed",
            ],
        },
    ),
    "mysql": _Server(
        {
            "1045": "rejected",
            "1698": "rejected",
            "3118": "locked",
            "3955": "locked",
            "4150": "locked",
            "4151": "locked",
        },
        frozenset([]),
        frozenset([]),
        {},
    ),
    "redis": _Server(
        {},
        frozenset([]),
        frozenset([]),
        {
            "rejected": [
                "WRONGPASS %s",
                "invalid username-password pair or user is disabled.%s",
                "ERR invalid password",
                "invalid password",
            ],
        },
    ),
    "oracle": _Server(
        {
            "1017": "rejected",
            "ORA-01017": "rejected",
            "28000": "locked",
            "ORA-28000": "locked",
        },
        frozenset([]),
        frozenset([]),
        {},
    ),
    "sqlserver": _Server(
        {
            "18456": "rejected",
            "18486": "locked",
        },
        frozenset(["ELOGIN", "28000"]),
        frozenset([]),
        {
            "locked": [
                "%sLogin failed for user '%s' because the account is currently locked out.%s",
            ],
            "rejected": [
                "%sLogin failed for user '%s'.%s",
            ],
        },
    ),
    "mongodb": _Server(
        {
            "18": "rejected",
            "AuthenticationFailed": "rejected",
        },
        frozenset(["8000", "AtlasError"]),
        frozenset([]),
        {
            "rejected": [
                "bad auth : Authentication failed%s",
                "bad auth : authentication failed%s",
                "bad auth Authentication failed%s",
                "User %s is not authorized to access %s: bad auth : Authentication failed%s",
                "User %s is not authorized to access %s: bad auth : authentication failed%s",
                "User %s is not authorized to access %s: Authentication failed. (18: AuthenticationFailed)%s",
                "Authentication failed.",
            ],
        },
    ),
    "amqp": _Server(
        {},
        frozenset([]),
        frozenset([]),
        {
            "rejected": [
                "%sACCESS_REFUSED - Login was refused %s",
            ],
        },
    ),
    "http": _Server(
        {
            "401": "rejected",
        },
        frozenset([]),
        frozenset([]),
        {},
    ),
}
_DRIVERS: Sequence[_Driver] = [
    # psycopg, psycopg_pool
    _Driver(
        "postgresql",
        frozenset(["psycopg.Error"]),
        code=["sqlstate"],
        words=["str"],
    ),
    # psycopg2
    _Driver(
        "postgresql",
        frozenset(["psycopg2.Error"]),
        code=["pgcode"],
        words=["str"],
    ),
    # asyncpg
    _Driver(
        "postgresql",
        frozenset(["asyncpg.exceptions._base.PostgresError"]),
        code=["sqlstate"],
        routine=["server_source_function"],
        words=["str"],
    ),
    # pg8000
    _Driver(
        "postgresql",
        frozenset(["pg8000.exceptions.Error"]),
        code=["args.0.C"],
        routine=["args.0.R"],
        words=["args.0.M"],
    ),
    # redshift_connector
    _Driver(
        "postgresql",
        frozenset(["redshift_connector.error.Error"]),
        code=["args.0.C"],
        words=["args.0.M"],
    ),
    # PyMySQL, aiomysql
    _Driver(
        "mysql",
        frozenset(["pymysql.err.MySQLError"]),
        code=["args.0"],
    ),
    # asyncmy
    _Driver(
        "mysql",
        frozenset(["asyncmy.errors.MySQLError"]),
        code=["args.0"],
    ),
    # mysqlclient
    _Driver(
        "mysql",
        frozenset(["MySQLdb.MySQLError", "MySQLdb._exceptions.MySQLError"]),
        code=["args.0"],
    ),
    # mysql-connector-python
    _Driver(
        "mysql",
        frozenset(["mysql.connector.errors.Error"]),
        code=["errno"],
    ),
    # mariadb
    _Driver(
        "mysql",
        frozenset(["mariadb.Error", "mariadb_shared.exceptions.Error"]),
        code=["errno"],
    ),
    # redis, valkey
    _Driver(
        "redis",
        frozenset(["redis.exceptions.AuthenticationError", "valkey.exceptions.AuthenticationError"]),
        words=["str"],
    ),
    # oracledb
    _Driver(
        "oracle",
        frozenset(["oracledb.exceptions.Error"]),
        code=["args.0.code"],
    ),
    # pymssql
    _Driver(
        "sqlserver",
        frozenset(["pymssql.exceptions.Error"]),
        code=["args.0.0", "args.0"],
    ),
    # pyodbc
    _Driver(
        "sqlserver",
        frozenset(["pyodbc.Error"]),
        code=["args.0"],
        words=["args.1"],
    ),
    # pymongo
    _Driver(
        "mongodb",
        frozenset(["pymongo.errors.OperationFailure"]),
        code=["code"],
        words=["str"],
    ),
    # pika
    _Driver(
        "amqp",
        frozenset(["pika.exceptions.AMQPConnectionError"]),
        words=["str"],
    ),
    # aiormq, aio-pika
    _Driver(
        "amqp",
        frozenset(["aiormq.exceptions.ProbableAuthenticationError"]),
        words=["str"],
    ),
    # requests
    _Driver(
        "http",
        frozenset(["requests.exceptions.HTTPError"]),
        code=["response.status_code"],
    ),
    # httpx
    _Driver(
        "http",
        frozenset(["httpx.HTTPStatusError"]),
        code=["response.status_code"],
    ),
    # urllib
    _Driver(
        "http",
        frozenset(["urllib.error.HTTPError"]),
        code=["code"],
    ),
    # aiohttp
    _Driver(
        "http",
        frozenset(["aiohttp.client_exceptions.ClientResponseError"]),
        code=["status"],
    ),
]
_FOLLOWED: Mapping[str, str] = {
    "sqlalchemy.exc.StatementError": "orig",
    "builtins.BaseExceptionGroup": "exceptions",
    "exceptiongroup.BaseExceptionGroup": "exceptions",
}
# end of generated
