"""Renderers: the same report, printed in different ways; no arithmetic here."""

from unseen.renderers.printing import show as show
from unseen.renderers.printing import show_attack as show_attack
from unseen.renderers.printing import show_catalogue as show_catalogue
