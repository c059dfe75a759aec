#compdef netmon
# SPDX-License-Identifier: GPL-2.0-only
# zsh completion of netmon

_netmon_column()
{
	local -a columns=( \
@columns@
	)

	_describe -t columns column columns "$@"
}

_netmon_output()
{
	compset -P '+'
	_alternative 'all:every column:(all)' 'columns:column:_sequence _netmon_column'
}

_netmon_order()
{
	if compset -P '*:'; then
		compadd asc desc
	else
		_netmon_column "$@"
	fi
}

# _netmon_element FUNCTION: offers what the function does, also after '!'
_netmon_element()
{
	local offer=$1

	shift
	compset -P '!'
	$offer "$@"
}

_netmon()
{
	local fields letter name argument choices help action spec dashes=$words[(i)--]
	local -a specs=('::INTERVAL:()' '::COUNT:()')
	# LETTER:NAME:ARGUMENT:WORDS:HELP
	local -a options=( \
@options@
	)

	if (( dashes < CURRENT )); then
		shift $dashes words
		(( CURRENT -= dashes ))
		_normal
		return
	fi
	for fields in $options; do
		IFS=: read -r letter name argument choices help <<<$fields
		case $choices:$name:$argument in
		:output:*) action=_netmon_output ;;
		:sort:*) action='_sequence _netmon_order' ;;
		:pid:*) action='_sequence _netmon_element _pids' ;;
		:user:*) action='_sequence _netmon_element _users' ;;
		:iface:*) action='_sequence _netmon_element _net_interfaces' ;;
		:*:GROUP) action=_groups ;;
		:*:FILE) action=_files ;;
		:*:*DIR*) action=_directories ;;
		:*) action=' ' ;;
		*) action="($choices)" ;;
		esac
		spec="[${${help//\[/\\[}//\]/\\]}]"
		case $argument in
		'') ;;
		\[*) spec+="::DIR:$action" ;;
		*) spec+=":$argument:$action" ;;
		esac
		specs+=("${letter:+(-$letter)}--$name${argument:+=}$spec")
		[[ -z $letter ]] || specs+=("(--$name)-$letter${argument:++}$spec")
	done
	_arguments -s $specs
}

_netmon "$@"
