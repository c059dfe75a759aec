#!/usr/bin/env python3
"""Random command lines.

    random-options.py vectors REPLAY SEED COUNT
        random arguments: the status must be 0 or 2,
        with a message only for 2
    random-options.py numbers REPLAY SEED COUNT
        numbers near the limits: must be accepted in
        range, and refused otherwise
"""
import random
import re
import subprocess
import sys
from fractions import Fraction

COLUMNS = 'time dt pid comm proto raddr user all rx_rate tx_rate rx_bytes tx_bytes rx_total nosuch'.split()
OPTIONS = ('-i -n -w -f -o -s -t -a -p -v -V -h --interval --count --window --format --output '
           '--no-header --sort --units --append --layer --top --all --pid --comm --user --cgroup '
           '--unit --container --proto --port --net --iface '
           '--no-loopback --total --time --pin --pin-group --replace --status --unpin --from --no-pin --max-processes --max-entries --attach --verbose --version '
           '--help --col --i --a -- - --nosuch -x').split()
WORDS = ['csv', 'tsv', 'jsonl', 'json', 'table', 'prom', 'si', 'iec', 'local', 'ip', '!root', '!22,80',
         '!private', 'a,!b', 'rx_total', 'auto', 'fexit', 'kprobe', 'x', '', ' ', '0', '1', '10',
         'tcp,udp', '10.0.0.0/8', '!::1', 'root', 'iso', '0.5', '1e3', '-1', '.', '%s%n', 'a' * 5000, '\udcff\udc80', '\n', "'"]
MARKS = ['', '', '', ':asc', ':desc', ':', ':up', '+', '-', ' ']

# option, decimals, from, to
RANGES = [('-i', 9, Fraction(1, 100), 86400), ('-n', 0, 1, None), ('-w', 0, 1, 3600),
          ('-t', 0, 1, None), ('-p', 0, 1, 4194304), ('--max-processes', 0, 1, 4194304),
          ('--max-entries', 0, 1, 4194304), ('--port', 0, 1, 65535), ('--proto', 0, 0, 65534)]
LARGE = 10 ** 15  # a number that an option without an upper limit must take


def run(replay, arguments):
    return subprocess.run([replay] + [a.encode('utf-8', 'surrogateescape') for a in arguments],
                          stdin=subprocess.DEVNULL, capture_output=True, check=False)


def some_columns(rng):
    names = [rng.choice(COLUMNS) + rng.choice(MARKS) for _ in range(rng.randrange(6))]
    return rng.choice(['', '', '+']) + ','.join(names)


def some_arguments(rng):
    arguments = []
    for _ in range(rng.randrange(1, 6)):
        option = rng.choice(OPTIONS)
        value = rng.choice([rng.choice(WORDS), some_columns(rng), str(rng.randrange(5000))])
        arguments += rng.choice([[option], [option, value], [option, value], [option + value],
                                 [option + '=' + value], [value]])
    return arguments


def check_vector(replay, rng):
    arguments = some_arguments(rng)
    result = run(replay, arguments)
    good = result.returncode in (0, 2)
    if result.returncode == 2:
        good = not result.stdout and result.stderr.startswith(b'netmon: ') and \
            result.stderr.endswith(b"\nTry 'netmon --help'.\n")
    elif good:
        good = not result.stderr
    return result, arguments, good


def some_number(rng, low, high):
    limit = rng.choice([low, high or LARGE, 2 ** 32, 2 ** 63, 2 ** 64, 2 ** 64 * 10 ** 9])
    number = limit * rng.choice([1, 1, 1, 10, 100]) + \
        rng.choice([-1, 0, 0, 1, 2, 5, Fraction(1, 1000), Fraction(1, 10 ** 10)])
    whole, rest = divmod(abs(number), 1)
    text = rng.choice(['', '0', '00000000000000000000000']) + str(whole)
    if rest or rng.randrange(4) == 0:
        text += '.' + '%0*d' % (12, rest * 10 ** 12)
    if rng.randrange(3) == 0:
        place = rng.randrange(len(text) + 1)
        text = text[:place] + rng.choice(['x', '.', '-', '+', ' ', '\n', 'e', '٣']) + text[place:]
    return text


def wanted(text, decimals, low, high):
    """Whether the number is in range; None if netmon may accept or refuse it."""
    if not re.fullmatch(r'[0-9]+\.?[0-9]*|\.[0-9]+' if decimals else r'[0-9]+', text):
        return False
    number = Fraction(re.sub(r'(\.[0-9]{%d}).*' % decimals, r'\1', text).rstrip('.') or '0')
    if high is None and number > LARGE:
        return None if number < 2 ** 64 else False
    return low <= number and (high is None or number <= high)


def check_number(replay, rng):
    option, decimals, low, high = rng.choice(RANGES)
    text = some_number(rng, low, high)
    result = run(replay, [option, text])
    want = wanted(text, decimals, low, high)
    statuses = [0, 2] if want is None else [0] if want else [2]
    return result, [option, text], result.returncode in statuses


def main():
    what, replay, seed, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    check = {'vectors': check_vector, 'numbers': check_number}[what]
    rng = random.Random(seed)
    seen = set()
    bad = 0
    for _ in range(count):
        result, arguments, good = check(replay, rng)
        seen.add(result.returncode)
        if not good:
            bad += 1
            print('%r: status %d\n%s' % (arguments, result.returncode,
                                         result.stderr.decode('utf-8', 'replace')),
                  file=sys.stderr)
    if seen < {0, 2}:
        print('only status', seen, file=sys.stderr)  # a test that tests nothing
        bad += 1
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main())
