#!/usr/bin/env bats
# --help, the manual, the README and the messages of the sources say the same.

bats_require_minimum_version 1.5.0

setup() {
	top=$BATS_TEST_DIRNAME/..
	manual=$top/man/netmon.8
	NETMON=${NETMON:-$top/netmon}
	cd "$BATS_TEST_TMPDIR" || return
}

# The lines of a section of the manual's source.
section() {
	awk -v name="$1" '/^\.Sh / { in_it = $0 == ".Sh " name; next } in_it' "$manual"
}

# The manual as it is read, on long lines without the overstrikes of bold type.
rendered() {
	mandoc -T ascii -O width=1000 "$manual" | sed 's/.\x08//g'
}

# The same two sets of lines, and not none.
same() {
	[ -s "$1" ]
	diff -u "$1" "$2"
}

# From standard input, the commands of netmon, without sudo and what follows in a pipe:
# one a line, each argument in single quotes.  $(...) becomes 1.
commands() {
	python3 -c '
import shlex, sys
for line in sys.stdin:
    words = shlex.shlex(line.strip(), posix=True, punctuation_chars="|&;<>")
    words.whitespace_split = True
    try:
        words = list(words)
    except ValueError:  # a quote that goes on in the next line
        words = line.split()
    while words and words[0] in ("$", "sudo"):
        del words[0]
    if not words or words[0] not in ("netmon", "./netmon"):
        continue
    arguments = []
    for word in words[1:]:
        if word[0] in "|&;<>" or word == "--":
            break
        arguments.append("1" if "$(" in word else word)
    print("netmon", *map(shlex.quote, arguments))
'
}

# Has each command of the file parsed by netmon itself, up to a --version at its end.
parse_commands() {
	local command
	[ -s "$1" ]
	while read -r command; do
		echo "$command"
		xargs "$NETMON" <<<"${command#netmon} --version" >version
		grep -q '^netmon [0-9]' version
	done <"$1"
}

@test "the manual lists the options of --help, with the same arguments, and no others" {
	"$NETMON" --help >help
	sed -nE 's/^ +((-[A-Za-z], )?--[a-z-]+( \[?[A-Z]+\]?)?)  .*/\1/p' help | tr -d '[]' | sort >in_help
	section OPTIONS | sed -nE 's/^\.It (Fl .*)/\1/p' |
		awk '{
			line = ""
			for (i = 1; i <= NF; i++)
				if ($i == "Fl") line = line "-" $++i
				else if ($i == ",") line = line ", "
				else if ($i == "Ar") line = line " " toupper($++i)
			print line
		}' | sort >in_manual
	same in_help in_manual
}

@test "the synopsis of the manual has every option" {
	"$NETMON" --help >help
	# the short one, or the long one where there is no other
	sed -nE '/^Usage/,/^$/d; s/^ +(-[A-Za-z]), --.*/\1/p; s/^ +(--[a-z-]+).*/\1/p' help | sort >in_help
	# '--' is for the command
	section SYNOPSIS | grep -v '^\.Op Fl - Ar command ' | sed -nE 's/^\.(Op )?Fl ([^ ]+)( (Op )?Ar .*)?$/-\2/p
		s/^\.Fl ([^ ]+) \| ([^ ]+)$/-\1\n-\2/p' | sort >in_manual
	same in_help in_manual
}

# taken OPTION KIND: that the program takes the option, with an argument, without one, or both
taken() {
	case $2 in
	required) "$NETMON" "$1" ;;
	no) "$NETMON" "$1=x" ;;
	optional) "$NETMON" "$1=x" --nosuch ;;
	esac 2>message && return 1
	case $2 in
	required) grep -qF -e "'$1': it needs an argument" message ;;
	no) grep -qF -e "'$1=x': it does not take an argument" message ;;
	optional) grep -qF -e "'--nosuch'" message ;;
	esac
}

@test "netmon accepts the options of --help, with an argument if --help has one" {
	"$NETMON" --help >help
	sed -nE 's/^ +(-[A-Za-z], )?(--[a-z-]+) [A-Z]+  .*/\2 required/p
		s/^ +(--[a-z-]+) \[[A-Z]+\]  .*/\1 optional/p
		s/^ +(-[A-Za-z], )?(--[a-z-]+)  .*/\2 no/p' help >options
	[ "$(wc -l <options)" -gt 30 ]
	while read -r option kind; do
		echo "$option $kind"
		taken "$option" "$kind"
	done <options
}

@test "the manual and the README list the columns of --help, and no others" {
	"$NETMON" --help >help
	sed -n '/^Columns:/,/^$/s/^  \([a-z_]*\) .*/\1/p' help | sort >in_help
	section COLUMNS | sed -nE 's/^\.It Cm ([a-z_]+)$/\1/p' | sort >in_manual
	same in_help in_manual
	sed -n '/^## Columns/,/^## [^C]/s/^| \(`[^|]*`\) |.*/\1/p' "$top/README.md" |
		tr -d '` ' | tr , '\n' | sort >in_readme
	same in_help in_readme
}

@test "the manual and the README name the default columns" {
	"$NETMON" --help >help
	columns=$(sed -nE 's/.*the default \(([a-z_,]+)\).*/\1/p' help)
	[ -n "$columns" ]
	grep -qF ".Cm $columns " "$manual"
	grep -qF "\`$columns\`" "$top/README.md"
}

@test "mandoc finds no fault in the manual" {
	run -0 mandoc -T lint -W warning "$manual"
	[ -z "$output" ]
}

@test "netmon accepts the command lines of the manual's examples" {
	rendered >text
	awk '/^[A-Z]/ { in_it = /^EXAMPLES/ } in_it' text | commands >found
	parse_commands found
}

@test "netmon accepts the command lines of the README" {
	awk '/^```/ { fenced = !fenced; next } fenced || /^    \$ /' "$top/README.md" |
		commands >found
	parse_commands found
}

@test "the Makefile has the targets and variables that the README names" {
	awk '/^```/ { fenced = !fenced; next } fenced' "$top/README.md" |
		sed -nE 's/^(sudo )?make( [^#]*)?(#.*)?$/\2/p' | tr ' ' '\n' | sed '/^$/d' >words
	grep -v = words | sort -u >targets
	[ -s targets ]
	while read -r target; do
		echo "$target"
		grep -q "^$target:" "$top/Makefile"
	done <targets
	sed -n '/^| variable/,/^$/s/^| \(`[^|]*`\) |.*/\1/p' "$top/README.md" |
		tr -d '` ' | tr , '\n' >named
	[ -s named ]
	sed -n 's/^\([A-Z_]*\)=.*/\1/p' words >>named
	sed 's/=.*//' named | sort -u >variables
	while read -r variable; do
		echo "$variable"
		grep -qE "\\b$variable\\b" "$top/Makefile"
	done <variables
}

# A message is a string that begins with "cannot" or the arguments of cannot().
# What printf fills in, any text of the manual may stand for.
@test "the manual quotes every message of the sources" {
	rendered >text
	python3 - text "$top"/*.c <<'END'
import re, sys

errors = re.search(r"^ERRORS.*?(?=^[A-Z])", open(sys.argv[1]).read(), re.M | re.S).group()
lines = [line.strip() for line in errors.splitlines()]
literals = r'"(?:[^"\\]|\\.)*"(?:\s*"(?:[^"\\]|\\.)*")*'
messages, consequences = set(), set()

def text(source):
    return "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', source))

for path in sys.argv[2:]:
    source = re.sub(r"/\*.*?\*/", "", open(path).read(), flags=re.S)
    for literal in re.findall(literals, source):
        message = text(literal).removeprefix("netmon: ").removesuffix(r"\n")
        if message.startswith("cannot "):
            messages.add(message)
    for verb, thing in re.findall(r'\bcannot\("([^"]+)", ("[^"]+"|\w[^,]*),', source):
        messages.add("cannot %s '%s': " % (verb, thing.strip('"') if thing[0] == '"' else "%s"))
    for table in re.findall(r"\bhooks\[\] = \{(.*?)^\};", source, re.M | re.S):
        consequences.update(t for t in map(text, re.findall(literals, table)) if " " in t)

missing = []
for message in messages:
    pattern = ".+".join(map(re.escape, re.split(r"%[-.*0-9]*(?:ll|l|z)?[a-z]", message)))
    if not any(re.match(pattern, line) for line in lines):
        missing.append(message)
missing += [c for c in consequences if '"%s"' % c not in lines]
print(len(messages), "messages,", len(consequences), "consequences; missing:", *missing, sep="\n")
sys.exit(len(messages) < 10 or len(consequences) < 5 or bool(missing))
END
}
