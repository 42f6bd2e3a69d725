"""The two errors of the package `docker` that the tests of py-consul name."""


class APIError(Exception):
    pass


class NotFound(APIError):
    pass
