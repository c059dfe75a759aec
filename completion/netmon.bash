# SPDX-License-Identifier: GPL-2.0-only
# bash completion of netmon

# LETTER:NAME:ARGUMENT:WORDS:HELP
_netmon_options=( \
@options@
)

# NAME:HELP
_netmon_columns=( \
@columns@
)

# Offers the words that begin with the typed text.
_netmon_words()
{
	mapfile -t COMPREPLY < <(compgen -W "$*" -- "$cur")
}

# Offers the words for the last element of a list.
_netmon_list()
{
	local last=${cur##*,}

	last=${last#[+!]}
	head+=${cur%"$last"}
	cur=$last
	compopt -o nospace
	_netmon_words "$@"
}

_netmon_files()
{
	compopt -o filenames
	mapfile -t COMPREPLY < <(compgen "$1" -- "$cur")
}

# Offers the arguments of an option; fails if it takes none.
_netmon_argument()
{
	local columns=("${_netmon_columns[@]%%:*}")
	local fields letter name argument words

	for fields in "${_netmon_options[@]}"; do
		IFS=: read -r letter name argument words _ <<<"$fields"
		[[ $1 != "--$name" && $1 != "-${letter:--}" ]] || break
		argument=
	done
	# '--pin --replace': DIR is left out
	[[ $argument && ! ($argument == \[* && $cur == -*) ]] || return
	# shellcheck disable=SC2046,SC2086	# words
	case $words:$name:$argument in
	:output:*) _netmon_list all "${columns[@]}" ;;
	:sort:*) _netmon_list "${columns[@]}" "${columns[@]/%/:asc}" "${columns[@]/%/:desc}" ;;
	:pid:*) _netmon_list $(cd /proc && printf '%s\n' [0-9]*) ;;
	:user:*) _netmon_list $(compgen -u) ;;
	:iface:*) _netmon_list $(ls /sys/class/net) ;;
	:*:GROUP) _netmon_words $(compgen -g) ;;
	:*:FILE) _netmon_files -f ;;
	:*:*DIR*) _netmon_files -d ;;
	*) _netmon_words $words ;;
	esac
}

# Completes the command after '--'; the number is the index of its name.
_netmon_command()
{
	if declare -F _comp_command_offset >/dev/null; then
		_comp_command_offset "$1"
	elif declare -F _command_offset >/dev/null; then
		_command_offset "$1"
	fi
}

_netmon()
{
	local line=${COMP_LINE:0:COMP_POINT} head='' before cur option options i
	local word=${line##*[[:space:]]}

	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		if [[ ${COMP_WORDS[i]} == -- ]]; then
			_netmon_command $((i + 1))
			return
		fi
	done
	read -ra before <<<"${line%"$word"}"
	option=${before[-1]}
	cur=$word
	if [[ $word == --*=* ]]; then
		option=${word%%=*}
		head=$option=
		cur=${word#*=}
	fi
	if ! _netmon_argument "$option"; then
		options=("${_netmon_options[@]#*:}")
		options=("${options[@]%%:*}")
		_netmon_words "${options[@]/#/--}" --
	fi
	# bash replaces only the part after the last word break
	COMPREPLY=("${COMPREPLY[@]/#/"$head"}")
	COMPREPLY=("${COMPREPLY[@]#"${word%"${word##*[$COMP_WORDBREAKS]}"}"}")
}

complete -F _netmon netmon
