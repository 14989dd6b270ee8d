"""The report as one HTML page that can be mailed: everything inside, nothing fetched."""

from jaxsim.report.page.figures import FIGURES
from jaxsim.report.page.write import write_page

__all__ = ["FIGURES", "write_page"]
