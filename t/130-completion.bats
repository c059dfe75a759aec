#!/usr/bin/env bats
# The completion that the build makes for bash, zsh and fish, in these shells.

load lib/common

setup() {
	scripts=$BUILD/completion
	cd "$BATS_TEST_TMPDIR" || return
	mkdir pins site
	touch log.csv
}

# The words that bash offers for a command line, one a line.
bash_offers() {
	bash -c '
		. /usr/share/bash-completion/bash_completion
		. "$1"
		compopt() { :; } # it fails outside of a completion
		COMP_LINE=$2 COMP_POINT=${#2}
		mapfile -t COMP_WORDS < <(grep -oE "[^ =:]+|[=:]+" <<<"$2")
		[[ $2 != *\  ]] || COMP_WORDS+=("")
		COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
		_netmon netmon
		printf "%s\n" "${COMPREPLY[@]}"' bash "$scripts/netmon.bash" "$1"
}

# The same for fish, which offers whole arguments, with descriptions that cut removes.
fish_offers() {
	fish --no-config -c 'source $argv[1]; complete -C $argv[2]' "$scripts/netmon.fish" "$1" | cut -f 1
}

# The command lines after a Tab in zsh.
zsh_completes() {
	cp "$scripts/netmon.zsh" site/_netmon
	"$here/lib/complete-in-zsh" site "$@"
}

# Beginnings of command lines, and the only word that completes each.
beginnings='--appen|--append
-f js|jsonl
--format js|jsonl
--time loc|local
--units ie|iec
--layer so|socket
--attach kp|kprobe
-o conta|container
-o +tx_retr|+tx_retrans
-o time,conta|time,container
-s pid,uid:de|uid:desc
--to lo|log.csv
--pin ./pin|./pins
--status ./pin|./pins
--from ./pin|./pins
--pin --replac|--replace
--pin-group roo|root
--user roo|root
--user !roo|!root
--user root,!roo|root,!root
-- cat lo|log.csv'

@test "bash, zsh and fish find no fault in their completion" {
	for shell in bash zsh fish; do
		run -0 "$shell" -n "$scripts/netmon.$shell"
		equal "$output" ''
	done
}

@test "bash completes options and their arguments" {
	while IFS='|' read -r beginning wanted; do
		wanted=${wanted#uid:} # bash divides words at ':'
		equal "$beginning: $(bash_offers "netmon $beginning")" "$beginning: $wanted"
	done <<<"$beginnings"
	equal "$(bash_offers 'netmon --format=js')" jsonl
	equal "$(bash_offers 'netmon --output=time,conta')" time,container
	equal "$(bash_offers 'netmon --sort rx_rate:')" $'asc\ndesc'
}

@test "fish completes options and their arguments" {
	while IFS='|' read -r beginning wanted; do
		wanted=${wanted/#uid/pid,uid}
		equal "$beginning: $(fish_offers "netmon $beginning")" "$beginning: ${wanted/%pins/pins/}"
	done <<<"$beginnings"
	equal "$(fish_offers 'netmon --format=js')" --format=jsonl
	equal "$(fish_offers 'netmon --output=time,conta')" --output=time,container
	equal "$(fish_offers 'netmon --pin=./pi')" --pin=./pins/
}

@test "zsh completes options and their arguments" {
	local lines=() wanted=() beginning word
	while IFS='|' read -r beginning word; do
		[[ $beginning != *'!'* ]] || continue # zsh would expand the history
		lines+=("netmon $beginning")
		word=${word/#uid/pid,uid}
		wanted+=("netmon ${beginning% *}${beginning:+ }$word")
	done <<<"$beginnings"
	lines+=("netmon --format=js" "netmon --user '!roo" "netmon --pin=./pi")
	wanted[0]='netmon --append'
	wanted+=("netmon --format=jsonl" "netmon --user '!root" "netmon --pin=./pins")
	# zsh appends a space, a comma or a slash, which it removes if another character follows
	equal "$(zsh_completes "${lines[@]}" | sed 's|[ ,/]$||')" "$(printf '%s\n' "${wanted[@]}")"
}

@test "bash and fish offer every option, column and format, and zsh gets the same lists" {
	"$NETMON" --help | sed -nE 's/^ +(-[A-Za-z], )?(--[a-z-]+).*/\2/p' | sort >options
	[ "$(wc -l <options)" -gt 30 ]
	column_names | sort >columns
	equal "$(bash_offers 'netmon --' | sort)" "$(sort options - <<<--)"
	equal "$(fish_offers 'netmon --' | sed 's/=$//' | sort -u)" "$(cat options)"
	equal "$(bash_offers 'netmon -o ' | sort)" "$(sort columns - <<<all)"
	equal "$(fish_offers 'netmon -o ' | sort)" "$(sort columns - <<<all)"
	for shell in zsh fish; do
		equal "$(sed -n "s/^\t'\(.*\)' \\\\$/\1/p" "$scripts/netmon.$shell" | sort)" \
			"$(sed -n "s/^\t'\(.*\)' \\\\$/\1/p" "$scripts/netmon.bash" | sort)"
	done
	for option in --format --time --units --layer --attach; do
		run -2 "$NETMON" "$option" nosuch
		words=$(sed -n "s/.*it takes //; s/, \| or /\n/gp" <<<"${lines[0]}")
		equal "$(bash_offers "netmon $option " | sort)" "$(sort <<<"$words")"
		equal "$(fish_offers "netmon $option " | sort)" "$(sort <<<"$words")"
	done
}

@test "after '--' the shells complete the words of a command, not netmon's options" {
	equal "$(bash_offers 'netmon -- cat --form')" ''
	equal "$(fish_offers 'netmon -- cat --form')" ''
	equal "$(zsh_completes 'netmon -- cat --appen')" 'netmon -- cat --appen'
}
