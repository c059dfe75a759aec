#!/usr/bin/env python3
"""Reads back process names from netmon's formats, with code that is independent of netmon.

    random-names.py make SEED           writes a fixture for t/replay: every byte, then random names
    random-names.py check FIXTURE FMT   checks standard input, written from the fixture in that
                                 format with at least the columns pid and comm: it must
                                 be text, and have each name of the last tick, as far
                                 as the format can, and no others
"""
import csv
import io
import json
import random
import re
import subprocess
import sys

LENGTH = 16  # of the kernel's names: netmon takes all of the field


def random_name(rng):
    """Random bytes, bytes that are special in formats, or UTF-8, complete or cut."""
    kind = rng.randrange(4)
    if kind == 0:
        name = bytes(rng.randrange(1, 256) for _ in range(LENGTH))
    elif kind == 1:
        name = bytes(rng.choice(b'\t\n\r\\"\',;tnrx0 a\x01\x1b\x7f') for _ in range(LENGTH))
    elif kind == 2:
        name = bytes(rng.choice(b'\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xe1\xec\xed'
                                b'\xee\xef\xf0\xf1\xf3\xf4\xf5\xffa') for _ in range(LENGTH))
    else:
        name = b''
        while len(name) < LENGTH:
            point = rng.randrange(1, rng.choice([0x80, 0x800, 0xd800, 0x110000]))
            if not 0xd800 <= point < 0xe000:
                name += chr(point).encode()
    return name[:rng.randrange(LENGTH + 1)]


def make(seed):
    rng = random.Random(seed)
    every = [bytes([b]) for b in range(1, 256)]
    names = every + [b'a' + b + b'z' for b in every] + [2 * b for b in every]
    names += [random_name(rng) for _ in range(4000)]
    print('tick 0 0\ntick 1000000000 1700000000000')
    for pid, name in enumerate(names, 1):
        print(pid, 1, '"%s"' % ''.join('\\x%02x' % b for b in name), 1, 1, 1, 1)


def last_tick(path):
    names = {}
    with open(path, encoding='ascii') as fixture:
        for line in fixture:
            if line.startswith('tick '):
                names = {}
            entry = re.match(r'(\d+) \d+ "([^"]*)"', line)
            if entry:
                name = re.sub(r'\\x(..)', lambda hit: chr(int(hit[1], 16)), entry[2])
                names[int(entry[1])] = name.encode('latin-1')
    return names


def from_table(rows):
    """Returns a dict of names by pid; checks that every row has as many fields as the header."""
    header, *rows = rows
    assert all(len(row) == len(header) for row in rows), 'rows of unequal length'
    pid, comm = header.index('pid'), header.index('comm')
    pairs = [(int(row[pid]), row[comm]) for row in rows]
    assert len(dict(pairs)) == len(pairs), 'a process twice'
    return dict(pairs)


def as_text(data):
    """Decodes UTF-8; fails if it is invalid, or has control characters other than the ends of lines and
    fields."""
    text = data.decode('utf-8')
    assert text.endswith('\n'), 'no newline at the end'
    assert not re.search('[\x00-\x08\x0b-\x1f\x7f-\x9f]', text), 'a control character'
    return text


def read_csv(data):
    text = as_text(data)
    assert '\t' not in text, 'a tab'
    field = r'(?:"(?:[^"\n]|"")*"|[^",\n]*)'
    assert re.fullmatch('(?:%s(?:,%s)*\n)*' % (field, field), text), 'not RFC 4180'
    return from_table(list(csv.reader(io.StringIO(text, newline=''), strict=True)))


def read_tsv(data):
    simple = {'t': b'\t', 'n': b'\n', 'r': b'\r', '\\': b'\\'}

    def unescape(field):
        parts = re.split(r'\\(?:([tnr\\])|x([0-9a-f]{2}))', field)
        plain, letters, codes = parts[::3], parts[1::3], parts[2::3]
        assert '\\' not in ''.join(plain), 'a backslash that is no escape in %r' % field
        name = plain[0].encode()
        for letter, code, after in zip(letters, codes, plain[1:]):
            name += (simple[letter] if letter else bytes.fromhex(code)) + after.encode()
        return name.decode('utf-8')

    return from_table([[unescape(field) for field in line.split('\t')]
                       for line in as_text(data)[:-1].split('\n')])


def read_jsonl(data):
    text = as_text(data)
    rows = [json.loads(line) for line in text[:-1].split('\n')]
    names = {row['pid']: row['comm'] for row in rows}
    assert len(names) == len(rows), 'a process twice'
    jq = subprocess.run(['jq', '-c', '[.pid, (.comm | explode)]'], input=data,
                        stdout=subprocess.PIPE, check=True)
    by_jq = {pid: ''.join(map(chr, points))
             for pid, points in map(json.loads, jq.stdout.splitlines())}
    assert by_jq == names, 'jq reads it otherwise'
    return names


def as_unicode(name):
    """Decodes the name, with U+FFFD for each invalid byte.

    decode('utf-8', 'replace') has one U+FFFD for a run of bytes that begins like a character.
    """
    text = ''
    while name:
        for length in range(1, 5):
            try:
                text += name[:length].decode('utf-8')
                break
            except UnicodeDecodeError:
                pass
        else:
            text += '\ufffd'
            length = 1
        name = name[length:]
    return text


def check(path, how):
    wanted = last_tick(path)
    assert wanted, 'no names to look for'
    wanted = {pid: as_unicode(name) for pid, name in wanted.items()}
    if how == 'csv':
        wanted = {pid: re.sub('[\0-\x1f\x7f-\x9f]', '\ufffd', name)
                  for pid, name in wanted.items()}
    got = {'csv': read_csv, 'tsv': read_tsv, 'jsonl': read_jsonl}[how](sys.stdin.buffer.read())
    wrong = [pid for pid in sorted(wanted.keys() | got.keys())
             if got.get(pid) != wanted.get(pid)]
    for pid in wrong:
        print('process %d: got %r, wanted %r' % (pid, got.get(pid), wanted.get(pid)),
              file=sys.stderr)
    return 1 if wrong else 0


if __name__ == '__main__':
    if sys.argv[1] == 'make':
        make(int(sys.argv[2]))
    else:
        sys.exit(check(sys.argv[2], sys.argv[3]))
