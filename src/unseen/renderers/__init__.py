"""Renderers: the same report, printed in different ways; no arithmetic here."""

from unseen.renderers.comparison import show_comparison as show_comparison
from unseen.renderers.formats import rendered as rendered
from unseen.renderers.printing import show as show
from unseen.renderers.printing import show_attack as show_attack
from unseen.renderers.printing import show_catalogue as show_catalogue
from unseen.renderers.procedure import show_procedure as show_procedure
from unseen.renderers.side_by_side import rendered_sides as rendered_sides
from unseen.renderers.through import show_through as show_through
