"""The project of the real servers with Lint in front of it."""

from middleware.lint import LintMiddleware

from . import project

application = LintMiddleware(project.application)
trio_application = LintMiddleware(project.trio_application)
