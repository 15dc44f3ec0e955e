"""Other people's models, each made a `Classifier`.

Begin with `load`, which says what can be had; every other module knows how some of them are packed.
"""

from ..registry import import_modules

import_modules(__name__, __path__)
