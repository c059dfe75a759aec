#!/usr/bin/env python3
"""An hour of names that break careless readers: 3,600 reports, each with a row for each name.

    hour-log.py ticks            writes a fixture for t/replay
    hour-log.py sums FORMAT      writes what a reader of that format must find: a line for each name,
                                 with the sum of its rx_bytes, a tab, and the name in base64
"""
import base64
import re
import sys

NAMES = [b'a,b', b'say "hi"', b'"', b'line\nfeed', b'tab\there', b'\x1b[31mred', b'c1\xc2\x9b31m',
         b'bad\xff\xfe', b'cut\xe2\x82', b'(total)', b'', b'=1+1', b'-rm', b'back\\slash', b'\\n', b'NA',
         b'null', b'1e5', b'0x10', b'true', b' spaces ', b"it's", b'a;b|c', b'\r', b'#hash', b'{x="y"}',
         'naïve 日本'.encode()]
REPORTS = 3600


def moved(name, report):
    return 1000 * (name + 1) + report


def written(name, format):
    text = re.sub('\udc00|[\udc80-\udcff]', '\ufffd', name.decode(errors='surrogateescape'))
    if format == 'csv':
        return re.sub('[\x00-\x1f\x7f-\x9f]', '\ufffd', text)
    if format == 'tsv':
        for character, escape in (('\\', r'\\'), ('\t', r'\t'), ('\n', r'\n'), ('\r', r'\r')):
            text = text.replace(character, escape)
        return re.sub('[\x00-\x1f\x7f-\x9f]',
                      lambda c: ''.join(r'\x%02x' % byte for byte in c[0].encode()), text)
    return text


if sys.argv[1] == 'ticks':
    totals = [0] * len(NAMES)
    for report in range(REPORTS + 1):
        print('tick', report * 10**9, 1700000000000 + report * 1000)
        if not report:
            continue
        for i, name in enumerate(NAMES):
            totals[i] += moved(i, report)
            quoted = ''.join(r'\x%02x' % byte for byte in name)
            print(f'{i + 1} 1 "{quoted}" {totals[i]} 0 {report} 0')
else:
    for i, name in enumerate(NAMES):
        text = base64.b64encode(written(name, sys.argv[2]).encode()).decode()
        print(sum(moved(i, report) for report in range(1, REPORTS + 1)), text, sep='\t')
