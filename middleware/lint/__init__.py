"""A development tool that watches an application and its server keep the ASGI specification.

from middleware.lint import LintMiddleware

application = LintMiddleware(application)
"""

from .errors import LintError as LintError
from .middleware import LintMiddleware as LintMiddleware

LintError.__module__ = __name__  # the name that tracebacks show is the one to import
