"""The part of Django that programs import after `balsam`: ours where there is no Django, and never in its way."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.acceptance.facade import Facade


def run(code: str, *paths: Path) -> str:
    """What a program prints, with these folders first on its path."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([*map(str, paths), os.environ.get("PYTHONPATH", "")])}
    words = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)]
    done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_the_facade_raises_is_what_programs_catch(facade: Facade) -> None:
    from django.core.exceptions import FieldError, MultipleObjectsReturned, ObjectDoesNotExist, ValidationError

    from balsam_core.errors import BalsamError

    job, app = facade.BalsamJob, facade.models.ApplicationDefinition
    for model in (job, app, facade.models.QueuedLaunch):
        assert issubclass(model.DoesNotExist, ObjectDoesNotExist)
        assert issubclass(model.MultipleObjectsReturned, MultipleObjectsReturned)
    assert job.DoesNotExist is not app.DoesNotExist
    assert issubclass(facade.models.InvalidStateError, ValidationError)
    assert issubclass(facade.models.InvalidParentsError, ValidationError)
    assert all(issubclass(error, BalsamError) for error in (ObjectDoesNotExist, FieldError, ValidationError))
    with pytest.raises(ObjectDoesNotExist):
        app.objects.get(name="nobody")


def test_a_transaction_is_a_block_and_a_decorator(facade: Facade) -> None:
    from django.db import transaction

    atomic = transaction.atomic
    with atomic(), transaction.atomic(using="default"):
        facade.add("a")

    @transaction.atomic  # type: ignore[untyped-decorator]
    def add(name: str) -> int:
        """A method of a program."""
        facade.add(name)
        return 1

    @transaction.atomic()  # type: ignore[untyped-decorator]
    def add_more(name: str) -> int:
        """Another one."""
        return int(add(name)) + 1

    assert (add("b"), add_more("c"), add.__name__) == (1, 2, "add")
    called: list[int] = []
    transaction.on_commit(lambda: called.append(1))
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        raise ZeroDivisionError
    assert (facade.names(facade.BalsamJob.objects.all()), called) == (["a", "b", "c"], [1])


def test_settings_connections_and_times_have_djangos_names(facade: Facade) -> None:
    from django.conf import settings
    from django.db import connection, connections
    from django.db.models.query import QuerySet
    from django.utils import timezone

    import balsam

    assert settings.BALSAM_WORK_DIRECTORY == str(facade.path / "data") == balsam.settings.BALSAM_WORK_DIRECTORY
    assert settings.DATABASES["default"]["NAME"] == str(facade.path / "balsam.db")
    assert str(facade.path / "log") == settings.LOGGING_DIRECTORY
    with pytest.raises(AttributeError, match="did you mean 'BALSAM_PATH'"):
        _ = settings.BALSAM_PATHS
    connections.close_all()
    connection.close()
    assert isinstance(facade.BalsamJob.objects.filter(name="a"), QuerySet)
    assert facade.BalsamJob.objects.filter(tick__lte=timezone.now()).count() == 0
    facade.add("a")
    assert facade.BalsamJob.objects.filter(tick__lte=timezone.now()).count() == 1


def test_setup_version_and_log_files(facade: Facade) -> None:
    import logging

    import balsam
    import balsam_core

    balsam.setup()
    assert balsam.__version__ == balsam_core.__version__
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    try:
        path = Path(balsam.config_logging("program"))
        logging.getLogger("program").warning("written down")
        assert path.parent == facade.path / "log"
        assert path.read_text().rstrip().endswith("written down")
    finally:
        for handler in set(root.handlers) - set(before):
            root.removeHandler(handler)
            handler.close()
        root.setLevel(level)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        balsam.nonsense  # noqa: B018


def test_a_django_that_is_installed_is_not_shadowed(facade: Facade, tmp_path: Path) -> None:
    real = tmp_path / "real" / "django"
    (real / "core").mkdir(parents=True)
    (real / "db").mkdir()
    (real / "__init__.py").touch()
    (real / "conf.py").write_text("class settings:\n    configured = True\n")
    (real / "core" / "__init__.py").touch()
    names = ["FieldDoesNotExist", "FieldError", "MultipleObjectsReturned", "ObjectDoesNotExist", "ValidationError"]
    classes = "".join(f"class {name}(Exception): pass\n" for name in names)
    (real / "core" / "exceptions.py").write_text(classes)
    (real / "db" / "__init__.py").touch()
    (real / "db" / "utils.py").write_text(
        "class IntegrityError(Exception): pass\nclass NotSupportedError(Exception): pass\n"
    )
    code = """
        from balsam.launcher import dag
        from django.core.exceptions import ObjectDoesNotExist
        import django
        print(django.__file__)
        try:
            dag.BalsamJob.objects.get(name="nobody")
        except ObjectDoesNotExist as error:
            print(error)
        try:
            from django.db import transaction
        except ImportError:
            print("no mixture")
    """
    assert run(code, real.parent).splitlines() == [
        str(real / "__init__.py"),
        "no BalsamJob matches name='nobody'",
        "no mixture",
    ]


def test_without_balsam_there_is_no_django(tmp_path: Path) -> None:
    code = """
        try:
            import django
        except ImportError:
            print("none")
        import balsam
        import django.db.transaction
        print(django.is_balsams_stand_in)
    """
    assert run(code) == "none\nTrue\n"


def test_the_other_project_of_that_name_is_named(tmp_path: Path) -> None:
    (tmp_path / "balsam-0.7.0.dist-info").mkdir()
    words = [sys.executable, "-c", "import balsam"]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([os.environ.get("PYTHONPATH", ""), str(tmp_path)])}
    done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=60, check=True)
    assert "the distribution balsam-0.7.0 is another project that installs a package 'balsam' too" in done.stderr
    assert "pip uninstall balsam" in done.stderr
