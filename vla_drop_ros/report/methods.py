# SPDX-License-Identifier: Apache-2.0
"""A methods paragraph to paste into a paper, made of the design and of what was counted."""

from vla_drop_ros import __version__
from vla_drop_ros.report.results import Results
from vla_drop_ros.report.sentences import count
from vla_drop_ros.trials.wording import points

RULES = {
    'exact_paired': 'The score of paired differences [tango1998] was compared after every '
                    'complete round with an exact finite-horizon boundary ({spending} spending of '
                    'the error [lan1983], horizon {horizon} pairs{adversary}), computed before '
                    'the first trial.',
    'anytime': 'Evidence was the e-value of an even mixture of bets on the paired differences '
               '[waudbysmith2024], valid at any time [ville1939]; there was no horizon.',
    'fixed': 'The score of paired differences [tango1998] was computed once, after {horizon} '
             'pairs.'}
SEVERAL = {
    'fixed_sequence': ' Pruned checkpoints were tested in a fixed sequence by increasing '
                      'sparsity, each at the full error, up to the first that was not accepted '
                      '[maurer1995].',
    'holm': " Pruned checkpoints were tested with Holm's step-down procedure [holm1979]."}
SOURCES = {
    'tango1998': '@article{tango1998,\n  author = {Tango, Toshiro},\n  title = {Equivalence test '
                 'and confidence interval for the difference in proportions for the paired-sample '
                 'design},\n  journal = {Statistics in Medicine}, volume = {17}, pages = '
                 '{891--908}, year = {1998}\n}',
    'lan1983': '@article{lan1983,\n  author = {Lan, K. K. Gordon and DeMets, David L.},\n  title '
               '= {Discrete sequential boundaries for clinical trials},\n  journal = '
               '{Biometrika}, volume = {70}, pages = {659--663}, year = {1983}\n}',
    'ville1939': "@book{ville1939,\n  author = {Ville, Jean},\n  title = {{\\'E}tude critique de "
                 'la notion de collectif},\n  publisher = {Gauthier-Villars}, year = {1939}\n}',
    'waudbysmith2024': '@article{waudbysmith2024,\n  author = {Waudby-Smith, Ian and Ramdas, '
                       'Aaditya},\n  title = {Estimating means of bounded random variables by '
                       'betting},\n  journal = {Journal of the Royal Statistical Society Series '
                       'B}, volume = {86}, pages = {1--27}, year = {2024}\n}',
    'clopper1934': '@article{clopper1934,\n  author = {Clopper, C. J. and Pearson, E. S.},\n  '
                   'title = {The use of confidence or fiducial limits illustrated in the case of '
                   'the binomial},\n  journal = {Biometrika}, volume = {26}, pages = {404--413}, '
                   'year = {1934}\n}',
    'wilson1927': '@article{wilson1927,\n  author = {Wilson, Edwin B.},\n  title = {Probable '
                  'inference, the law of succession, and statistical inference},\n  journal = '
                  '{Journal of the American Statistical Association}, volume = {22}, pages = '
                  '{209--212}, year = {1927}\n}',
    'bang2004': '@article{bang2004,\n  author = {Bang, Heejung and Ni, Liyun and Davis, Clarence '
                'E.},\n  title = {Assessment of blinding in clinical trials},\n  journal = '
                '{Controlled Clinical Trials}, volume = {25}, pages = {143--156}, year = '
                '{2004}\n}',
    'maurer1995': '@incollection{maurer1995,\n  author = {Maurer, W. and Hothorn, L. A. and '
                  'Lehmacher, W.},\n  title = {Multiple comparisons in drug clinical trials and '
                  'preclinical assays: a-priori ordered hypotheses},\n  booktitle = {Biometrie in '
                  'der chemisch-pharmazeutischen Industrie}, volume = {6}, year = {1995}\n}',
    'holm1979': '@article{holm1979,\n  author = {Holm, Sture},\n  title = {A simple sequentially '
                'rejective multiple test procedure},\n  journal = {Scandinavian Journal of '
                'Statistics}, volume = {6}, pages = {65--70}, year = {1979}\n}'}
SOFTWARE = ('@software{vla_drop_ros,\n  author = {{vla_drop_ros maintainers}},\n  title = '
            '{vla_drop_ros: pruning vision-language-action models, and proving on the robot that '
            'they are no worse},\n  version = {VERSION}\n}')


def paragraph(results: Results) -> str:
    """Return the methods, with keys of ``bibliography`` in square brackets."""
    design, protocol = results.record.study.design, results.protocol
    baseline, *pruned = [arm.name for arm in design.arms]
    stopping = design.stopping
    robots = sorted({row.robot for row in results.rows} - {''})
    people = sorted({row.who for row in results.rows} - {''})
    rule = RULES[stopping.rule].format(
        spending=stopping.spending, horizon=stopping.horizon,
        adversary=', calibrated against an adversary' if stopping.calibration == 'adversarial'
        else '')
    asked = (f' After {count(protocol.guessed, "trial")} the operator was asked which arm had '
             "run; Bang's blinding index [bang2004] is reported." if protocol.guesses else '')
    rubric = (f' Partial success was judged on a rubric of {count(len(design.rubric), "stage")}.'
              if design.rubric else '')
    rubric += f' A success was: {design.success_criterion.strip().rstrip(".")}.' \
        if design.success_criterion else ''
    where = f'on {count(len(robots), "robot")} ({", ".join(robots)}) ' if robots else ''
    judges = f' by {count(len(people), "operator")}' if people else ''
    return (
        f'We compared {", ".join(pruned)} with {baseline} {where}in a blinded, paired, randomised '
        f'study. Each of {count(len(design.conditions), "condition")} was run once a round by '
        'every checkpoint, back to back, conditions in random order and arms in an order drawn '
        'independently for every pair. The design (sha256 '
        f'{results.record.study.design.digest[:12]}) and a commitment to the schedule (sha256 '
        f'{results.record.study.commitment[:12]}) were fixed before the first trial; the person '
        'at the robot saw a running number only. A trial lasted at most '
        f'{design.timeout:g} s and was judged{judges} after it had ended; it was left out, and '
        'run again, only for one of the reasons of a closed list '
        f'({", ".join(design.invalid_reasons)}; {count(sum(protocol.invalid.values()), "trial")} '
        f'of {protocol.attempts}).{rubric} The hypothesis was that success falls by less than '
        f'{points(design.margin)} points, at a one-sided error of {points(design.alpha)} %. '
        f'{rule} A verdict of non-inferiority also needed a lower bound of the success of the '
        f'baseline [clopper1934] of at least {points(design.minimum_baseline)} %. Intervals of '
        f'the difference have {points(1 - 2 * design.alpha)} %, those of success rates are '
        f"Wilson's [wilson1927] of 95 %."
        f'{SEVERAL[design.several] if len(pruned) > 1 else ""}{asked} '
        f'{count(results.rounds, "complete round")} ({count(results.pairs_done, "pair")}) '
        f'{"was" if results.rounds == 1 else "were"} analysed with vla_drop_ros '
        f'{__version__} [vla_drop_ros].')


def bibliography(text: str) -> str:
    """Return the BibTeX entries of the keys that a text names, the package's own last."""
    entries = {**SOURCES, 'vla_drop_ros': SOFTWARE.replace('VERSION', __version__)}
    return '\n\n'.join(entry for key, entry in entries.items() if f'[{key}]' in text)
