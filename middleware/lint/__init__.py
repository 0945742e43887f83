"""A development tool that watches an application and its server keep the ASGI specification.

from middleware.lint import LintMiddleware

application = LintMiddleware(application)
"""

from .errors import LintError as LintError
from .middleware import LintMiddleware as LintMiddleware
