#!/usr/bin/env bats
# --help, the manual, the README and the other documents agree with the program and with one another.

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

# The rendered manual, in long lines without overstrikes.
rendered() {
	mandoc -T ascii -O width=1000 "$manual" | sed 's/.\x08//g'
}

# Fails unless both have the same set of lines, which is not empty.
same() {
	[ -s "$1" ]
	diff -u "$1" "$2"
}

# Prints the netmon commands on standard input, without sudo and without the rest of a pipe, one a
# line, each argument in single quotes.  $(...) becomes 1.
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

# Has netmon parse each command in the file, with --version added at the end.
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

@test "the manual's synopsis lists every mode of --help" {
	"$NETMON" --help | sed '/^Writes/q' | grep -oE -e '--[a-z]+' | sort >in_help
	section SYNOPSIS | sed -nE 's/^\.Fl (-[a-z]+).*/-\1/p' | sort >in_manual
	same in_help in_manual
}

# taken OPTION KIND: the program accepts the option with an argument, without one, or both
taken() {
	local status=0
	case $2 in
	required) "$NETMON" "$1" ;;
	no) "$NETMON" "$1=x" ;;
	optional) "$NETMON" "$1=x" --nosuch ;;
	esac 2>message || status=$?
	[ $status = 2 ]
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

@test "the manual lists the columns of --help, and no others" {
	"$NETMON" --help >help
	sed -n '/^Columns:/,/^$/s/^  \([a-z_]*\) .*/\1/p' help | sort >in_help
	section COLUMNS | sed -nE 's/^\.It Cm ([a-z_]+)$/\1/p' | sort >in_manual
	same in_help in_manual
}

@test "the manual names the default columns, and the README shows them" {
	"$NETMON" --help >help
	columns=$(sed -nE 's/.*the default \(([a-z_,]+)\).*/\1/p' help)
	[ -n "$columns" ]
	section OPTIONS | grep -qF "The default is \\fB$columns\\fP"
	grep -qx " *$columns" "$top/README.md"
}

# References to other manuals do not count: they might not be installed.
@test "mandoc finds no fault in the manual" {
	run mandoc -T lint "$manual"
	[ -z "$(grep -vE 'referenced manual not found|outdated mandoc.db' <<<"$output")" ]
}

@test "netmon accepts the command lines of the manual's examples" {
	rendered >text
	awk '/^[A-Z]/ { in_it = /^EXAMPLES/ } in_it' text | commands >found
	parse_commands found
}

# The commands in fenced blocks of documents, and on lines that begin with a dollar sign.
blocks() {
	awk '/^```/ { fenced = !fenced; next } fenced || /^    \$ /' "$@"
}

@test "netmon accepts the command lines of the README" {
	blocks "$top/README.md" | commands >found
	parse_commands found
}

@test "the Makefile has the targets and variables that the documents name" {
	blocks "$top"/{README,CONTRIBUTING}.md | sed -nE 's/^(sudo )?make( [^#]*)?(#.*)?$/\2/p' |
		tr ' ' '\n' | sed '/^$/d' >words
	grep -v = words | sort -u >targets
	[ -s targets ]
	while read -r target; do
		echo "$target"
		grep -q "^$target:" "$top/Makefile"
	done <targets
	sed -n '/^| variable/,/^$/s/^| \(`[^|]*`\) |.*/\1/p' "$top/CONTRIBUTING.md" |
		tr -d '` ' | tr , '\n' >named
	[ -s named ]
	sed -n 's/^\([A-Z_]*\)=.*/\1/p' words >>named
	sed 's/=.*//' named | sort -u >variables
	while read -r variable; do
		echo "$variable"
		grep -qE "\\b$variable\\b" "$top/Makefile"
	done <variables
}

# The program fills in words in capitals; the rest of a message is in a string of the sources, or is
# the text of an errno.
@test "the program has the messages that the manual quotes" {
	python3 - "$manual" "$top"/*.c <<'END'
import errno, os, re, sys

LITERAL = r'"(?:[^"\\\n]|\\.)*"'

manual = open(sys.argv[1]).read()
section = re.search(r"^\.Sh DIAGNOSTICS\n(.*?)^\.Sh ", manual, re.M | re.S)[1]
quoted = [q.replace(r"\(aq", "'") for q in re.findall(r'^\.It Li "(.*)"$', section, re.M)]
known = [os.strerror(number) for number in errno.errorcode]
for path in sys.argv[2:]:
    source = re.sub(r"/\*.*?\*/", "", open(path).read(), flags=re.S)
    for literals in re.findall(r"%s(?:\s*%s)*" % (LITERAL, LITERAL), source):
        known.append("".join(literal[1:-1] for literal in re.findall(LITERAL, literals)))
    for verb, thing in re.findall(r'\bcannot\("([^"]+)", ("[^"]+"|\w[^,]*),', source):
        known.append("cannot %s '%s'" % (verb, thing.strip('"') if thing[0] == '"' else ""))
known = "\n".join(known)
missing = ["%s: %s" % (message, part) for message in quoted for piece in re.split("[:;] ", message)
           for part in re.split(r"'?\b[A-Z]+\b'?", piece) if part.strip("' ") not in known]
print(len(quoted), "messages; not in the sources:", *missing, sep="\n")
sys.exit(len(quoted) < 10 or bool(missing))
END
}

# The form is "cannot VERB 'OBJECT': REASON: ADVICE".
@test "messages begin with what failed and end without a full stop" {
	grep -ohE '\b(wrong|say)\("[^"]*' "$top"/*.c >messages
	[ "$(wc -l <messages)" -gt 50 ]
	run grep -vE '\("(cannot |counting|reading|removed|pinned|nothing is|a directory|%s: )' messages
	[ -z "$output" ]
	run grep -E '[.!]$' messages
	[ -z "$output" ]
	run grep -hE '\bcannot\("([^a-z]|[^"]*[.!]")' "$top"/*.c
	[ -z "$output" ]
}

@test "the program, the manual, the changelogs and the Makefile have the same version and date" {
	version=$("$NETMON" --version)
	version=${version#netmon }
	[ "$(sed -n 's/^VERSION := //p' "$top/Makefile")" = "$version" ]
	date=$(sed -n "s/^## $version - //p" "$top/CHANGELOG.md" | head -1)
	grep -qxF "This manual describes netmon $version." "$manual"
	[ "$(sed -n 's/^\.Dd //p' "$manual")" = "$(LC_ALL=C date -d "$date" '+%B %-d, %Y')" ]
	[[ $(head -1 "$top/debian/changelog") == "netmon ($version) "* ]]
	[[ $(sed -n 's/^ -- .*>  //p' "$top/debian/changelog" | head -1) == *" $(LC_ALL=C date -d "$date" '+%d %b %Y') "* ]]
}

# The anchor that GitHub makes of a heading: lower case, hyphens for spaces, no other punctuation.
@test "every relative link in the documents leads to an existing file or heading" {
	python3 - "$top"/*.md "$top"/t/*.md <<'END'
import os, re, sys

def text(path):
    return re.sub(r"^(```|~~~).*?^\1$", "", open(path).read(), flags=re.M | re.S)

def anchors(path):
    headings = re.findall(r"^#+ (.*)$", text(path), re.M)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]

dead, count = [], 0
for path in sys.argv[1:]:
    for link in re.findall(r"\]\(([^)\s]+)\)", text(path)):
        if re.match(r"https?://", link):
            continue
        count += 1
        file, _, anchor = link.partition("#")
        target = os.path.join(os.path.dirname(path), file) if file else path
        if not os.path.exists(target) or anchor and anchor not in anchors(target):
            dead.append("%s: %s" % (path, link))
print(count, "links; dead:", *dead, sep="\n")
sys.exit(count < 10 or bool(dead))
END
}

@test "the manual refers only to sections that it has" {
	rendered | tr '\n' ' ' | grep -oE '\bsee (also )?[A-Z][A-Z ]+[A-Z]' | sed -E 's/.*see (also )?//' | sort -u >named
	[ "$(wc -l <named)" -gt 3 ]
	while read -r name; do
		echo "$name"
		grep -qx "\.Sh $name" "$manual"
	done <named
}

# Words that codespell must ignore: Nd is a macro of mdoc, caf the ASCII part of café in UTF-8.
@test "the documents, sources and tests are spelt right" {
	cd "$top"
	run codespell --quiet-level 3 --skip '*/vmlinux.h,*/golden' --ignore-words-list nd,caf \
		./*.md ./*.[ch] man t systemd examples completion Makefile
	echo "$output"
	[ "$status" = 0 ] && [ -z "$output" ]
}
