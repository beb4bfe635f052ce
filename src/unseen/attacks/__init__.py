"""The catalogue of attacks: one a file, listed here by hand. The first that can run is the one recommended."""

from unseen.attack import Attack
from unseen.attacks.attack_p import ATTACK_P
from unseen.attacks.attack_r import ATTACK_R
from unseen.attacks.base import BASE
from unseen.attacks.calibrated_loss import CALIBRATED_LOSS
from unseen.attacks.confidence import CONFIDENCE_ATTACK
from unseen.attacks.entropy import ENTROPY_ATTACK
from unseen.attacks.gap import GAP
from unseen.attacks.imitation import IMITATION
from unseen.attacks.learned import LEARNED, LEARNED_NEAR
from unseen.attacks.leverage import LEVERAGE_ATTACK
from unseen.attacks.lira_augmented import LIRA_AUGMENTED
from unseen.attacks.lira_offline import LIRA_OFFLINE
from unseen.attacks.lira_offline_shared import LIRA_OFFLINE_SHARED
from unseen.attacks.lira_online import LIRA_ONLINE
from unseen.attacks.lira_online_shared import LIRA_ONLINE_SHARED
from unseen.attacks.loss import LOSS_ATTACK
from unseen.attacks.loss_trajectory import LOSS_TRAJECTORY
from unseen.attacks.moderated_t_augmented import MODERATED_T_AUGMENTED
from unseen.attacks.moderated_t_gap import MODERATED_T_GAP
from unseen.attacks.moderated_t_offline import MODERATED_T_OFFLINE
from unseen.attacks.moderated_t_online import MODERATED_T_ONLINE
from unseen.attacks.moderated_t_trend import MODERATED_T_TREND
from unseen.attacks.modified_entropy import MODIFIED_ENTROPY_ATTACK
from unseen.attacks.noise_robustness import NOISE_ROBUSTNESS
from unseen.attacks.proxy_in import PROXY_IN
from unseen.attacks.qmia import QMIA
from unseen.attacks.rank_combined import RANK_COMBINED
from unseen.attacks.rmia_augmented import RMIA_AUGMENTED
from unseen.attacks.rmia_offline import RMIA_OFFLINE
from unseen.attacks.rmia_online import RMIA_ONLINE
from unseen.attacks.white_box_gradient import WHITE_BOX_GRADIENT

ATTACKS = (
    LEARNED,
    LEARNED_NEAR,
    RANK_COMBINED,
    MODERATED_T_TREND,
    MODERATED_T_GAP,
    MODERATED_T_ONLINE,
    MODERATED_T_OFFLINE,
    RMIA_ONLINE,
    RMIA_OFFLINE,
    BASE,
    LIRA_ONLINE,
    LIRA_ONLINE_SHARED,
    LIRA_OFFLINE,
    LIRA_OFFLINE_SHARED,
    PROXY_IN,
    CALIBRATED_LOSS,
    ATTACK_R,
    MODERATED_T_AUGMENTED,
    LIRA_AUGMENTED,
    RMIA_AUGMENTED,
    IMITATION,
    LOSS_TRAJECTORY,
    LEVERAGE_ATTACK,
    LOSS_ATTACK,
    WHITE_BOX_GRADIENT,
    MODIFIED_ENTROPY_ATTACK,
    ENTROPY_ATTACK,
    CONFIDENCE_ATTACK,
    ATTACK_P,
    QMIA,
    NOISE_ROBUSTNESS,
    GAP,
)


def catalogue() -> dict[str, Attack]:
    """Return every attack by its name on the command line, the recommended ones first."""
    return {attack.name: attack for attack in ATTACKS}
